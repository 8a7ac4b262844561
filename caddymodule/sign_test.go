// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// whsec returns a secret for the application, other than that of the sender.
func whsec(of string) string {
	return "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat(of, 32)[:32]))
}

// checking returns a handler of an application that checks signatures with the
// library of the specification: 204 if it is right, and 401 if not.
func checking(t *testing.T, secret string) func(http.ResponseWriter, *http.Request, []byte) {
	t.Helper()
	webhook, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	return func(w http.ResponseWriter, r *http.Request, body []byte) {
		w.WriteHeader(http.StatusNoContent)
		if err := webhook.Verify(body, r.Header); err != nil {
			t.Errorf("the application refuses %q with %v: %v", body, r.Header, err)
		}
	}
}

func signSite(app, options string) string {
	return `
	@challenge webhook_inbox_json type url_verification
	webhook_inbox demo {
		` + githubVerify + `
		passthrough @challenge
		deliver ` + app + `
		retry {
			backoff 10ms 20ms
		}
		` + options + `
	}
`
}

func TestSignedDeliveryIsAcceptedByTheLibrary(t *testing.T) {
	t.Setenv("SIGN_SECRET", whsec("app"))
	app := newApplication(t)
	app.handle = checking(t, whsec("app"))
	s := serve(t, signSite(app.addr, "sign standard_webhooks {env.SIGN_SECRET}"))
	for i, body := range []string{"{}", "", "\xff\x00 not text", strings.Repeat("x", 2<<20)} {
		s.expect(202, "POST", "/", githubHeader(strconv.Itoa(i), body), body)
		d := app.next()
		if id := d.Header.Get("Webhook-Id"); id == "" || id != d.Header.Get("Webhook-Inbox-Id") {
			t.Errorf("Webhook-Id is %q, want the Webhook-Inbox-Id %q", id, d.Header.Get("Webhook-Inbox-Id"))
		}
	}
	s.settled("demo")

	s.expect(204, "POST", "/", githubHeader("challenge", challenge), challenge)
	app.next()
	app.none()
}

