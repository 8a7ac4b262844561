// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/verify"
	"github.com/caddy-webhook-inbox/inbox/verify/senders"
)

const doctorSecret = "4f1c0ba7d0c84b7f9a5e3d2b1c0f9e8d"

// captured returns a request as text that is signed in a sender's way.
func captured(t *testing.T, scheme senders.Scheme, secret, body string, at time.Time) string {
	t.Helper()
	return capturedAt(t, "/hooks", scheme, secret, body, at)
}

func capturedAt(t *testing.T, uri string, scheme senders.Scheme, secret, body string, at time.Time) string {
	t.Helper()
	r := &verify.Request{Method: "POST", URI: uri, Header: make(http.Header), Body: []byte(body)}
	r.Lookup = func(name string) (string, bool) {
		value, ok := map[string]string{"http.request.method": "POST", "http.request.uri": uri}[name]
		return value, ok
	}
	keys := senders.Keys{Secrets: []string{secret}}
	if scheme.Needs().URL {
		keys.PublicURL = "https://hooks.example.com"
	}
	if err := scheme.Sign(keys, r, "msg_1", at); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("POST " + r.URI + " HTTP/1.1\r\nHost: hooks.example.com\r\n")
	if err := r.Header.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String() + "\r\n" + string(r.Body)
}

