// SPDX-License-Identifier: Apache-2.0

package senders

import (
	"net/http"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

func TestSchemesVerifyWhatTheySign(t *testing.T) {
	t.Parallel()
	const hexKey = "44782def547aaa06c910c43932b1eb0c71fc68d9d0c057550c48ec2acf6ba056"
	for name, c := range map[string]struct {
		scheme Scheme
		keys   Keys
		body   string
		needs  Needs
	}{
		"token":        {Token{"X-Token"}, Keys{Secrets: []string{"new", "old"}}, "{}", Needs{Secret: "token"}},
		"bearer":       {Bearer{}, Keys{Secrets: []string{"new", "old"}}, "{}", Needs{Secret: "token"}},
		"basic":        {Basic{}, Keys{User: "u", Secrets: []string{"new:", "old"}}, "{}", Needs{Secret: "password", User: true}},
		"twilio":       {Twilio{}, Keys{Secrets: []string{"new", "old"}, PublicURL: "https://a.example"}, "{}", Needs{Secret: "token", URL: true}},
		"hubspot 1":    {HubSpot{1}, Keys{Secrets: []string{"new", "old"}}, "[]", Needs{Secret: "secret"}},
		"hubspot 2":    {HubSpot{2}, Keys{Secrets: []string{"new", "old"}, PublicURL: "https://a.example"}, "[]", Needs{Secret: "secret", URL: true}},
		"adyen":        {Adyen{}, Keys{Secrets: []string{hexKey, "00ff"}}, `{"notificationItems":[{"NotificationRequestItem":{}}]}`, Needs{Secret: "secret"}},
		"client state": {ClientState{}, Keys{Secrets: []string{"new", "old"}}, `{"value":[{}]}`, Needs{Secret: "secret"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := c.scheme.Needs(); got != c.needs {
				t.Errorf("needs %+v, want %+v", got, c.needs)
			}
			now := time.Unix(1700000000, 0)
			r := &verify.Request{Method: http.MethodPost, URI: "/hooks", Header: http.Header{}, Body: []byte(c.body)}
			if err := c.scheme.Sign(c.keys, r, "msg_1", now); err != nil {
				t.Fatal(err)
			}
			v, err := c.scheme.Verifier(c.keys)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := v.Verify(r, now); err != nil {
				t.Error("with the keys it was signed with:", err)
			}

			// It was signed with the first of the secrets, and with no other.
			keys := c.keys
			keys.Secrets = keys.Secrets[1:]
			if v, err = c.scheme.Verifier(keys); err != nil {
				t.Fatal(err)
			}
			if _, err := v.Verify(r, now); err == nil {
				t.Error("accepted with another secret")
			}
		})
	}
}

func TestSchemesRefuseToDoWithoutASecret(t *testing.T) {
	t.Parallel()
	for _, scheme := range []Scheme{
		Token{"X-Token"}, Bearer{}, Basic{}, Twilio{}, HubSpot{1}, HubSpot{2}, Adyen{}, ClientState{},
	} {
		for _, secrets := range [][]string{nil, {}, {""}, {"ab", ""}, {" "}} {
			keys := Keys{User: "u", Secrets: secrets}
			if _, err := scheme.Verifier(keys); err == nil {
				t.Errorf("%T takes the secrets %q", scheme, secrets)
			}
			if len(secrets) > 1 {
				continue // the first would do
			}
			body := `{"value":[{}],"notificationItems":[{"NotificationRequestItem":{}}]}`
			r := &verify.Request{Method: http.MethodPost, URI: "/", Header: http.Header{}, Body: []byte(body)}
			if err := scheme.Sign(keys, r, "", time.Unix(0, 0)); err == nil {
				t.Errorf("%T signs with the secrets %q", scheme, secrets)
			}
		}
	}
	if _, err := (Basic{}).Verifier(Keys{Secrets: []string{"p"}}); err == nil {
		t.Error("basic authentication without a user is taken")
	}
}