// After an outage the sender's signature is too old, and the inbox's is not.
func TestSignatureIsFreshInEachAttempt(t *testing.T) {
	app := newApplication(t)
	webhook, err := standardwebhooks.NewWebhook(whsec("app"))
	if err != nil {
		t.Fatal(err)
	}
	type attempt struct {
		id, timestamp, signature, sender string
		err                              error
	}
	attempts := make(chan attempt, 100)
	begun := time.Now()
	app.handle = func(w http.ResponseWriter, r *http.Request, body []byte) {
		attempts <- attempt{
			r.Header.Get("Webhook-Id"), r.Header.Get("Webhook-Timestamp"), r.Header.Get("Webhook-Signature"),
			r.Header.Get("X-Hub-Signature-256"), webhook.Verify(body, r.Header),
		}
		if time.Since(begun) < 1500*time.Millisecond { // until another second has begun
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}
	s := serve(t, signSite(app.addr, "sign standard_webhooks "+whsec("app")))
	s.expect(202, "POST", "/", githubHeader("1", "x"), "x")
	first := receive(t, attempts, "there is an attempt")
	last := first
	for last.timestamp == first.timestamp {
		last = receive(t, attempts, "there is an attempt in another second")
		if last.err != nil || last.id != first.id {
			t.Fatalf("attempt with the id %s, want %s: %v", last.id, first.id, last.err)
		}
	}
	if first.err != nil || last.signature == first.signature || last.sender != first.sender || last.sender == "" {
		t.Errorf("the first attempt was %+v, the last %+v", first, last)
	}
}

// A message of a Svix sender whose signature is too old for the library, for
// instance after an outage, is accepted with that of the inbox.
func TestSignatureReplacesTheSenders(t *testing.T) {
	app := newApplication(t)
	sender, err := standardwebhooks.NewWebhook("whsec_" + base64.StdEncoding.EncodeToString([]byte(hookSecret)))
	if err != nil {
		t.Fatal(err)
	}
	site := func(options string) string {
		return "webhook_inbox demo {\n verify svix whsec_" + base64.StdEncoding.EncodeToString([]byte(hookSecret)) +
			" {\n tolerance 24h\n }\n deliver " + app.addr + "\n" + options + "\n}\n"
	}
	s := serve(t, site(""))
	old := time.Now().Add(-time.Hour)
	s.expect(202, "POST", "/", standardHeader("1", old, "x"), "x")
	d := app.next()
	if err := sender.Verify([]byte(d.Body), d.Header); err == nil {
		t.Fatal("the library accepts what is an hour old")
	}
	s.settled("demo")

	s.load(site("sign standard_webhooks " + whsec("app")))
	receiver, err := standardwebhooks.NewWebhook(whsec("app"))
	if err != nil {
		t.Fatal(err)
	}
	h := standardHeader("2", old, "x")
	// What an application could take for the inbox's, by whatever rules it reads names.
	h.Set("Webhook-Extra", "theirs")
	h["webhook-id"] = []string{"theirs"}
	h["WEBHOOK-SIGNATURE"] = []string{"v1,theirs"}
	h["X-Webhook-Signature"] = []string{"another name"}
	s.expect(202, "POST", "/", h, "x")
	d = app.next()
	if err := receiver.Verify([]byte(d.Body), d.Header); err != nil {
		t.Errorf("the library refuses what the inbox signed: %v", err)
	}
	for name, values := range d.Header {
		name = strings.ToLower(name)
		if slices.Contains(values, "theirs") || strings.HasPrefix(name, "svix") || strings.HasPrefix(name, "webhook-") && len(values) != 1 {
			t.Errorf("delivered with %s: %q", name, values)
		}
	}
	if d.Header.Get("X-Webhook-Signature") != "another name" || d.Header.Get("Webhook-Inbox-Scheme") != "svix" {
		t.Errorf("delivered with %v", d.Header)
	}
}

// Names with _ and . reach the inbox if the server lets them through, and are the
// same as those with - for an application behind CGI.
func TestSignatureReplacesAliasesOfTheSenders(t *testing.T) {
	app := newApplication(t)
	s := newServer(t)
	err := s.tryLoad(s.caddyfile("servers {\n expected_underscore_headers webhook_id svix_signature\n expected_dot_headers webhook.signature\n }", signSite(app.addr, "sign standard_webhooks "+whsec("app"))))
	if err != nil {
		t.Fatal(err)
	}
	s.raw(t, 202, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nX-GitHub-Delivery: 1\r\nwebhook_id: theirs\r\nsvix_signature: theirs\r\nwebhook.signature: theirs\r\nX-Hub-Signature-256: "+
		githubHeader("1", "x").Get("X-Hub-Signature-256")+"\r\n\r\nx")
	for name, values := range app.next().Header {
		if slices.Contains(values, "theirs") {
			t.Errorf("delivered with %s: %q", name, values)
		}
	}
}

// Without sign, the sender's fields are as they were.
func TestUnsignedDeliveryKeepsTheSendersSignature(t *testing.T) {
	app := newApplication(t)
	s := serve(t, signSite(app.addr, ""))
	h := githubHeader("1", "x")
	h.Set("Webhook-Id", "theirs")
	h.Set("Svix-Signature", "theirs")
	s.expect(202, "POST", "/", h, "x")
	if d := app.next(); d.Header.Get("Webhook-Id") != "theirs" || d.Header.Get("Svix-Signature") != "theirs" {
		t.Errorf("delivered with %v", d.Header)
	}
}

// An application that was down for want of a signature, as far as anyone can tell,
// is tried at once when deliveries are signed.
func TestSignEndsTheWaitOfAnOutage(t *testing.T) {
	app := newApplication(t)
	app.handle = func(w http.ResponseWriter, r *http.Request, _ []byte) {
		if r.Header.Get("Webhook-Signature") == "" {
			w.Header().Set("Retry-After", "300")
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}
	s := serve(t, signSite(app.addr, ""))
	for n := range 6 {
		s.expect(202, "POST", "/", githubHeader(strconv.Itoa(n), strconv.Itoa(n)), strconv.Itoa(n))
	}
	eventually(t, "a probe failed", func() bool {
		o := s.endpoint("demo").Outage
		return o != nil && o.Probes > 0
	})
	s.load(signSite(app.addr, "sign standard_webhooks "+whsec("app")))
	s.settled("demo")
}

// With two secrets an application that has either accepts.
func TestSignatureOfEachSecret(t *testing.T) {
	app := newApplication(t)
	s := serve(t, signSite(app.addr, "sign standard_webhooks "+whsec("new")+" "+whsec("old")))
	s.expect(202, "POST", "/", githubHeader("1", "x"), "x")
	d := app.next()
	if n := len(strings.Fields(d.Header.Get("Webhook-Signature"))); n != 2 {
		t.Errorf("%d signatures, want 2", n)
	}
	for secret, accepts := range map[string]bool{whsec("new"): true, whsec("old"): true, whsec("other"): false} {
		webhook, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			t.Fatal(err)
		}
		if err := webhook.Verify([]byte(d.Body), d.Header); (err == nil) != accepts {
			t.Errorf("an application with %s: %v", secret, err)
		}
	}
}

// The secrets are resolved when the configuration loads, and shown nowhere.
func TestSignSecretsAreNotShown(t *testing.T) {
	t.Setenv("SIGN_SECRET", whsec("app"))
	app := newApplication(t)
	l := newLogged(t)
	l.loadLogged("DEBUG", "", signSite(app.addr, "sign standard_webhooks {env.SIGN_SECRET}")+"\nlog\n")
	l.expect(202, "POST", "/", githubHeader("1", "x"), "x")
	app.next()
	l.settled("demo")
	_, config := l.admin("GET", "/config/")
	_, endpoint := l.admin("GET", "/webhook_inbox/endpoints/demo")
	if !strings.Contains(string(config), `"sign":{"scheme":"standard_webhooks","secrets":["{env.SIGN_SECRET}"]}`) {
		t.Errorf("the configuration is %s", config)
	}
	key := strings.TrimPrefix(whsec("app"), "whsec_")
	for place, text := range map[string]string{
		"the configuration": string(config), "the endpoint": string(endpoint), "the log": l.text(), "the metrics": l.metrics(),
	} {
		if strings.Contains(text, key) {
			t.Errorf("%s shows the secret", place)
		}
	}
}

func TestSignSecretsThatAreRefused(t *testing.T) {
	t.Setenv("EMPTY", "")
	t.Setenv("ODD", "s3cr3t!")
	t.Setenv("PASSWORD", "correcthorse")
	t.Setenv("PUBLIC", "whpk_"+strings.TrimPrefix(whsec("app"), "whsec_"))
	t.Setenv("GOOD", whsec("app"))
	const remedy = "expected whsec_ and what `openssl rand -base64 32` prints"
	for name, c := range map[string]struct{ secrets, want string }{
		"one that is not set":       {"{env.NOT_SET}", "{env.NOT_SET}"},
		"one that is empty":         {"{env.EMPTY}", "{env.EMPTY}"},
		"one that is not base64":    {"{env.GOOD} {env.ODD}", "secret 2 is not base64"},
		"one that is short":         {"{env.PASSWORD}", "secret 1 is shorter than 24 bytes; " + remedy},
		"a public key":              {"{env.PUBLIC}", "public key"},
		"a placeholder of requests": {"{http.request.header.X-Secret}", "{http.request.header.X-Secret}"},
		"a good one":                {"{env.GOOD}", ""},
	} {
		t.Run(name, func(t *testing.T) {
			config, _, err := adapt(fmt.Sprintf("{\n webhook_inbox {\n queue badger %s\n }\n}\n:8080 {\n%s\n}\n", t.TempDir()+"/queue",
				signSite("app:8080", "sign standard_webhooks "+c.secrets)))
			if err != nil {
				t.Fatal(err)
			}
			err = validate(config)
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), "sign: ") || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want one of sign with %q", err, c.want)
			}
			for _, secret := range []string{"s3cr3t!", "correcthorse", strings.TrimPrefix(whsec("app"), "whsec_")} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error shows a secret: %v", err)
				}
			}
		})
	}
}
