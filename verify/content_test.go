// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

// Where the signature of a URL and a body does not say where the one ends and the
// other begins, moving the boundary makes no other message.
func TestAttackerMovesTheBoundaryOfWhatIsSigned(t *testing.T) {
	t.Parallel()
	config := verify.HMACConfig{
		Secrets:   []verify.Secret{{Text: "a secret"}},
		Signature: verify.Signature{Headers: []string{"X-Signature"}},
		Signed:    "{url}{body}",
		PublicURL: "https://hooks.example.com",
	}
	v, err := verify.NewHMAC(config)
	if err != nil {
		t.Fatal(err)
	}
	original := &verify.Request{Method: "POST", URI: "/hooks?id=", Header: http.Header{}, Body: []byte("1&text=2")}
	if err := config.Sign(original, "", time.Time{}); err != nil {
		t.Fatal(err)
	}
	moved := *original
	moved.URI, moved.Body = "/hooks?id=1", []byte("&text=2")

	first, err := v.Verify(original, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	second, err := v.Verify(&moved, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if first.Content != second.Content {
		t.Error("the same signature is that of two contents")
	}

	other := &verify.Request{Method: "POST", URI: "/hooks?id=", Header: http.Header{}, Body: []byte("1&text=3")}
	if err := config.Sign(other, "", time.Time{}); err != nil {
		t.Fatal(err)
	}
	if third, err := v.Verify(other, time.Time{}); err != nil || third.Content == first.Content {
		t.Errorf("another body is the same content (%v)", err)
	}
}
