// SPDX-License-Identifier: Apache-2.0

package doctor_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/verify"
	"github.com/caddy-webhook-inbox/inbox/verify/doctor"
	"github.com/caddy-webhook-inbox/inbox/verify/senders"
)

const (
	textSecret  = "4f1c0ba7d0c84b7f9a5e3d2b1c0f9e8d"
	whsecSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	hexSecret   = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056"
)

// now is when the tests look at their requests.
var now = time.Unix(1700000000, 0).UTC()

// send returns a request as a server sees it that anyone may send.
func send(body string) *verify.Request {
	c, err := doctor.ParseCapture([]byte("POST /hooks?a=1 HTTP/1.1\nHost: hooks.example.com\nContent-Type: application/json\nUser-Agent: Test/1.0\n\n"))
	if err != nil {
		panic(err)
	}
	c.Request.Body = []byte(body)
	return c.Request
}

func search(r *verify.Request, secrets []string) doctor.Report {
	return doctor.Search(r, secrets, "", now)
}

func diagnose(r *verify.Request, secrets []string) doctor.Report {
	return doctor.Diagnose(r, secrets, "", now)
}

// secretFor returns a secret in the form of a sender's.
func secretFor(scheme senders.Scheme) string {
	switch scheme := scheme.(type) {
	case senders.Standard:
		return whsecSecret
	case senders.Adyen:
		return hexSecret
	case senders.HMAC:
		if scheme.Form.Length == len(hexSecret) {
			return hexSecret
		}
	}
	return textSecret
}

// signed returns what a sender of the table sends, and the secret, if others than
// itself can sign like it.
func signed(t *testing.T, row senders.Sender) (*verify.Request, string) {
	t.Helper()
	r := send(`{"id":"evt_1","type":"test","items":[1,2.50,"a/b"],"name":"Zoë"}`)
	switch row.Scheme.(type) {
	case senders.Adyen:
		r.Body = []byte(`{"notificationItems":[{"NotificationRequestItem":{"pspReference":"1","eventCode":"TEST","success":"true"}}]}`)
	case senders.ClientState:
		r.Body = []byte(`{"value":[{"id":"1"},{"id":"2"}]}`)
	}
	secret := secretFor(row.Scheme)
	keys := senders.Keys{Secrets: []string{secret}, User: "hooks"}
	if row.Scheme.Needs().URL {
		keys.PublicURL = "https://hooks.example.com"
	}
	switch err := row.Scheme.Sign(keys, r, "msg_1", now); {
	case errors.Is(err, senders.ErrCannotSign):
		return nil, ""
	case err != nil:
		t.Fatalf("signing: %v", err)
	}
	for _, id := range row.MessageID {
		if id.Header != "" {
			r.Header.Set(id.Header, "msg_1")
		}
	}
	return r, secret
}

// signHMAC signs r as a configuration says, with a key as it is written.
func signHMAC(t *testing.T, config verify.HMACConfig, secret, encoding string, r *verify.Request) {
	t.Helper()
	keys := senders.Keys{Secrets: []string{secret}}
	if strings.Contains(config.Signed, "{url}") {
		keys.PublicURL = "https://hooks.example.com"
	}
	if err := (senders.HMAC{Config: config, Encoding: encoding}).Sign(keys, r, "msg_1", now); err != nil {
		t.Fatal(err)
	}
}

// header is a signature of the body in a header field, in hex.
func header() verify.HMACConfig {
	return verify.HMACConfig{Signature: verify.Signature{Headers: []string{"X-Acme-Signature"}}}
}

// one returns the only finding.
func one(t *testing.T, report doctor.Report) doctor.Finding {
	t.Helper()
	if len(report.Findings) != 1 {
		t.Fatalf("got %d findings, want 1; findings %+v, remarks %q", len(report.Findings), report.Findings, report.Remarks)
	}
	return report.Findings[0]
}

// keeps checks that nothing of the secrets is in what is printed.
func keeps(t *testing.T, report doctor.Report, secrets ...string) {
	t.Helper()
	text := fmt.Sprintf("%+v", report)
	for _, f := range report.Findings {
		if s, ok := f.Scheme.(senders.HMAC); ok {
			text += fmt.Sprintf("%+v", s.Config.Secrets)
		}
	}
	for _, secret := range secrets {
		if len(secret) > 0 && strings.Contains(text, secret) {
			t.Errorf("the secret is in the report: %s", text)
		}
	}
}

func set(r *verify.Request, name, value string) *verify.Request {
	if r.Header == nil {
		r.Header = make(http.Header)
	}
	r.Header.Set(name, value)
	return r
}

func diagnoseAt(r *verify.Request, secret string, at time.Time) doctor.Report {
	return doctor.Diagnose(r, []string{secret}, "", at)
}

func mustFind(t *testing.T, name string) senders.Sender {
	t.Helper()
	row, ok := senders.Find(name)
	if !ok {
		t.Fatalf("the table has no %s", name)
	}
	return row
}
