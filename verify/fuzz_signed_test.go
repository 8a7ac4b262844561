// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"crypto/elliptic"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

// Whatever the body that should hold its signature: no panic, and it is refused
// for a reason. With a signature in it, it is accepted, and that of one message
// is not that of another.
func FuzzSignatureInBody(f *testing.F) {
	f.Add([]byte(`{"sig":"00","t":1700000000,"token":"a"}`), "a1", "b2")
	f.Add([]byte(`{"sig":{"sig":null},"t":[]}`), "1", "11")
	f.Add([]byte(`{"t":"01700000000","t":1}`), "0", "")
	f.Add([]byte(`[{}]`), "x", "é")
	f.Add([]byte(``), "17", "7")

	config := github()
	inBody(&config, "{timestamp}{id}")
	config.ID = &verify.ID{JSON: "token"}
	v := newHMAC(f, config)
	f.Fuzz(func(t *testing.T, body []byte, id, other string) {
		r := newRequest(http.MethodPost, "/", body)
		if _, err := v.Verify(r.Request, time.Unix(now, 0)); outcome(err) == "ok" || outcome(err) == "error" {
			t.Fatalf("got %v for %q", err, r)
		}
		if err := config.Sign(r.Request, id, time.Unix(now, 0)); err != nil {
			return
		}
		claims, err := v.Verify(r.Request, time.Unix(now, 0))
		if err != nil || claims.ID != id {
			t.Fatalf("got %v, %q for %q", err, claims.ID, r)
		}
		second := newRequest(http.MethodPost, "/", body)
		if id == other || config.Sign(second.Request, other, time.Unix(now, 0)) != nil {
			return
		}
		path, err := verify.ParseJSONPath("sig")
		if err != nil {
			t.Fatal(err)
		}
		mine, _ := path.Lookup(r.Body)
		theirs, _ := path.Lookup(second.Body)
		r.Body = []byte(strings.Replace(string(r.Body), mine, theirs, 1))
		if _, err := v.Verify(r.Request, time.Unix(now, 0)); err == nil {
			t.Fatalf("the signature for %q is accepted for %q", other, id)
		}
	})
}

// Whatever the text of a public key and of a signature: no panic, nothing is
// accepted, and no error holds the key.
func FuzzPublicKey(f *testing.F) {
	public, private := keyPair("one")
	spki, _ := ecdsaPair(f, elliptic.P256())
	f.Add(hex.EncodeToString(public), "", strings.Repeat("00", 64), false)
	f.Add(hex.EncodeToString(private), "hex", "30060201010201", false)
	f.Add(b64(spki), "", "MAYCAQECAQE=", true)
	f.Add(inPEM("PUBLIC KEY", spki), "pem", "MAYCAQACAQA=", true)
	f.Add(inPEM("PUBLIC KEY", der(f, public)), "pem", "", false)

	f.Fuzz(func(t *testing.T, text, encoding, signature string, curve bool) {
		config := discord(verify.Secret{Text: text, Encoding: encoding})
		if curve {
			config = sendgrid(verify.Secret{Text: text, Encoding: encoding})
		}
		v, err := verify.NewPublicKey(config)
		if err != nil {
			if len(text) > 16 && strings.Contains(err.Error(), text) {
				t.Errorf("the error holds the key: %v", err)
			}
			return
		}
		r := newRequest(http.MethodPost, "/", []byte("{}"))
		r.Header.Set(config.Timestamp.Header, "1700000000")
		r.Header.Set(config.Signature.Headers[0], signature)
		if _, err := v.Verify(r.Request, time.Unix(now, 0)); outcome(err) == "ok" || outcome(err) == "error" {
			t.Errorf("got %v for %q", err, r)
		}
	})
}
