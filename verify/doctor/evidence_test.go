// SPDX-License-Identifier: Apache-2.0

package doctor_test

import (
	"slices"
	"testing"

	"github.com/caddy-webhook-inbox/inbox/verify"
	"github.com/caddy-webhook-inbox/inbox/verify/doctor"
	"github.com/caddy-webhook-inbox/inbox/verify/senders"
)

// A sender is named only if the request speaks of it, and not because it signs like
// others.
func TestDiagnoseNamesASenderOnlyWithATrace(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		row          string
		field, value string
		named        bool
	}{
		"nothing":                         {"meta", "User-Agent", "curl/8", false},
		"the name in another word":        {"meta", "User-Agent", "metabase/1", false},
		"a field that many have":          {"lemonsqueezy", "X-Webhook-Topic", "a", false},
		"Standard Webhooks":               {"clerk", "User-Agent", "Svix-Webhooks/1.4", false},
		"the id of the scheme":            {"svix", "Svix-Id", "msg_1", false},
		"its name in the signature's":     {"stripe", "X-Event", "a", true},
		"its initials in the signature's": {"zoom", "X-Event", "a", true},
		"its name in another field":       {"github", "X-GitHub-Event", "push", true},
		"its User-Agent":                  {"bitbucket", "User-Agent", "Bitbucket-Webhooks/2.0", true},
		"its id":                          {"jira", "X-Atlassian-Webhook-Identifier", "1", true},
		"the issuer of its token":         {"netlify", "X-Event", "a", true},
		"a scheme of its own":             {"adyen", "X-Event", "a", true},
	} {
		row := mustFind(t, c.row)
		r, secret := signed(t, row)
		for _, id := range row.MessageID {
			r.Header.Del(id.Header)
		}
		f := one(t, diagnose(set(r, c.field, c.value), []string{secret}))
		if named := f.Name == c.row; named != c.named || !named && (f.Name != "" || !slices.Contains(f.Like, c.row)) {
			t.Errorf("%s: named %q, and like it %q", name, f.Name, f.Like)
		}
	}
}

// Of a sender's places for an id, those are listed that the request has.
func TestIDsAreWhereTheRequestHasThem(t *testing.T) {
	t.Parallel()
	r, secret := signed(t, mustFind(t, "slack")) // its event_id is not in the body
	if f := one(t, diagnose(r, []string{secret})); f.Name != "slack" || len(f.IDs) > 0 {
		t.Errorf("got %q and %+v", f.Name, f.IDs)
	}
	r = set(set(send(`[1]`), "X-Request-Id", "1"), "X-Acme-Delivery", "2")
	signHMAC(t, header(), textSecret, "", r)
	if f := one(t, search(r, []string{textSecret})); len(f.IDs) != 1 || f.IDs[0].Header != "X-Acme-Delivery" {
		t.Errorf("got %+v", f.IDs)
	}
}

// Several findings are in one order always, that with the strongest hash first.
func TestFindingsAreOrdered(t *testing.T) {
	t.Parallel()
	r := send("{}")
	for algorithm, field := range map[string]string{"sha1": "X-A", "sha256": "X-B", "sha512": "X-C"} {
		signHMAC(t, verify.HMACConfig{Algorithm: algorithm, Signature: verify.Signature{Headers: []string{field}}}, textSecret, "", r)
	}
	for range 10 {
		var fields []string
		for _, f := range search(r, []string{textSecret}).Findings {
			fields = append(fields, doctor.Headers(f.Scheme)...)
		}
		if want := []string{"X-C", "X-B", "X-A"}; !slices.Equal(fields, want) {
			t.Fatalf("found %q, want %q", fields, want)
		}
	}
}

// It is said whether the body is proven.
func TestFindingsSayWhetherTheBodyIsCovered(t *testing.T) {
	t.Parallel()
	for name, unsigned := range map[string]bool{"stripe": false, "netlify": false, "twilio": false, "standard_webhooks": false, "mailgun": true, "gitlab": true, "adyen": true, "microsoft_graph": true} {
		r, secret := signed(t, mustFind(t, name))
		if f := one(t, diagnose(r, []string{secret})); f.Unsigned != unsigned {
			t.Errorf("%s: unsigned %v", name, f.Unsigned)
		}
	}
	r := send("{}")
	if err := (senders.JWT{Config: verify.JWTConfig{Algorithm: "HS256"}}).Sign(senders.Keys{Secrets: []string{textSecret}}, r, "", now); err != nil {
		t.Fatal(err)
	}
	if f := one(t, diagnose(r, []string{textSecret})); !f.Unsigned {
		t.Error("a token alone counts as a signature of the body")
	}
}
