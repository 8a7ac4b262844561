// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

// FuzzOwnSchemes: whatever a request holds, it is refused with a reason, and
// what a sender could have signed is accepted once it is signed.
func FuzzOwnSchemes(f *testing.F) {
	f.Add("/hooks?a='b'&c=%27", formType, []byte("a=1&b=%2B"))
	f.Add("/hooks?bodySHA256=00", "application/json", []byte(`{"value":[{"clientState":"x"}]}`))
	f.Add("/", "", []byte(`{"notificationItems":[{"NotificationRequestItem":{"amount":{"value":1},"additionalData":{}}}]}`))
	f.Fuzz(func(t *testing.T, uri, contentType string, body []byte) {
		clientState, err := verify.NewClientState([]string{key})
		if err != nil {
			t.Fatal(err)
		}
		twilio := verify.TwilioConfig{Tokens: []string{key}}
		hubspot := verify.HubSpotConfig{Secrets: []string{key}, Version: 2}
		adyen := verify.AdyenConfig{Secrets: []verify.Secret{{Text: adyenKey}}}
		for _, c := range []struct {
			verifier verify.Verifier
			sign     signer
		}{
			{newTwilio(t, ""), twilio.Sign},
			{newHubSpot(t, 2, ""), hubspot.Sign},
			{newAdyen(t), adyen.Sign},
			{clientState, func(r *verify.Request, _ string, _ time.Time) error { return verify.SignClientState(key, r) }},
		} {
			r := newRequest(http.MethodPost, uri, body).clone()
			r.Header.Set("Content-Type", contentType)
			r.Header.Set("X-Twilio-Signature", b64(make([]byte, 20)))
			r.Header.Set("X-HubSpot-Signature", string(make([]byte, 64)))
			if _, err := c.verifier.Verify(r.Request, time.Unix(now, 0)); err != nil && verify.Reason(err) == "error" {
				t.Fatalf("%T: %v wraps no reason", c.verifier, err)
			}
			if err := c.sign(r.Request, "", time.Unix(now, 0)); err != nil {
				continue
			}
			_, err := c.verifier.Verify(r.Request, time.Unix(now, 0))
			// A signature can be added to what is ambiguous, and does not make it
			// any less so; what is in no body is none of that.
			if err != nil && verify.Reason(err) != "malformed" {
				t.Fatalf("%T signs what it does not accept: %v: %v", c.verifier, err, r)
			}
		}
	})
}
