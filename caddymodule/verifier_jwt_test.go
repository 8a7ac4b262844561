// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// newTokenSigner returns what makes tokens of claims, as another library does.
func newTokenSigner(t *testing.T, algorithm jose.SignatureAlgorithm, key any) func(claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return func(claims map[string]any) string {
		t.Helper()
		token, err := jwt.Signed(signer).Claims(claims).Serialize()
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
}

// A token that holds the hash of the body is right for this body only, and a
// retry with a token of its own is a duplicate.
func TestJWTOfTheBody(t *testing.T) {
	const secret = "a secret of 32 bytes, if not a good one"
	t.Setenv("SECRET", secret)
	app := newApplication(t)
	s := serve(t, fmt.Sprintf(`
	webhook_inbox demo {
		verify jwt {env.SECRET} {
			algorithm  HS256
			header     X-Webhook-Signature
			issuer     netlify
			body_claim sha256
		}
		dedupe on content
		deliver %s
	}
`, app.addr))
	sign := newTokenSigner(t, jose.HS256, []byte(secret))
	token := func(issuer, body string, n int) http.Header {
		sum := sha256.Sum256([]byte(body))
		return header("X-Webhook-Signature", sign(map[string]any{"iss": issuer, "sha256": hex.EncodeToString(sum[:]), "n": n}))
	}
	s.expect(http.StatusAccepted, "POST", "/", token("netlify", "one", 1), "one")
	s.expect(http.StatusAccepted, "POST", "/", token("netlify", "one", 2), "one")
	s.expect(http.StatusAccepted, "POST", "/", token("netlify", "two", 1), "two")
	resp := s.expect(http.StatusUnauthorized, "POST", "/", token("netlify", "two", 1), "three")
	if challenge := resp.Header.Get("WWW-Authenticate"); challenge != "" {
		t.Errorf("WWW-Authenticate is %q, and the token is elsewhere", challenge)
	}
	s.expect(http.StatusUnauthorized, "POST", "/", token("another", "four", 1), "four")
	s.expect(http.StatusUnauthorized, "POST", "/", nil, "five")
	for _, want := range []string{"one", "two"} {
		if d := app.next(); d.Body != want {
			t.Errorf("delivered %q, want %q", d.Body, want)
		}
	}
	s.settled("demo")
	app.none()
}

// A token in Authorization says who sends, and for how long that is true.
func TestJWTOfTheSender(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "sender.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	app := newApplication(t)
	s := serve(t, fmt.Sprintf(`
	webhook_inbox demo {
		verify jwt {file.%s} {
			algorithm EdDSA
			audience  hooks
			max_age   5m
			require_expiry
		}
		message_id header X-Webhook-Id
		deliver %s
	}
`, path, app.addr))
	sign := newTokenSigner(t, jose.EdDSA, private)
	now := time.Now()
	send := func(status int, issued, expires time.Time) *http.Response {
		t.Helper()
		token := sign(map[string]any{"aud": "hooks", "iat": issued.Unix(), "exp": expires.Unix()})
		return s.expect(status, "POST", "/", withBearer(token, fmt.Sprint(issued)), "")
	}
	send(http.StatusAccepted, now, now.Add(time.Hour))
	send(http.StatusAccepted, now.Add(-4*time.Minute), now.Add(-30*time.Second))
	send(http.StatusUnauthorized, now.Add(-6*time.Minute), now.Add(time.Hour))
	resp := send(http.StatusUnauthorized, now.Add(-4*time.Minute), now.Add(-2*time.Minute))
	if challenge := resp.Header.Get("WWW-Authenticate"); challenge != "Bearer" {
		t.Errorf("WWW-Authenticate is %q", challenge)
	}
	app.next()
	app.next()
}

// A short secret is refused, unless the sender is one whose users choose a text.
func TestShortSecretsOfJWTs(t *testing.T) {
	for verifier, want := range map[string]string{
		"netlify short":                                "",
		"jwt short {\n algorithm HS256\n }":            "key 1 is shorter than 16 bytes",
		"jwt sixteen-bytes-ok {\n algorithm HS256\n }": "",
	} {
		config, _, err := adapt(":8080 {\n webhook_inbox demo {\n verify " + verifier + "\n dedupe on content\n deliver app:8080\n }\n}\n")
		if err != nil {
			t.Fatal(err)
		}
		t.Setenv("XDG_DATA_HOME", t.TempDir())
		checkRefused(t, validate(config), "", want)
	}
}
