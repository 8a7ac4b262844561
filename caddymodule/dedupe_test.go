// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// sent is one of several requests, one after the other.
type sent struct {
	uri       string
	header    http.Header
	body      string
	duplicate bool
}

// expectDeliveries sends requests, all of which are answered 202, and checks
// that those and only those are delivered that are no duplicates.
func expectDeliveries(t *testing.T, s *server, app *application, requests []sent) {
	t.Helper()
	var want, got []string
	for n, r := range requests {
		s.expect(202, "POST", r.uri, r.header, r.body)
		if !r.duplicate {
			want = append(want, fmt.Sprintf("%s %s", r.uri, r.body))
			d := app.next()
			got = append(got, fmt.Sprintf("%s %s", d.URI, d.Body))
			if !slices.Equal(got, want) {
				t.Fatalf("after request %d:\ngot  %q\nwant %q", n+1, got, want)
			}
		}
	}
	s.settled("demo")
	app.none()
}

// dedupeSite is an endpoint with nothing but what concerns duplicates.
func dedupeSite(app string, options string) string {
	return fmt.Sprintf("webhook_inbox demo {\n deliver %s\n %s\n}\n", app, options)
}

func TestDuplicateIsAnsweredLikeTheFirst(t *testing.T) {
	app := newApplication(t)
	s := serve(t, dedupeSite(app.addr, "verify none\n message_id header X-Webhook-Id\n respond 200"))
	first := s.expect(200, "POST", "/", header("X-Webhook-Id", "1"), "x")
	second := s.expect(200, "POST", "/", header("X-Webhook-Id", "1"), "x")
	for _, resp := range []*http.Response{first, second} {
		resp.Header.Del("Date")
	}
	if fmt.Sprint(first.Header) != fmt.Sprint(second.Header) {
		t.Errorf("the first is answered with %v, the duplicate with %v", first.Header, second.Header)
	}
	s.expect(200, "POST", "/", header("X-Webhook-Id", "2"), "y")
	if a, b := app.next(), app.next(); a.Body != "x" || b.Body != "y" {
		t.Errorf("delivered %q and %q", a.Body, b.Body)
	}
	s.settled("demo")
	app.none()
}

func TestDuplicateIsKnownAfterRestart(t *testing.T) {
	app := newApplication(t)
	site := fmt.Sprintf(tokenSite, app.addr)
	s := serve(t, site)
	expectDeliveries(t, s, app, []sent{{uri: "/", header: tokenHeader("1"), body: "x"}})
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	s.load(site)
	expectDeliveries(t, s, app, []sent{
		{uri: "/", header: tokenHeader("1"), body: "x", duplicate: true},
		{uri: "/", header: tokenHeader("2"), body: "y"},
	})
}

// Of a hundred at once, all are acknowledged and one is delivered.
func TestIdenticalRequestsAtOnceAreOneMessage(t *testing.T) {
	app := newApplication(t)
	s := serve(t, fmt.Sprintf(tokenSite, app.addr))
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}}
	defer client.CloseIdleConnections()
	statuses := make([]int, 100)
	var all sync.WaitGroup
	for n := range statuses {
		all.Go(func() { statuses[n] = post(t.Context(), client, s.addr, "same", "x") })
	}
	all.Wait()
	for n, status := range statuses {
		if status != http.StatusAccepted {
			t.Errorf("request %d: status %d", n, status)
		}
	}
	app.next()
	expectDeliveries(t, s, app, []sent{{uri: "/", header: tokenHeader("other"), body: "sentinel"}})
	if n := s.metric(`caddy_webhook_inbox_received_total{endpoint="demo",outcome="duplicate"}`); n != 99 {
		t.Errorf("%v duplicates were counted, want 99", n)
	}
}

func TestDuplicatesAreThoseOfOneEndpoint(t *testing.T) {
	app := newApplication(t)
	s := serve(t, `
	handle /a {
		webhook_inbox a {
			verify none
			message_id header X-Webhook-Id
			deliver `+app.addr+`
		}
	}
	handle /b {
		webhook_inbox b {
			verify none
			message_id header X-Webhook-Id
			deliver `+app.addr+`
		}
	}
`)
	for _, uri := range []string{"/a", "/b"} {
		for range 2 {
			s.expect(202, "POST", uri, header("X-Webhook-Id", "1"), "x")
		}
		if d := app.next(); d.URI != uri {
			t.Errorf("delivered %s, want %s", d.URI, uri)
		}
	}
	s.settled("b")
	app.none()
}

