// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"testing"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

// checkHeader checks what is said of a request before its body is read.
func checkHeader(t *testing.T, v verify.HeaderChecker, r *verify.Request, want string) {
	t.Helper()
	head := *r
	head.Body = nil
	if err := v.CheckHeader(&head, jwtNow); outcome(err) != want {
		t.Errorf("its header: %v, want %q", err, want)
	}
}

// Keys that belong to nobody.

func otherRSAKey(t testing.TB) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: jwtSPKI(t, key.Public())}))
}

func otherECDSAKey(t testing.TB) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(jwtSPKI(t, key.Public()))
}

func otherEd25519Key(t testing.TB) string {
	t.Helper()
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(jwtSPKI(t, public))
}

func jwtSPKI(t testing.TB, key crypto.PublicKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func decodeURL(t testing.TB, text string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
