// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

func discord(keys ...verify.Secret) verify.PublicKeyConfig {
	return verify.PublicKeyConfig{
		Keys:      keys,
		Algorithm: "ed25519",
		Signature: verify.Signature{Headers: []string{"X-Signature-Ed25519"}},
		Signed:    "{timestamp}{body}",
		Timestamp: &verify.Timestamp{Header: "X-Signature-Timestamp"},
	}
}

func sendgrid(keys ...verify.Secret) verify.PublicKeyConfig {
	return verify.PublicKeyConfig{
		Keys:      keys,
		Algorithm: "ecdsa-p256",
		Signature: verify.Signature{Headers: []string{"X-Signature"}, Encoding: "base64"},
		Signed:    "{timestamp}{body}",
		Timestamp: &verify.Timestamp{Header: "X-Time"},
	}
}

func newPublicKey(t testing.TB, config verify.PublicKeyConfig) *verify.PublicKey {
	t.Helper()
	v, err := verify.NewPublicKey(config)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// ecdsaPair is a fixed key pair on the curve.
func ecdsaPair(t testing.TB, curve elliptic.Curve) (spki []byte, private *ecdsa.PrivateKey) {
	t.Helper()
	seed := sha256.Sum256([]byte("one"))
	private, err := ecdsa.ParseRawPrivateKey(curve, append(make([]byte, (curve.Params().BitSize+7)/8-32), seed[:]...))
	if err != nil {
		t.Fatal(err)
	}
	return der(t, private.Public()), private
}

func der(t testing.TB, public any) []byte {
	t.Helper()
	spki, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return spki
}

func inPEM(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func TestPublicKeysThatAreNoneAreRefusedWithWhatIsExpected(t *testing.T) {
	t.Parallel()
	public, private := keyPair("one")
	p256, p256private := ecdsaPair(t, elliptic.P256())
	p384, _ := ecdsaPair(t, elliptic.P384())
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(p256private)
	if err != nil {
		t.Fatal(err)
	}
	offCurve := append([]byte(nil), p256...)
	offCurve[len(offCurve)-1] ^= 1

	for name, c := range map[string]struct {
		config func(...verify.Secret) verify.PublicKeyConfig
		key    verify.Secret
		says   string
	}{
		"empty":                      {discord, verify.Secret{}, "key 2 is empty: expected 64 hex digits"},
		"white space":                {discord, verify.Secret{Text: hex.EncodeToString(public) + "\n"}, "white space around it: expected 64 hex digits"},
		"62 hex digits":              {discord, verify.Secret{Text: hex.EncodeToString(public[1:])}, "key 2 is no ed25519 public key: expected 64 hex digits"},
		"63 hex digits":              {discord, verify.Secret{Text: hex.EncodeToString(public)[1:]}, "is not hex: expected 64 hex digits"},
		"66 hex digits":              {discord, verify.Secret{Text: hex.EncodeToString(public) + "00"}, "expected 64 hex digits"},
		"base64 in place of hex":     {discord, verify.Secret{Text: b64(public)}, "is not hex: expected 64 hex digits"},
		"hex in place of base64":     {discord, verify.Secret{Text: hex.EncodeToString(public), Encoding: "base64"}, "expected the base64 of 32 bytes"},
		"a private key in hex":       {discord, verify.Secret{Text: hex.EncodeToString(private)}, "expected 64 hex digits"},
		"P-256 for ed25519":          {discord, verify.Secret{Text: b64(p256), Encoding: "base64"}, "no ed25519 public key"},
		"an unknown encoding":        {discord, verify.Secret{Text: hex.EncodeToString(public), Encoding: "raw"}, "unknown encoding: expected hex, base64 or pem"},
		"PEM for hex":                {discord, verify.Secret{Text: strings.TrimSpace(inPEM("PUBLIC KEY", der(t, public)))}, "is not hex"},
		"raw bytes in PEM":           {discord, verify.Secret{Text: inPEM("PUBLIC KEY", public), Encoding: "pem"}, "MCow"},
		"ed25519 for P-256":          {sendgrid, verify.Secret{Text: b64(der(t, public))}, "key 2 is no P-256 public key: expected the base64 of the key in SPKI form, which begins with MFkw"},
		"P-384":                      {sendgrid, verify.Secret{Text: b64(p384)}, "no P-256 public key"},
		"RSA":                        {sendgrid, verify.Secret{Text: b64(der(t, rsaKey.Public()))}, "no P-256 public key"},
		"not on the curve":           {sendgrid, verify.Secret{Text: b64(offCurve)}, "no P-256 public key"},
		"the point alone":            {sendgrid, verify.Secret{Text: b64(p256[26:])}, "MFkw"},
		"cut off":                    {sendgrid, verify.Secret{Text: b64(p256[:len(p256)-1])}, "MFkw"},
		"more after it":              {sendgrid, verify.Secret{Text: b64(append(append([]byte(nil), p256...), 0))}, "MFkw"},
		"no base64":                  {sendgrid, verify.Secret{Text: "what?"}, "is not base64: expected"},
		"PEM without its encoding":   {sendgrid, verify.Secret{Text: strings.TrimSpace(inPEM("PUBLIC KEY", p256))}, "is not base64"},
		"no PEM":                     {sendgrid, verify.Secret{Text: b64(p256), Encoding: "pem"}, "is not a single PEM block: expected BEGIN PUBLIC KEY"},
		"two PEM blocks":             {sendgrid, verify.Secret{Text: inPEM("PUBLIC KEY", p256) + inPEM("PUBLIC KEY", p256), Encoding: "pem"}, "is not a single PEM block"},
		"a private key in PEM":       {sendgrid, verify.Secret{Text: inPEM("PRIVATE KEY", pkcs8), Encoding: "pem"}, "is a private key, which only the sender should have"},
		"a certificate in PEM":       {sendgrid, verify.Secret{Text: inPEM("CERTIFICATE", p256), Encoding: "pem"}, "another type: expected BEGIN PUBLIC KEY"},
		"another key in PEM":         {sendgrid, verify.Secret{Text: inPEM("PUBLIC KEY", p384), Encoding: "pem"}, "no P-256 public key"},
		"hex of the ed25519 of SPKI": {sendgrid, verify.Secret{Text: hex.EncodeToString(der(t, public)), Encoding: "hex"}, "begins with 3059"},
	} {
		good := verify.Secret{Text: hex.EncodeToString(public)}
		if c.config().Algorithm == "ecdsa-p256" {
			good = verify.Secret{Text: b64(p256)}
		}
		_, err := verify.NewPublicKey(c.config(good, c.key))
		if err == nil || !strings.Contains(err.Error(), c.says) || !strings.HasPrefix(err.Error(), "key 2 ") {
			t.Errorf("%s: got %v, which does not say %s", name, err, c.says)
		}
		if err != nil && len(c.key.Text) > 8 && strings.Contains(err.Error(), c.key.Text[:8]) {
			t.Errorf("%s: the error holds the key", name)
		}
	}
}

func TestPublicKeyConfigurationsThatCannotBeMeantAreRefused(t *testing.T) {
	t.Parallel()
	public, _ := keyPair("one")
	for says, change := range map[string]func(*verify.PublicKeyConfig){
		"no keys":                            func(c *verify.PublicKeyConfig) { c.Keys = nil },
		"no algorithm: expected ed25519 or":  func(c *verify.PublicKeyConfig) { c.Algorithm = "" },
		"{id} and {body} have no text":       func(c *verify.PublicKeyConfig) { c.ID, c.Signed = &verify.ID{Header: "X-Id"}, "{timestamp}{id}{body}" },
		`unknown algorithm "rsa": expected`:  func(c *verify.PublicKeyConfig) { c.Algorithm = "rsa" },
		"signature: no header":               func(c *verify.PublicKeyConfig) { c.Signature.Headers = nil },
		"anyone could change the body":       func(c *verify.PublicKeyConfig) { c.Signed = "{timestamp}" },
		"anyone could change the timestamp":  func(c *verify.PublicKeyConfig) { c.Signed = "{body}" },
		"anyone could change X-Id":           func(c *verify.PublicKeyConfig) { c.ID = &verify.ID{Header: "X-Id"} },
		"public URL without {url} in signed": func(c *verify.PublicKeyConfig) { c.PublicURL = "https://example.com" },
		"tolerance is negative":              func(c *verify.PublicKeyConfig) { c.Tolerance = -1 },
	} {
		config := discord(verify.Secret{Text: hex.EncodeToString(public)})
		change(&config)
		if _, err := verify.NewPublicKey(config); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, which does not say %s", err, says)
		}
	}
}

// ECDSA signs anew each time, and each signature has a twin: the message is the
// same one, whichever arrives.
func TestTheClaimsDoNotDependOnWhichECDSASignatureArrives(t *testing.T) {
	t.Parallel()
	spki, private := ecdsaPair(t, elliptic.P256())
	v := newPublicKey(t, sendgrid(verify.Secret{Text: b64(spki)}))
	seen := map[string]bool{}
	var first verify.Claims
	for i := range 50 {
		sum := sha256.Sum256([]byte("1700000000[]"))
		signature, err := ecdsa.SignASN1(rand.Reader, private, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		seen[string(signature)] = true
		r := newRequest(http.MethodPost, "/", []byte("[]"))
		r.Header.Set("X-Time", "1700000000")
		r.Header.Set("X-Signature", b64(signature))
		claims := expect(t, v, r, "ok")
		if i == 0 {
			first = claims
		}
		if claims != first {
			t.Fatal("other claims for the same message")
		}
	}
	if len(seen) < 2 {
		t.Fatal("the premise of this test is wrong: there was one signature only")
	}
}

// A scheme that signs everything there is, with every place in use.
func TestAPublicKeySchemeCoversWhatItNames(t *testing.T) {
	t.Parallel()
	spki, private := ecdsaPair(t, elliptic.P256())
	config := sendgrid(verify.Secret{Text: b64(spki)})
	config.Signature = verify.Signature{Headers: []string{"X-Signature"}, Key: "s"}
	config.Signed = "{id}.{http.request.method} {url} {timestamp}{body}"
	config.Timestamp = &verify.Timestamp{Key: "t", Unit: "ms"}
	config.ID = &verify.ID{Header: "X-Id"}
	config.PublicURL = "https://inbox.example.com/"
	v := newPublicKey(t, config)

	r := newRequest(http.MethodPost, "/hooks?a=b", []byte("{}"))
	sum := sha256.Sum256([]byte("msg_1.POST https://inbox.example.com/hooks?a=b 1700000000000{}"))
	signature, err := ecdsa.SignASN1(rand.Reader, private, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Id", "msg_1")
	r.Header.Set("X-Signature", "t=1700000000000, s="+hex.EncodeToString(signature))
	claims := expect(t, v, r, "ok")
	if claims.ID != "msg_1" || !claims.Timestamp.Equal(time.Unix(now, 0)) {
		t.Errorf("got %+v", claims)
	}
	for _, part := range []string{"method", "uri", "body", "X-Id", "X-Signature"} {
		for changed := range r.flips(part) {
			if got, err := v.Verify(changed.Request, time.Unix(now, 0)); err == nil && got != claims {
				t.Errorf("accepted with a changed %s: %q", part, changed)
			}
		}
	}
}