// What doctor prints says which verify it is, and whether it would accept the
// request now.
func TestDoctorSaysWhatVerifies(t *testing.T) {
	t.Parallel()
	stripe, _ := senders.Find("stripe")
	unknown := senders.HMAC{
		Config: verify.HMACConfig{
			Algorithm: "sha512",
			Signature: verify.Signature{Headers: []string{"X-Acme-Signature"}, Prefix: "HMAC ", Encoding: "base64"},
			Signed:    "{timestamp}:{body}",
			Timestamp: &verify.Timestamp{Header: "X-Acme-Time", Unit: "ms"},
		},
		Encoding: "hex",
	}
	square, _ := senders.Find("square")
	github, _ := senders.Find("github")
	mailgun, _ := senders.Find("mailgun")
	now := time.Now()
	secret := file(t, "secret", doctorSecret+"\n")
	other := file(t, "other", "another-secret")
	for name, c := range map[string]struct {
		request string
		args    []string
		want    []string
		ok      bool
	}{
		"fresh": {captured(t, stripe.Scheme, doctorSecret, `{"id":"evt_1"}`, now), nil, []string{
			"This is how Stripe signs (stripe), and secret 2 is right:\n\n\tverify stripe {env.STRIPE_SECRET}\n",
			"\tverify hmac {\n\t\tsecret {env.STRIPE_SECRET}\n\t\tsignature header Stripe-Signature key v1\n\t\tsigned {timestamp}.{body}\n\t\ttimestamp key t\n\t}\n",
			"an inbox accepts it", "The id of its message is in: json id.",
		}, true},
		"three days old": {captured(t, stripe.Scheme, doctorSecret, "{}", now.Add(-72*time.Hour-time.Minute)), nil, []string{
			"verify stripe", "It was signed 3 days and 1 minute ago", "by 2 days and 23 hours", "refuses it as expired",
		}, true},
		"then": {captured(t, stripe.Scheme, doctorSecret, "{}", time.Unix(1700000000, 0)), []string{"--now", "2023-11-14T22:14:00Z"}, []string{
			"It was signed 40 seconds ago, within the tolerance of 5m",
		}, true},
		"unknown": {captured(t, unknown, doctorSecret, `{"id":"evt_1"}`, now), nil, []string{
			"This verifies it, and secret 2 is right:",
			"\tverify hmac {\n\t\tsecret {env.SENDER_SECRET} hex\n\t\talgorithm sha512\n\t\tsignature header X-Acme-Signature prefix \"HMAC \" encoding base64\n" +
				"\t\tsigned {timestamp}:{body}\n\t\ttimestamp header X-Acme-Time unit ms\n\t}\n",
			"\tmessage_id json id  # signed", "if two messages never share it",
		}, true},
		"JWT": {captured(t, senders.JWT{Config: verify.JWTConfig{Algorithm: "HS256", Issuer: "acme", Audience: "inbox", RequireExpiry: true}}, doctorSecret, "{}", now), nil, []string{
			"\tverify jwt {\n\t\tkey {env.SENDER_SECRET}\n\t\talgorithm HS256\n\t\tissuer acme\n\t\taudience inbox\n\t\trequire_expiry\n\t}\n",
			"the request is accepted until " + now.Add(6*time.Minute).UTC().Format(time.RFC3339), "The body is not covered: the token says who sent the request",
		}, true},
		"JWT with a hash of the body": {captured(t, senders.JWT{Config: verify.JWTConfig{Algorithm: "HS256", BodyClaim: "sha256"}}, doctorSecret, "{}", now), nil, []string{
			"body_claim sha256", "the request is accepted however old it is",
		}, true},
		"JWT of the future": {captured(t, senders.JWT{Config: verify.JWTConfig{Algorithm: "HS256", RequireExpiry: true}}, doctorSecret, "{}", now.Add(time.Hour)), nil, []string{
			"verify jwt", "an inbox refuses it now. A clock is wrong",
		}, true},
		"too far in the future": {captured(t, stripe.Scheme, doctorSecret, "{}", now.Add(90*time.Minute)), nil, []string{
			"It was signed 1 hour and ", "in the future", "refuses it as expired", "A clock is wrong: that of the sender or that of this machine.",
		}, true},
		"a little in the future": {captured(t, stripe.Scheme, doctorSecret, "{}", now.Add(3*time.Minute)), nil, []string{
			"in the future, within the tolerance of 5m: an inbox accepts it. A clock is wrong",
		}, true},
		"not signed": {captured(t, senders.Token{Header: "X-Acme-Token"}, doctorSecret, "{}", now), nil, []string{
			"verify token X-Acme-Token {env.SENDER_TOKEN}", "The body is not covered: nothing is signed",
		}, true},
		"a part of the body": {captured(t, mailgun.Scheme, doctorSecret, `{"signature":{}}`, now), nil, []string{
			"These sign alike: mailgun.", "The body is not covered by the signature",
		}, true},
		"without a trace of the sender": {captured(t, github.Scheme, doctorSecret, "{}", now), nil, []string{
			"This verifies it, and secret 2 is right:", "\tverify hmac {\n\t\tsecret {env.SENDER_SECRET}\n\t\tsignature header X-Hub-Signature-256 prefix sha256= encoding hex\n", "These sign alike: github, meta.",
		}, true},
		"id that is not signed": {strings.Replace(captured(t, github.Scheme, doctorSecret, "[]", now), "\r\n", "\r\nX-Acme-Delivery: 1\r\nX-Request-Id: 2\r\n", 1), nil, []string{
			":\n\n\tmessage_id header X-Acme-Delivery  # not signed: add dedupe 96h on id content, unless two genuine messages can be equal\n",
		}, true},
		"expired JWT": {captured(t, senders.JWT{Config: verify.JWTConfig{Algorithm: "HS256", RequireExpiry: true}}, doctorSecret, "{}", now.Add(-1000*time.Hour)), nil, []string{
			"verify jwt", "an inbox refuses it now",
		}, true},
		"URL": {captured(t, square.Scheme, doctorSecret, "{}", now), nil, []string{
			"verify square {env.SQUARE_SECRET} {\n\t\tpublic_url https://hooks.example.com\n\t}", "There is no time in what is signed",
		}, true},
		"re-serialised": {captured(t, stripe.Scheme, doctorSecret, `{"a":1}`, now) + "\n", nil, []string{
			"Nothing verifies the request as it was captured, but one change makes it right:", "without the one at its end", "verify stripe",
		}, false},
		"nothing": {"POST / HTTP/1.1\nHost: a\n\n{}", nil, []string{"the search found nothing", "No header field has the form of a signature"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"doctor", "--request", "-", "--secret-file", other, "--secret-file", secret}, c.args...)
			out, err := run(t, c.request, args...)
			if (err == nil) != c.ok {
				t.Errorf("error %v", err)
			}
			contains(t, out, c.want...)
			if strings.Contains(out, doctorSecret) || strings.Contains(out, "another-secret") {
				t.Errorf("a secret is in the output:\n%s", out)
			}
		})
	}
}

var environmentPlaceholder = regexp.MustCompile(`\{env\.\w+\}`)

