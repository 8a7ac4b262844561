// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

// A signer is the sender's side of a scheme.
type signer func(r *verify.Request, id string, now time.Time) error

func TestWhatASchemeOfItsOwnSignsItVerifies(t *testing.T) {
	t.Parallel()
	must := func(v verify.Verifier, err error) verify.Verifier {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	const public = "https://public.example.com/in"
	twilio := verify.TwilioConfig{Tokens: []string{key, "the last token"}}
	twilioPublic := verify.TwilioConfig{Tokens: []string{key}, PublicURL: public}
	hubspot1 := verify.HubSpotConfig{Secrets: []string{key, "the last secret"}, Version: 1}
	hubspot2 := verify.HubSpotConfig{Secrets: []string{key}, Version: 2, PublicURL: public}
	adyen := verify.AdyenConfig{Secrets: []verify.Secret{{Text: adyenKey}}}
	clientState := func(r *verify.Request, _ string, _ time.Time) error { return verify.SignClientState("state", r) }
	for name, c := range map[string]struct {
		sign     signer
		verifier func() (verify.Verifier, error)
		header   string
		bodies   []string
	}{
		"twilio form": {twilio.Sign, func() (verify.Verifier, error) { return verify.NewTwilio(twilio) }, formType, []string{"", "b=1&a=%2B"}},
		"twilio body": {twilioPublic.Sign, func() (verify.Verifier, error) { return verify.NewTwilio(twilioPublic) }, "", []string{"", "{}"}},
		"hubspot 1":   {hubspot1.Sign, func() (verify.Verifier, error) { return verify.NewHubSpot(hubspot1) }, "", []string{"", "[]"}},
		"hubspot 2":   {hubspot2.Sign, func() (verify.Verifier, error) { return verify.NewHubSpot(hubspot2) }, "", []string{"", "[]"}},
		"adyen": {adyen.Sign, func() (verify.Verifier, error) { return verify.NewAdyen(adyen) }, "", []string{
			`{"notificationItems":[{"NotificationRequestItem":{}}]}`,
			`{"notificationItems":[{"NotificationRequestItem":{` + adyenMembers + `"additionalData":{"hmacSignature":"old","x":"<&>"}}}]}`,
			`{"notificationItems":[{"NotificationRequestItem":{"amount":{"value":12345678901234567890}}}]}`,
		}},
		"client state": {clientState, func() (verify.Verifier, error) { return verify.NewClientState([]string{"last", "state"}) }, "", []string{
			`{"value":[{}]}`, `{"value":[{"clientState":"old","n":1.50},{"id":"2"}]}`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := must(c.verifier())
			for _, body := range c.bodies {
				for _, uri := range []string{"/hooks", "/hooks?a=1"} {
					r := newRequest(http.MethodPost, uri, []byte(body))
					if c.header != "" {
						r.Header.Set("Content-Type", c.header)
					}
					if _, err := v.Verify(r.Request, time.Unix(now, 0)); err == nil {
						t.Errorf("%q is accepted unsigned", body)
					}
					for range 2 { // signed again, it is signed anew
						if err := c.sign(r.Request, "msg_1", time.Unix(now, 0)); err != nil {
							t.Fatalf("signing %q: %v", body, err)
						}
						expect(t, v, r, "ok")
					}
				}
			}
		})
	}
}

func TestSigningSaysWhatItCannotSign(t *testing.T) {
	t.Parallel()
	adyen := verify.AdyenConfig{Secrets: []verify.Secret{{Text: adyenKey}}}
	clientState := func(r *verify.Request, _ string, _ time.Time) error { return verify.SignClientState("state", r) }
	for _, c := range []struct {
		sign signer
		body string
	}{
		{verify.TwilioConfig{}.Sign, ""},
		{verify.HubSpotConfig{Version: 1}.Sign, ""},
		{verify.HubSpotConfig{Version: 1, Secrets: []string{key}}.Sign, "\xff"},
		{verify.AdyenConfig{}.Sign, `{"notificationItems":[{"NotificationRequestItem":{}}]}`},
		{adyen.Sign, ""},
		{adyen.Sign, "[]"},
		{adyen.Sign, "{}"},
		{adyen.Sign, `{"notificationItems":[]}`},
		{adyen.Sign, `{"notificationItems":[1]}`},
		{adyen.Sign, `{"notificationItems":[{}]}`},
		{adyen.Sign, `{"notificationItems":[{"NotificationRequestItem":{}},{"NotificationRequestItem":{}}]}`},
		{clientState, "{}"},
		{clientState, `{"value":[1]}`},
	} {
		r := newRequest(http.MethodPost, "/hooks", []byte(c.body))
		if err := c.sign(r.Request, "", time.Unix(now, 0)); err == nil {
			t.Errorf("%q is signed", c.body)
		}
		if string(r.Body) != c.body || len(r.Header) > 0 {
			t.Errorf("%q is signed in part", c.body)
		}
	}
	if err := verify.SignClientState("", newRequest("POST", "/", []byte(`{"value":[{}]}`)).Request); err == nil {
		t.Error("an empty client state is set")
	}
	r := newRequest(http.MethodPost, "/hooks?bodySHA256="+strings.Repeat("0", 64), []byte("{}"))
	if err := (verify.TwilioConfig{Tokens: []string{key}}).Sign(r.Request, "", time.Unix(now, 0)); err == nil {
		t.Error("the hash of another body is signed")
	}
}
