// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"strings"
	"testing"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

func TestTwilioSignsTheURLThatItWasGiven(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ publicURL, host, signed, want string }{
		{"", "hooks.example.com", "https://hooks.example.com/hooks", "ok"},
		{"", "hooks.example.com:8443", "https://hooks.example.com:8443/hooks", "ok"},
		{"", "hooks.example.com:8443", "https://hooks.example.com/hooks", "ok"},
		{"", "hooks.example.com:8443", "https://hooks.example.com:443/hooks", "mismatch"},
		{"", "hooks.example.com:8443", "http://hooks.example.com/hooks", "mismatch"},
		{"", "[2001:db8::1]:8443", "https://[2001:db8::1]/hooks", "ok"},
		{"", "[2001:db8::1]", "https://[2001:db8::1]:443/hooks", "ok"},
		{"", "", "https:///hooks", "missing"},
		{"https://public.example.com", "10.0.0.1:8080", "https://public.example.com/hooks", "ok"},
		{"https://public.example.com/", "10.0.0.1:8080", "https://public.example.com/hooks", "ok"},
		{"https://public.example.com", "", "https://public.example.com:443/hooks", "ok"},
		{"http://public.example.com:8080", "", "http://public.example.com/hooks", "ok"},
		{"http://public.example.com", "", "http://public.example.com:80/hooks", "ok"},
		{"https://public.example.com/in", "10.0.0.1", "https://public.example.com/in/hooks", "ok"},
		{"https://public.example.com", "10.0.0.1:8080", "https://10.0.0.1:8080/hooks", "mismatch"},
	} {
		r := sentByTwilio("/hooks", "", "", c.signed)
		r.host = c.host
		r.setLookup()
		expect(t, newTwilio(t, c.publicURL), r, c.want)
	}
	r := sentByTwilio("/hooks", "", "", "https://hooks.example.com/hooks")
	r.Lookup = nil
	expect(t, newTwilio(t, ""), r, "missing")
	expect(t, newTwilio(t, "https://hooks.example.com"), r, "ok")
	for _, uri := range []string{"", "*", "hooks", "https://hooks.example.com/hooks", ".example.com/"} {
		expect(t, newTwilio(t, ""), sentByTwilio(uri, "", "", "https://hooks.example.com"+uri), "malformed")
	}
}

func TestTwilioTakesNoConfigurationThatLetsEveryoneIn(t *testing.T) {
	t.Parallel()
	for _, config := range []verify.TwilioConfig{
		{},
		{Tokens: []string{""}},
		{Tokens: []string{key, " "}},
		{Tokens: []string{key + "\n"}},
		{Tokens: []string{"\x00\x00"}},
	} {
		if _, err := verify.NewTwilio(config); err == nil {
			t.Errorf("%q is taken", config.Tokens)
		}
	}
}

func TestAPublicURLIsASchemeAndAHost(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"h.example", "//h.example", "ftp://h.example", "https:///", "https:h", "https://:443",
		"https://u:p@h.example", "https://h.example?a", "https://h.example/?",
		"https://h.example/#", "https://h.example:x", " https://h.example", "{env.URL}",
	} {
		_, err := verify.NewTwilio(verify.TwilioConfig{Tokens: []string{key}, PublicURL: text})
		if err == nil || strings.Contains(err.Error(), text) {
			t.Errorf("public URL %q: got %v, want an error that does not show it", text, err)
		}
	}
}
