// SPDX-License-Identifier: Apache-2.0

package senders_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/verify"
	"github.com/caddy-webhook-inbox/inbox/verify/senders"
)

// signedURL signs the URL and a timestamp, and an hour is its tolerance.
var signedURL = senders.HMAC{Config: verify.HMACConfig{
	Signature: verify.Signature{Headers: []string{"X-Signature"}},
	Signed:    "{url}{timestamp}{body}",
	Timestamp: &verify.Timestamp{Header: "X-Time"},
	Tolerance: time.Hour,
}}

// bodyOnly signs the body with a secret in hex.
var bodyOnly = senders.HMAC{
	Config:   verify.HMACConfig{Signature: verify.Signature{Headers: []string{"X-Signature"}}},
	Encoding: "hex",
}

func post(uri string) *verify.Request {
	return &verify.Request{Method: http.MethodPost, URI: uri, Header: http.Header{}, Body: []byte("{}")}
}

func TestGenericSchemesVerifyWhatTheySign(t *testing.T) {
	t.Parallel()
	at := time.Unix(1700000000, 0)
	secret := "whsec_" + base64.StdEncoding.EncodeToString([]byte("a key of thirty-two bytes, or so"))
	for name, c := range map[string]struct {
		scheme senders.Scheme
		keys   senders.Keys
	}{
		"standard":                       {senders.Standard{}, senders.Keys{Secrets: []string{secret, "whsec_b3RoZXI="}}},
		"standard with raw secrets":      {senders.Standard{Encoding: "raw"}, senders.Keys{Secrets: []string{"polar_whs_a"}}},
		"standard with leading zeros":    {senders.Standard{LeadingZeros: true}, senders.Keys{Secrets: []string{secret}}},
		"an HMAC with a secret in hex":   {bodyOnly, senders.Keys{Secrets: []string{"0a0B", "00ff"}}},
		"an HMAC of a URL of the user's": {signedURL, senders.Keys{Secrets: []string{"s"}, PublicURL: "https://hooks.example.com"}},
	} {
		v, err := c.scheme.Verifier(c.keys)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		r := post("/hooks")
		if err := c.scheme.Sign(c.keys, r, "msg_1", at); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := v.Verify(r, at); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		r.Body = []byte("{ }")
		if _, err := v.Verify(r, at); !errors.Is(err, verify.ErrMismatch) {
			t.Errorf("%s: got %v for another body, want a mismatch", name, err)
		}
	}
}

func TestGenericSchemesSayWhatTheyNeed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		scheme senders.Scheme
		want   senders.Needs
	}{
		"standard":    {senders.Standard{}, senders.Needs{Secret: "secret", Tolerance: 5 * time.Minute}},
		"body":        {bodyOnly, senders.Needs{Secret: "secret"}},
		"URL, time":   {signedURL, senders.Needs{Secret: "secret", URL: true, Tolerance: time.Hour}},
		"public key":  {senders.PublicKey{Config: verify.PublicKeyConfig{Signed: "{timestamp}{body}", Timestamp: &verify.Timestamp{Header: "T"}}}, senders.Needs{Secret: "public key", Tolerance: 5 * time.Minute}},
		"key and URL": {senders.PublicKey{Config: verify.PublicKeyConfig{Signed: "{url}{body}"}}, senders.Needs{Secret: "public key", URL: true}},
	} {
		if got := c.scheme.Needs(); got != c.want {
			t.Errorf("%s: got %+v, want %+v", name, got, c.want)
		}
	}
}

func TestTheToleranceIsTheUsersOrElseTheRows(t *testing.T) {
	t.Parallel()
	for configured, want := range map[time.Duration]time.Duration{0: time.Hour, time.Minute: time.Minute} {
		v, err := signedURL.Verifier(senders.Keys{Secrets: []string{"s"}, Tolerance: configured})
		if err != nil {
			t.Fatal(err)
		}
		if got := v.Traits().Tolerance; got != want {
			t.Errorf("with %v configured, the tolerance is %v, want %v", configured, got, want)
		}
	}
	if signedURL.Config.Secrets != nil || signedURL.Config.Tolerance != time.Hour {
		t.Error("making a verifier changed the row")
	}
}

func TestWhatASchemeDoesNotTakeIsAnError(t *testing.T) {
	t.Parallel()
	public := hex.EncodeToString(ed25519.NewKeyFromSeed(make([]byte, 32)).Public().(ed25519.PublicKey))
	key := senders.PublicKey{Config: verify.PublicKeyConfig{
		Algorithm: "ed25519",
		Signature: verify.Signature{Headers: []string{"X-Signature"}},
	}}
	if _, err := key.Verifier(senders.Keys{Secrets: []string{public}}); err != nil {
		t.Fatal(err)
	}
	for says, c := range map[string]struct {
		scheme senders.Scheme
		keys   senders.Keys
	}{
		"public URL without {url}":    {bodyOnly, senders.Keys{Secrets: []string{"00ff"}, PublicURL: "https://example.com"}},
		"public URL without {url} in": {key, senders.Keys{Secrets: []string{public}, PublicURL: "https://example.com"}},
		"tolerance without":           {bodyOnly, senders.Keys{Secrets: []string{"00ff"}, Tolerance: time.Minute}},
		"no secrets":                  {bodyOnly, senders.Keys{}},
		"secret 2 is not hex":         {bodyOnly, senders.Keys{Secrets: []string{"00ff", "s3cr3t"}}},
		"secret 1 is not base64":      {senders.Standard{}, senders.Keys{Secrets: []string{"s3cr3t!"}}},
		"no keys":                     {key, senders.Keys{}},
		"key 1 is not hex: expected":  {key, senders.Keys{Secrets: []string{"s3cr3t"}}},
	} {
		_, err := c.scheme.Verifier(c.keys)
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("got %v, which does not say %s", err, says)
		}
	}
}

func TestSchemesWithAKeyOfTheSenderCannotSign(t *testing.T) {
	t.Parallel()
	standard := "whpk_" + base64.StdEncoding.EncodeToString(ed25519.NewKeyFromSeed(make([]byte, 32)).Public().(ed25519.PublicKey))
	for name, err := range map[string]error{
		"public key":        senders.PublicKey{}.Sign(senders.Keys{Secrets: []string{"a"}}, post("/"), "msg_1", time.Now()),
		"standard with key": senders.Standard{}.Sign(senders.Keys{Secrets: []string{standard}}, post("/"), "msg_1", time.Now()),
	} {
		if !errors.Is(err, senders.ErrCannotSign) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	keys := senders.Keys{Secrets: []string{"whsec_AAEC"}}
	for _, id := range []string{"", "a.b", "a b"} {
		if err := (senders.Standard{}).Sign(keys, post("/"), id, time.Now()); err == nil {
			t.Errorf("the id %q is signed, which no verifier takes", id)
		}
	}
}
