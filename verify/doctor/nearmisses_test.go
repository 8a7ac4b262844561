// SPDX-License-Identifier: Apache-2.0

package doctor_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/verify"
	"github.com/caddy-webhook-inbox/inbox/verify/senders"
)

// Of what nearly verifies it is said why it does not, and at last what looked like a
// signature.
func TestNearMissesHaveTheirReasons(t *testing.T) {
	t.Parallel()
	foreign := strings.Repeat("00", 32)
	for name, c := range map[string]struct {
		fields map[string]string
		body   string
		secret string
		want   []string
	}{
		"missing": {fields: map[string]string{"X-Slack-Signature": "v0=" + foreign},
			want: []string{"as it is for slack, but something else is not there: header X-Slack-Request-Timestamp: missing", "This looked like a signature: X-Slack-Signature, 32 bytes, as of HMAC-SHA256"}},
		"malformed": {fields: map[string]string{"X-Slack-Signature": foreign, "X-Slack-Request-Timestamp": "1700000000"},
			want: []string{"it is not in the form of that sender"}},
		"mismatch": {fields: map[string]string{"X-Slack-Signature": "v0=" + foreign, "X-Slack-Request-Timestamp": "1700000000"},
			want: []string{"it is not right: the secret is another one"}},
		"URL": {fields: map[string]string{"X-Trello-Webhook": "AAAAAAAAAAAAAAAAAAAAAAAAAAA="},
			want: []string{"for trello, but it is not right", "The URL is signed too, and may differ from the one that the sender was given: name that with --public-url"}},
		"in the body": {body: `{"signature":{"timestamp":"1700000000","token":"a","signature":"` + foreign + `"}}`,
			want: []string{"A signature in the body is there, as it is for mailgun, but it is not right", "the body's signature.signature, 32 bytes"}},
		"family": {fields: map[string]string{"Webhook-Id": "1", "Webhook-Timestamp": "1700000000", "Webhook-Signature": "v1,x"}, secret: "not base64!",
			want: []string{"Secret 1 cannot be one of Standard Webhooks: secret 1 is not base64"}},
		"two of them": {fields: map[string]string{"X-A": foreign, "X-B": "v1=" + foreign},
			want: []string{"X-A, 32 bytes, as of HMAC-SHA256; X-B, 32 bytes"}},
		"JWT and a key that cannot be": {fields: map[string]string{"Authorization": "Bearer eyJhbGciOiJSUzI1NiJ9.e30.c2ln"},
			want: []string{"Secret 1 cannot be its key: key 1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, secret := send("{}"), textSecret
			if c.body != "" {
				r.Body = []byte(c.body)
			}
			if c.secret != "" {
				secret = c.secret
			}
			for field, value := range c.fields {
				set(r, field, value)
			}
			report := diagnose(r, []string{secret})
			text := strings.Join(report.Remarks, "\n")
			for _, want := range c.want {
				if !strings.Contains(text, want) {
					t.Errorf("%q is not in:\n%s", want, text)
				}
			}
			if len(report.Findings) > 0 {
				t.Errorf("found %+v", report.Findings)
			}
			if last := report.Remarks[len(report.Remarks)-1]; !strings.HasPrefix(last, "This looked like") && !strings.HasPrefix(last, "No header field") {
				t.Errorf("the last remark is %q", last)
			}
			keeps(t, report, secret, foreign)
		})
	}
}

// A secret that the sender signs with and the inbox does not take is said to be one.
func TestSecretsThatTheInboxRefuses(t *testing.T) {
	t.Parallel()
	secret := " " + textSecret
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte("{}"))
	r := set(send("{}"), "X-Acme-Signature", hex.EncodeToString(h.Sum(nil)))
	report := diagnose(r, []string{"another", secret})
	if f := one(t, report); f.Refused != "secret 2 has white space around it" || f.Altered != "" {
		t.Errorf("got %+v", f)
	}
	keeps(t, report, textSecret)
	signHMAC(t, header(), textSecret, "", r)
	if f := one(t, diagnose(r, []string{textSecret})); f.Refused != "" {
		t.Errorf("without the white space: %q", f.Refused)
	}
}

// A token is found with its audience and its end.
func TestTokensHaveAnAudienceAndAnEnd(t *testing.T) {
	t.Parallel()
	config := verify.JWTConfig{Algorithm: "HS256", Audience: "inbox", RequireExpiry: true}
	r := send("{}")
	if err := (senders.JWT{Config: config}).Sign(senders.Keys{Secrets: []string{textSecret}}, r, "", now); err != nil {
		t.Fatal(err)
	}
	f := one(t, diagnose(r, []string{textSecret}))
	if got, ok := f.Scheme.(senders.JWT); !ok || got.Config.Audience != "inbox" || f.Expired {
		t.Errorf("got %+v", f)
	}
	if want := now.Add(6 * time.Minute); !f.Until.Equal(want) {
		t.Errorf("until %v, want %v", f.Until, want)
	}
	if f := one(t, diagnoseAt(r, textSecret, f.Until)); !f.Expired {
		t.Error("it has not expired at its end")
	}
	if f := one(t, diagnoseAt(r, textSecret, f.Until.Add(-time.Second))); f.Expired {
		t.Error("it has expired before its end")
	}
	if f := one(t, diagnoseAt(r, textSecret, now.Add(-time.Hour))); !f.Expired || !now.Before(f.Until) {
		t.Errorf("before it was issued: got %+v", f)
	}
}
