// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// challengeSite passes url_verification through and queues everything else.
func challengeSite(deliver, options string) string {
	return `
	@challenge webhook_inbox_json type url_verification
	webhook_inbox demo {
		` + githubVerify + `
		passthrough @challenge
		deliver {
			` + deliver + `
		}
		` + options + `
	}
`
}

const challenge = `{"type":"url_verification","challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"}`

// nothingQueued checks that the endpoint demo has never had a message.
func (s *server) nothingQueued() {
	s.t.Helper()
	if e := s.endpoint("demo"); e.Waiting != 0 || e.Kept != 0 || e.DeadLetters != 0 {
		s.t.Errorf("the queue has %+v, want nothing", e)
	}
	if n := s.received("accepted"); n != 0 {
		s.t.Errorf("%v messages were accepted, want 0", n)
	}
}

func (s *server) received(outcome string) float64 {
	s.t.Helper()
	return s.metric(fmt.Sprintf(`caddy_webhook_inbox_received_total{endpoint="demo",outcome=%q}`, outcome))
}

func TestPassthroughAnswersWithWhatTheApplicationSays(t *testing.T) {
	app := newApplication(t)
	app.handle = func(w http.ResponseWriter, _ *http.Request, body []byte) {
		w.Header().Set("X-App", "yes")
		w.Header().Add("Set-Cookie", "a=b")
		w.Header().Set("Content-Type", "text/vnd.challenge")
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprintf(w, "you sent %d bytes", len(body))
	}
	s := serve(t, challengeSite("reverse_proxy "+app.addr, ""))
	resp, body := s.ask("POST", "/slack?a=b", githubHeader("1", challenge), challenge)
	if resp.StatusCode != http.StatusTeapot || body != fmt.Sprintf("you sent %d bytes", len(challenge)) ||
		resp.Header.Get("X-App") != "yes" || resp.Header.Get("Content-Type") != "text/vnd.challenge" || resp.Header.Get("Set-Cookie") != "a=b" {
		t.Errorf("answered %d, %v, %q", resp.StatusCode, resp.Header, body)
	}
	d := app.next()
	if d.Method != "POST" || d.URI != "/slack?a=b" || d.Body != challenge || len(d.Header["Webhook-Inbox-Id"]) != 1 ||
		d.Header.Get("Webhook-Inbox-Endpoint") != "demo" || d.Header.Get("Webhook-Inbox-Attempt") != "1" || d.Header.Get("Webhook-Inbox-Scheme") != "hmac" {
		t.Errorf("passed through %+v", d)
	}
	s.nothingQueued()
	if n := s.received("passed_through"); n != 1 {
		t.Errorf("%v are counted as passed through, want 1", n)
	}
	app.none()
}

func TestPassthroughIsOnlyForVerifiedRequests(t *testing.T) {
	app := newApplication(t)
	s := serve(t, challengeSite("reverse_proxy "+app.addr, ""))
	s.expect(401, "POST", "/", nil, challenge)
	s.expect(401, "POST", "/", githubHeader("1", challenge), challenge+" ")
	s.expect(401, "POST", "/", header("X-Hub-Signature-256", "sha256="+strings.Repeat("0", 64)), challenge)
	app.none()
	if n := s.received("passed_through"); n != 0 {
		t.Errorf("%v are counted as passed through, want 0", n)
	}
}

func TestWhatPassthroughDoesNotMatchIsQueued(t *testing.T) {
	app := newApplication(t)
	app.handle = func(w http.ResponseWriter, _ *http.Request, _ []byte) { io.WriteString(w, "not for the sender") }
	s := serve(t, challengeSite("reverse_proxy "+app.addr, ""))
	for i, body := range []string{`{"type":"event_callback"}`, `{}`, "type=url_verification", ""} {
		s.expect(202, "POST", "/", githubHeader(strconv.Itoa(i), body), body)
		if d := app.next(); d.Body != body {
			t.Errorf("delivered %q, want %q", d.Body, body)
		}
	}
	s.settled("demo")
	if n := s.received("accepted"); n != 4 {
		t.Errorf("%v were accepted, want 4", n)
	}
}

// A replayed request is passed through too: it is for the application to answer
// it twice. Nor does one stand in the way of a message with its id.
func TestPassthroughIsNotDeduplicated(t *testing.T) {
	app := newApplication(t)
	s := serve(t, challengeSite("reverse_proxy "+app.addr, "dedupe 96h on id content"))
	first, second := "", ""
	for _, id := range []*string{&first, &second} {
		s.expect(204, "POST", "/", githubHeader("1", challenge), challenge)
		*id = app.next().Header.Get("Webhook-Inbox-Id")
	}
	if first == second {
		t.Error("two requests have one Webhook-Inbox-Id")
	}
	s.nothingQueued()
	s.expect(202, "POST", "/", githubHeader("1", "{}"), "{}")
	if d := app.next(); d.Body != "{}" {
		t.Errorf("delivered %q", d.Body)
	}
}

