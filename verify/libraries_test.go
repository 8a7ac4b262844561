// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/verify"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// The official libraries of Standard Webhooks do not agree on everything. Each
// test names a difference, and which side this package is on.

// Python decodes a secret without its padding; Go does not. Whoever copies a
// secret without "=" has the same secret: it is taken.
func TestASecretWithoutPaddingIsTheSameSecret(t *testing.T) {
	t.Parallel()
	padded := whsec(key)
	unpadded := strings.TrimRight(padded.Text, "=")
	if unpadded == padded.Text {
		t.Fatal("the premise of this test is wrong: there is no padding")
	}
	if _, err := standardwebhooks.NewWebhook(unpadded); err == nil {
		t.Error("Go's library takes it by now")
	}
	v, err := verify.NewStandard(verify.StandardConfig{Secrets: []verify.Secret{{Text: unpadded}}})
	if err != nil {
		t.Fatal(err)
	}
	expect(t, v, signStandard(key, "webhook", "msg_1", "1700000000", []byte("{}")), "ok")
}

// Go compares the text of signatures, Python what they decode to, so that only
// for Python the padding of a signature may be missing. It may here.
func TestASignatureWithoutPaddingIsTheSameSignature(t *testing.T) {
	t.Parallel()
	r := signStandard(key, "webhook", "msg_1", "1700000000", []byte("{}"))
	r.Header.Set("Webhook-Signature", strings.TrimRight(r.Header.Get("Webhook-Signature"), "="))
	if official(t).VerifyIgnoringTimestamp(r.Body, r.Header) == nil {
		t.Error("Go's library takes it by now")
	}
	expect(t, newStandard(t, key), r, "ok")
}

// The specification separates signatures by spaces. Supabase sends a comma and a
// space, so that a signature has a comma at its end, which Go passes over and a
// stricter reader of base64 would not. Both are taken.
func TestSignaturesMayBeSeparatedByCommaAndSpace(t *testing.T) {
	t.Parallel()
	for _, position := range []string{"first", "last"} {
		r := signStandard(key, "webhook", "msg_1", "1700000000", []byte("{}"))
		list := []string{r.Header.Get("Webhook-Signature"), v1("another", "msg_1", "1700000000", []byte("{}"))}
		if position == "last" {
			list[0], list[1] = list[1], list[0]
		}
		r.Header.Set("Webhook-Signature", strings.Join(list, ", "))
		if err := official(t).VerifyIgnoringTimestamp(r.Body, r.Header); err != nil {
			t.Errorf("Go's library does not take it any more: %v", err)
		}
		expect(t, newStandard(t, key), r, "ok")

		r.Header.Set("Webhook-Signature", strings.Join(list, " "))
		expect(t, newStandard(t, key), r, "ok")
	}
}

// Go and JavaScript print the timestamp they parsed and sign that, so that they
// accept leading zeros, which the sender did not sign. Here the text is signed
// as it was received, and has one spelling.
func TestATimestampIsNeverPrintedAgain(t *testing.T) {
	t.Parallel()
	r := signStandard(key, "webhook", "msg_1", "1700000000", []byte("{}"))
	r.Header.Set("Webhook-Timestamp", "01700000000")
	if err := official(t).VerifyIgnoringTimestamp(r.Body, r.Header); err != nil {
		t.Errorf("Go's library does not take it any more: %v", err)
	}
	expect(t, newStandard(t, key), r, "malformed")
	expect(t, newStandardWithZeros(t, whsec(key)), r, "mismatch")
}

// OpenAI's library signs the timestamp as it was received, leading zeros and
// all. This request is of its tests. It is refused, unless zeros are allowed.
func TestLeadingZerosOfOpenAIAreRefusedUnlessAllowed(t *testing.T) {
	t.Parallel()
	secret := verify.Secret{Text: "whsec_c3ludGhldGljLXdlYmhvb2stc2VjcmV0"}
	r := newRequest(http.MethodPost, "/", []byte(`{"synthetic": "café"}`))
	r.Header.Set("webhook-id", "evt_synthetic")
	r.Header.Set("webhook-timestamp", "01750000000")
	r.Header.Set("webhook-signature", "v1,6SGbGlZOGOBZqFzfGnK5UMEaF25XrA60fhHHtvzZr7w=")

	strict, err := verify.NewStandard(verify.StandardConfig{Secrets: []verify.Secret{secret}})
	if err != nil {
		t.Fatal(err)
	}
	zeros := newStandardWithZeros(t, secret)
	at := time.Unix(1750000000, 0)
	if _, err := strict.Verify(r.Request, at); outcome(err) != "malformed" {
		t.Errorf("got %v, want malformed", err)
	}
	claims, err := zeros.Verify(r.Request, at)
	if err != nil || !claims.Timestamp.Equal(at) {
		t.Errorf("got %v, %v", claims.Timestamp, err)
	}
	if _, err := zeros.Verify(r.Request, at.Add(301*time.Second)); outcome(err) != "expired" {
		t.Errorf("got %v, want expired", err)
	}
	for _, other := range []string{"1750000000", "001750000000", "+1750000000", "-01750000000", "0", "00", "0x1750000000", " 01750000000", "01750000000.0", "0_1750000000"} {
		r.Header.Set("webhook-timestamp", other)
		if _, err := zeros.Verify(r.Request, at); err == nil {
			t.Errorf("the timestamp %q is accepted", other)
		}
	}
}

// Where the headers svix-* are not complete, Svix's library for Go takes webhook-*
// as a whole, and those for Python and Rust header by header. Here a family is
// complete or none.
func TestAFamilyIsNotCompletedFromTheOther(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"id", "timestamp", "signature"} {
		r := signStandard(key, "svix", "msg_1", "1700000000", []byte("{}"))
		r.Header.Set("webhook-"+name, r.Header.Get("svix-"+name))
		r.Header.Del("svix-" + name)
		expect(t, newStandard(t, key), r, "missing")
	}
}

func official(t *testing.T) *standardwebhooks.Webhook {
	t.Helper()
	w, err := standardwebhooks.NewWebhook(whsec(key).Text)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func newStandardWithZeros(t *testing.T, secret verify.Secret) *verify.Standard {
	t.Helper()
	v, err := verify.NewStandard(verify.StandardConfig{Secrets: []verify.Secret{secret}, LeadingZeros: true})
	if err != nil {
		t.Fatal(err)
	}
	return v
}
