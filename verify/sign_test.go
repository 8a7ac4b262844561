// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

// The sender's side of two schemes, for tests that change what a genuine sender
// sends.

const (
	key = "a key of thirty-two bytes, or so"
	now = 1700000000
)

func mac(key, text string) []byte {
	h := hmac.New(sha256.New, []byte(key))
	h.Write([]byte(text))
	return h.Sum(nil)
}

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// whsec is a secret as Standard Webhooks write it.
func whsec(key string) verify.Secret { return verify.Secret{Text: "whsec_" + b64([]byte(key))} }

func v1(key, id, timestamp string, body []byte) string {
	return "v1," + b64(mac(key, id+"."+timestamp+"."+string(body)))
}

// signStandard sends a Standard Webhook in the family svix or webhook.
func signStandard(key, family, id, timestamp string, body []byte) request {
	r := newRequest(http.MethodPost, "/hooks", body)
	r.Header.Set(family+"-id", id)
	r.Header.Set(family+"-timestamp", timestamp)
	r.Header.Set(family+"-signature", v1(key, id, timestamp, body))
	return r
}

// signGitHub sends what GitHub does, under the key of all tests.
func signGitHub(body []byte) request {
	r := newRequest(http.MethodPost, "/hooks", body)
	r.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac(key, string(body))))
	r.Header.Set("X-GitHub-Delivery", "72d3162e")
	return r
}

// github is the configuration for signGitHub.
func github() verify.HMACConfig {
	return verify.HMACConfig{
		Secrets:   []verify.Secret{{Text: key}},
		Signature: verify.Signature{Headers: []string{"X-Hub-Signature-256"}, Prefix: "sha256="},
	}
}

func newStandard(t testing.TB, keys ...string) *verify.Standard {
	t.Helper()
	var config verify.StandardConfig
	for _, key := range keys {
		config.Secrets = append(config.Secrets, whsec(key))
	}
	v, err := verify.NewStandard(config)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func newHMAC(t testing.TB, config verify.HMACConfig) *verify.HMAC {
	t.Helper()
	v, err := verify.NewHMAC(config)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// expect verifies r at the time it was signed and compares the outcome.
func expect(t *testing.T, v verify.Verifier, r request, want string) verify.Claims {
	t.Helper()
	claims, err := v.Verify(r.Request, time.Unix(now, 0))
	if got := outcome(err); got != want {
		t.Errorf("got %s (%v), want %s", got, err, want)
	}
	return claims
}