var printedBlock = regexp.MustCompile(`(?m)^\tverify (?:.*[^{\n]$|(?s:.*?)\n\t}$)`)

// What doctor prints can be copied: a Caddyfile takes it, formatted as it is, and
// with it the inbox accepts what the sender signs.
func TestWhatDoctorPrintsWorks(t *testing.T) {
	secret := file(t, "secret", doctorSecret)
	t.Setenv("SENDER_SECRET", doctorSecret)
	var site strings.Builder
	var requests []string
	rows := senders.All()
	for i, template := range []string{
		"{timestamp}\n{body}",
		"{timestamp}\n{http.request.method}\n{http.request.uri}\n{body}",
		"{http.request.method} {http.request.uri}\n{body}",
	} {
		config := verify.HMACConfig{Signature: verify.Signature{Headers: []string{"X-Acme-Signature"}}, Signed: template}
		if strings.Contains(template, "{timestamp}") {
			config.Timestamp = &verify.Timestamp{Header: "X-Acme-Time"}
		}
		rows = append(rows, senders.Sender{Name: fmt.Sprint("lines_", i), Scheme: senders.HMAC{Config: config}})
	}
	for _, row := range rows {
		switch row.Scheme.(type) {
		case senders.HMAC, senders.Token, senders.Bearer, senders.Twilio, senders.JWT:
		default:
			continue
		}
		out, err := run(t, captured(t, row.Scheme, doctorSecret, `{"id":"1"}`, time.Now()), "doctor", "-r", "-", "-s", secret)
		if err != nil {
			t.Fatalf("%s: %v\n%s", row.Name, err, out)
		}
		blocks := printedBlock.FindAllString(out, -1)
		if len(blocks) == 0 {
			t.Fatalf("%s: no verify is in:\n%s", row.Name, out)
		}
		for i, block := range blocks {
			name := fmt.Sprintf("%s-%d", row.Name, i)
			block = environmentPlaceholder.ReplaceAllString(block, "{env.SENDER_SECRET}")
			directive := fmt.Sprintf("\twebhook_inbox /%s %s {\n%s\n\t\tdedupe 96h on content\n\t\tdeliver 127.0.0.1:1\n\t}\n", name, name, indent(block, 1))
			_, warnings, err := adapt("hooks.example.com {\n" + directive + "}\n")
			if err != nil {
				t.Fatalf("%s: %v in\n%s", name, err, directive)
			}
			for _, w := range warnings {
				t.Errorf("%s: warning: %s in\n%s", name, w.Message, directive)
			}
			site.WriteString(directive)
			requests = append(requests, capturedAt(t, "/"+name, row.Scheme, doctorSecret, `{"id":"1"}`, time.Now()))
		}
	}
	s := newServer(t)
	if err := s.tryLoad(strings.Replace(s.caddyfile("", site.String()), "http://"+s.port(), "http://hooks.example.com"+s.port(), 1)); err != nil {
		t.Fatal(err)
	}
	for _, text := range requests {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
		if err != nil {
			t.Fatal(err)
		}
		_, body, _ := strings.Cut(text, "\r\n\r\n")
		r.Header.Set("Host", r.Host)
		if resp := s.send(r.Method, r.RequestURI, r.Header, body); resp.StatusCode/100 != 2 {
			t.Errorf("%s: status %d", r.RequestURI, resp.StatusCode)
		}
	}
}

// A secret that the sender signs with and an inbox would not take is not printed as
// if it did.
func TestDoctorSaysThatTheInboxRefusesTheSecret(t *testing.T) {
	t.Parallel()
	secret := file(t, "secret", doctorSecret+" \n")
	mac := hmac.New(sha256.New, []byte(doctorSecret+" "))
	mac.Write([]byte("{}"))
	request := "POST / HTTP/1.1\nHost: a\nX-Acme-Signature: " + hex.EncodeToString(mac.Sum(nil)) + "\n\n{}"
	out, err := run(t, request, "doctor", "-r", "-", "-s", secret)
	if err != nil {
		t.Error(err)
	}
	contains(t, out, "an inbox does not take the secret: secret 1 has white space around it")
	if strings.Contains(out, "verify hmac") || strings.Contains(out, doctorSecret) {
		t.Errorf("printed:\n%s", out)
	}
}