// Every way to say what a duplicate is.
func TestWhatCountsAsDuplicate(t *testing.T) {
	id := func(id string) http.Header { return header("X-Webhook-Id", id, "X-Topic", "t") }
	topic := func(topics ...string) http.Header { return http.Header{"X-Topic": topics} }
	const long = `"` + "very long" + `"`
	cases := []struct {
		name, options string
		requests      []sent
	}{
		{"dedupe off", "verify none\n message_id header X-Webhook-Id\n dedupe off", []sent{
			{uri: "/", header: id("1"), body: "x"},
			{uri: "/", header: id("1"), body: "x"},
		}},
		{"on content: method, URI and body, not the header", "verify none\n dedupe 1h on content", []sent{
			{uri: "/a", header: id("1"), body: "x"},
			{uri: "/a", header: id("2"), body: "x", duplicate: true},
			{uri: "/b", header: id("1"), body: "x"},
			{uri: "/a?", header: id("1"), body: "x"},
			{uri: "/a", header: id("1"), body: "y"},
			{uri: "/a", body: "x", duplicate: true},
		}},
		{"on content with header", "verify none\n dedupe 1h on content with X-Topic X-Shop", []sent{
			{uri: "/", header: topic("a"), body: "x"},
			{uri: "/", header: topic("b"), body: "x"},
			{uri: "/", header: topic("a"), body: "x", duplicate: true},
			{uri: "/", header: topic("a", "b"), body: "x"},
			{uri: "/", header: topic("ab"), body: "x"},
			{uri: "/", header: topic(), body: "x"},
			{uri: "/", header: topic(), body: "x", duplicate: true},
			{uri: "/", header: header("X-Shop", "a"), body: "x"},
			{uri: "/", header: header("X-Shop", "a", "X-Other", "o"), body: "x", duplicate: true},
		}},
		{"on id content: either", "verify none\n message_id header X-Webhook-Id\n dedupe 1h on id content", []sent{
			{uri: "/", header: id("1"), body: "x"},
			{uri: "/", header: id("2"), body: "x", duplicate: true},
			{uri: "/", header: id("1"), body: "y", duplicate: true},
			// What was only a duplicate recorded neither its id nor its content.
			{uri: "/", header: id("2"), body: "z"},
			{uri: "/", header: id("3"), body: "y"},
		}},
		{"on id: not the content", "verify none\n message_id header X-Webhook-Id\n dedupe 1h on id", []sent{
			{uri: "/", header: id("1"), body: "x"},
			{uri: "/", header: id("2"), body: "x"},
			{uri: "/", header: id("1"), body: "y", duplicate: true},
		}},
		{"without the id the content counts", "verify none\n message_id header X-Webhook-Id", []sent{
			{uri: "/", body: "x"},
			{uri: "/", body: "x", duplicate: true},
			{uri: "/", body: "y"},
			{uri: "/", header: id(""), body: "y", duplicate: true},
			{uri: "/", header: id("1"), body: "x"},
		}},
		{"id in JSON", "verify none\n message_id json data.id", []sent{
			{uri: "/", body: `{"data":{"id":"a"},"n":1}`},
			{uri: "/", body: `{"data":{"id":"a"},"n":2}`, duplicate: true},
			{uri: "/", body: `{"data":{"id":7}}`},
			{uri: "/", body: `{"n":3,"data":{"id":7}}`, duplicate: true},
			{uri: "/", body: `{"data":"none"}`},
			{uri: "/", body: `not JSON`},
			{uri: "/", body: `not JSON`, duplicate: true},
		}},
		{"id in the query", "verify none\n message_id query id", []sent{
			{uri: "/?id=a&x=1", body: "x"},
			{uri: "/?x=2&id=a", body: "y", duplicate: true},
			{uri: "/?id=%61", body: "z", duplicate: true},
			{uri: "/?id=A", body: "x"},
			{uri: "/?ID=a", body: "x"},
		}},
		{"id in the path, the last segment", "verify none\n message_id path -1", []sent{
			{uri: "/a/1", body: "x"},
			{uri: "/b/1", body: "y", duplicate: true},
			{uri: "/b/1/", body: "y", duplicate: true},
			{uri: "/1/2", body: "x"},
		}},
		{"id in the path, the first segment", "verify none\n message_id path 0", []sent{
			{uri: "/1/a", body: "x"},
			{uri: "/1/b?c", body: "y", duplicate: true},
			{uri: "/2/a", body: "x"},
		}},
		{"id in the path that the sender wrote", "uri strip_prefix /hooks\n SITE verify none\n message_id path 1", []sent{
			{uri: "/hooks/1/a", body: "x"},
			{uri: "/hooks/1/b", body: "y", duplicate: true},
		}},
		{"several parts", "verify none\n message_id header X-Topic\n message_id json id", []sent{
			{uri: "/", header: topic("a"), body: `{"id":"b","n":1}`},
			{uri: "/", header: topic("a"), body: `{"id":"b","n":2}`, duplicate: true},
			{uri: "/", header: topic("a:b"), body: `{"id":"","n":3}`},
			{uri: "/", header: topic("a:"), body: `{"id":"b","n":4}`},
			{uri: "/", header: topic("ab"), body: `{"id":"b","n":5}`},
			{uri: "/", header: topic("a"), body: `{"id":"bb","n":5}`},
			{uri: "/", header: topic("b"), body: `{"id":"a","n":6}`},
			{uri: "/", header: topic("b"), body: `{"n":7}`},
		}},
		{"long and strange ids", "verify none\n message_id json id", []sent{
			{uri: "/", body: `{"id":"` + strings.Repeat("x", 5000) + `1"}`},
			{uri: "/", body: `{"id":"` + strings.Repeat("x", 5000) + `2"}`},
			{uri: "/", body: `{"id":"` + strings.Repeat("x", 5000) + `1","n":1}`, duplicate: true},
			{uri: "/", body: `{"id":"../\u0000/'; DROP TABLE"}`},
			{uri: "/", body: `{"id":"\u00e9"}`},
			{uri: "/", body: `{"id":"é","n":1}`, duplicate: true},
			{uri: "/", body: `{"id":"e\u0301"}`},
			{uri: "/", body: long},
		}},
	}
	app := newApplication(t)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			before, options, ok := strings.Cut(c.options, "SITE")
			if !ok {
				before, options = "", c.options
			}
			s := serve(t, before+dedupeSite(app.addr, options))
			app := app.within(t)
			if ok { // what is delivered is rewritten
				for _, r := range c.requests {
					s.expect(202, "POST", r.uri, r.header, r.body)
				}
				if d := app.next(); d.URI != "/1/a" {
					t.Errorf("delivered %s", d.URI)
				}
				s.settled("demo")
				app.none()
				return
			}
			expectDeliveries(t, s, app, c.requests)
		})
	}
}