// Any of several matchers will do, and each sees the whole body, whatever the
// one before it read.
func TestPassthroughWithSeveralMatchers(t *testing.T) {
	app := newApplication(t)
	s := serve(t, `
	@body expression {http.request.body} == "read me"
	@json webhook_inbox_json a.b 1 2
	@get {
		method GET HEAD
		query challenge=*
	}
	webhook_inbox demo {
		verify token X-Webhook-Token sesame
		message_id header X-Webhook-Id
		passthrough @body
		passthrough @json
		passthrough /commands*
		passthrough @get
		deliver `+app.addr+`
	}
`)
	h := header("X-Webhook-Token", "sesame")
	for _, r := range []request{
		{"POST", "/", h, "read me"},
		{"POST", "/", h, `{"a":{"b":2}}`},
		{"POST", "/", h, `{"a":{"b":"1"}}`},
		{"POST", "/commands", h, "x"},
		{"PUT", "/commands/a", h, ""},
		{"GET", "/?challenge=1", h, ""},
		{"HEAD", "/?challenge=1", h, ""},
	} {
		s.expect(204, r.method, r.uri, r.header, r.body)
		if d := app.next(); d.Method != r.method || d.Body != r.body {
			t.Errorf("passed %s %q through, want %s %q", d.Method, d.Body, r.method, r.body)
		}
		s.expect(401, r.method, r.uri, nil, r.body)
	}
	s.nothingQueued()
	for i, r := range []request{
		{"POST", "/", nil, "do not read me"},
		{"POST", "/", nil, `{"a":{"b":3}}`},
		{"GET", "/?other=1", nil, ""},
		{"POST", "/?challenge=1", nil, ""},
	} {
		s.expect(202, r.method, r.uri, header("X-Webhook-Token", "sesame", "X-Webhook-Id", strconv.Itoa(i)), r.body)
		if d := app.next(); d.Method != r.method || d.Body != r.body {
			t.Errorf("delivered %s %q, want %s %q", d.Method, d.Body, r.method, r.body)
		}
	}
	s.settled("demo")
	app.none()
}

func TestPassthroughComesBeforeTheBuiltInHandshake(t *testing.T) {
	app := newApplication(t)
	app.handle = func(w http.ResponseWriter, _ *http.Request, _ []byte) { io.WriteString(w, "mine") }
	slack := func(options string) string {
		return "@verification webhook_inbox_json type url_verification\n" +
			"webhook_inbox demo {\n verify slack sesame\n deliver " + app.addr + "\n" + options + "\n}\n"
	}
	send := func() http.Header {
		timestamp := strconv.FormatInt(time.Now().Unix(), 10)
		return header("X-Slack-Request-Timestamp", timestamp, "X-Slack-Signature",
			"v0="+hex.EncodeToString(hmacSHA256("sesame", "v0:"+timestamp+":"+challenge)))
	}
	s := serve(t, slack(""))
	resp, body := s.ask("POST", "/", send(), challenge)
	if resp.StatusCode != 200 || body != "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P" ||
		!strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") || resp.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("answered %d %v %q", resp.StatusCode, resp.Header, body)
	}
	app.none()
	s.expect(401, "POST", "/", nil, challenge)
	s.nothingQueued()
	if n := s.received("handshake"); n != 1 {
		t.Errorf("%v are counted as handshakes, want 1", n)
	}

	s.load(slack("passthrough @verification"))
	if resp, body := s.ask("POST", "/", send(), challenge); resp.StatusCode != 200 || body != "mine" {
		t.Errorf("answered %d %q", resp.StatusCode, body)
	}
	app.next()
	s.nothingQueued()
}

func TestPassthroughIsLogged(t *testing.T) {
	app := newApplication(t)
	l := newLogged(t)
	l.loadLogged("DEBUG", "", challengeSite("reverse_proxy "+app.addr, "")+"\nlog\n")
	l.expect(204, "POST", "/", githubHeader("1", challenge), challenge)
	id := app.next().Header.Get("Webhook-Inbox-Id")
	l.expectEntry("debug", "webhook passed through", entry{"endpoint": "demo", "message": id, "scheme": "hmac", "status": 204.0})
	l.expectEntry("info", "handled request", entry{"webhook_inbox_id": id})
	if strings.Contains(l.text(), "3eZbrw1aBm2") {
		t.Error("the log has something of the body")
	}
}

// A set of matchers that was left out matches nothing, rather than everything.
func TestPassthroughOfNothingIsRefused(t *testing.T) {
	config, _, err := adapt(":8080 {\nwebhook_inbox demo {\nverify bearer token\ndedupe off\npassthrough *\ndeliver app:8080\n}\n}\n")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	if err := validate(config); err != nil {
		t.Fatal(err)
	}
	broken := strings.Replace(string(config), `"passthrough":[{}]`, `"passthrough":[null]`, 1)
	if err := validate([]byte(broken)); err == nil || !strings.Contains(err.Error(), "passthrough 1 is null") {
		t.Errorf("error %v", err)
	}
}