const hookSecret = "It's a Secret to Everybody"

func githubHeader(delivery, body string) http.Header {
	mac := hmac.New(sha256.New, []byte(hookSecret))
	mac.Write([]byte(body))
	return header("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)), "X-GitHub-Delivery", delivery)
}

const githubVerify = `
	verify hmac {
		secret "` + hookSecret + `"
		signature header X-Hub-Signature-256 prefix sha256=
	}
	message_id header X-GitHub-Delivery
`

// A captured request can be replayed under a delivery id that its signature does
// not cover. That is a duplicate, and does not use the id up.
func TestReplayUnderNewDeliveryID(t *testing.T) {
	app := newApplication(t)
	s := serve(t, dedupeSite(app.addr, githubVerify+"dedupe 96h on id content"))
	expectDeliveries(t, s, app, []sent{
		{uri: "/", header: githubHeader("1", "x"), body: "x"},
		{uri: "/", header: githubHeader("2", "x"), body: "x", duplicate: true},
		{uri: "/elsewhere?with=query", header: githubHeader("3", "x"), body: "x", duplicate: true},
		{uri: "/", header: githubHeader("2", "y"), body: "y"},
		{uri: "/", header: githubHeader("2", "z"), body: "z", duplicate: true},
	})
}

func standardHeader(id string, at time.Time, body string) http.Header {
	timestamp := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(hookSecret))
	fmt.Fprintf(mac, "%s.%s.%s", id, timestamp, body)
	return header("svix-id", id, "svix-timestamp", timestamp,
		"svix-signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}

var standardVerify = "verify svix whsec_" + base64.StdEncoding.EncodeToString([]byte(hookSecret)) + "\n"

// The id that a signature covers cannot be overridden by one that it doesn't,
// which is an error in the configuration, but by one in the signed body.
func TestSignedIDOverridesUnsignedOne(t *testing.T) {
	app := newApplication(t)
	s := newServer(t)
	err := s.tryLoad(s.caddyfile("", dedupeSite(app.addr, standardVerify+"message_id header X-Webhook-Id")))
	if err == nil || !strings.Contains(err.Error(), "message_id is not covered by the signature") {
		t.Errorf("error %v", err)
	}

	now := time.Now()
	s.load(dedupeSite(app.addr, standardVerify))
	expectDeliveries(t, s, app, []sent{
		{uri: "/", header: standardHeader("1", now, "x"), body: "x"},
		{uri: "/", header: standardHeader("1", now.Add(-time.Second), "x"), body: "x", duplicate: true},
		{uri: "/", header: standardHeader("2", now, "x"), body: "x"},
	})

	s.load(dedupeSite(app.addr, standardVerify+"message_id json event"))
	expectDeliveries(t, s, app, []sent{
		{uri: "/", header: standardHeader("3", now, `{"event":"a"}`), body: `{"event":"a"}`},
		{uri: "/", header: standardHeader("4", now, `{"event":"a"}`), body: `{"event":"a"}`, duplicate: true},
		{uri: "/", header: standardHeader("3", now, `{"event":"b"}`), body: `{"event":"b"}`},
	})

	// With a scheme beside it that has no id of its own, each uses what it has.
	s.load(dedupeSite(app.addr, standardVerify+"verify token X-Webhook-Token secret-token\n message_id header X-Webhook-Id"))
	both := standardHeader("5", now, "x")
	both.Set("X-Webhook-Id", "unsigned")
	again := both.Clone()
	again.Set("X-Webhook-Id", "another")
	expectDeliveries(t, s, app, []sent{
		{uri: "/", header: both, body: "x"},
		{uri: "/", header: again, body: "x", duplicate: true},
		{uri: "/", header: tokenHeader("unsigned"), body: "y"},
		{uri: "/", header: tokenHeader("unsigned"), body: "z", duplicate: true},
	})
}

// A request that was refused, for whatever reason, does not stand in the way of
// the same one when it is right.
func TestRefusedRequestLeavesNoKey(t *testing.T) {
	app := newApplication(t)
	s := newServer(t)
	site := dedupeSite(app.addr, githubVerify+"dedupe 96h on id content\n max_body 1KiB")
	limits := func(size, inFlight string) string {
		return "webhook_inbox {\n queue badger " + s.dir + " {\n min_free_space 64MiB\n max_size " + size + "\n }\n max_in_flight " + inFlight + "\n }"
	}
	load := func(options, site string) {
		t.Helper()
		if err := s.tryLoad(s.caddyfile(options, site)); err != nil {
			t.Fatal(err)
		}
	}

	load(limits("1B", "1MiB"), site)
	s.expect(503, "POST", "/", githubHeader("1", "x"), "x")
	load(limits("1GiB", "1B"), site)
	s.expect(503, "POST", "/", githubHeader("1", "x"), "x")
	load(limits("1GiB", "1MiB"), site)
	large := strings.Repeat("x", 1025)
	s.expect(413, "POST", "/", githubHeader("1", large), large)
	s.expect(401, "POST", "/", githubHeader("1", "y"), "x")
	s.expect(401, "POST", "/", header("X-GitHub-Delivery", "1"), "x")
	s.raw(t, 400, "POST / HTTP/1.1\r\nHost: h\r\nX-GitHub-Delivery: 1\r\nX-GitHub-Delivery: 1\r\nX-Hub-Signature-256: "+
		githubHeader("1", "x").Get("X-Hub-Signature-256")+"\r\nContent-Length: 1\r\n\r\nx")
	app.none()
	expectDeliveries(t, s, app, []sent{
		{uri: "/", header: githubHeader("1", "x"), body: "x"},
		{uri: "/", header: githubHeader("1", "x"), body: "x", duplicate: true},
	})
}

// A key is forgotten after its window, but not while its message waits.
func TestWindowEnds(t *testing.T) {
	app := newApplication(t)
	const window = 300 * time.Millisecond
	s := serve(t, dedupeSite(app.addr, "verify none\n message_id header X-Webhook-Id\n dedupe 300ms\n retry {\n backoff 1h\n }"))
	began := time.Now()
	s.expect(202, "POST", "/", header("X-Webhook-Id", "1"), "x")
	app.next()
	s.settled("demo")
	accepted := func() float64 {
		return s.metric(`caddy_webhook_inbox_received_total{endpoint="demo",outcome="accepted"}`)
	}
	eventually(t, "the same id is accepted again", func() bool {
		s.expect(202, "POST", "/", header("X-Webhook-Id", "1"), "again")
		return accepted() == 2
	})
	if after := time.Since(began); after < window/2 {
		t.Errorf("the same id was accepted again after %v", after)
	}
	app.next()

	app.status.Store(http.StatusInternalServerError)
	s.expect(202, "POST", "/", header("X-Webhook-Id", "2"), "waits")
	app.next()
	time.Sleep(2 * window)
	s.expect(202, "POST", "/", header("X-Webhook-Id", "2"), "waits")
	if n := accepted(); n != 3 {
		t.Errorf("%v were accepted, want 3: a duplicate of one that waits is none", n)
	}
}
