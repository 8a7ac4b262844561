// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// retrySite is an endpoint with an application and a few more options.
func retrySite(app, options string) string {
	return fmt.Sprintf(`
	webhook_inbox demo {
		verify token X-Webhook-Token secret-token
		message_id header X-Webhook-Id
		deliver %s
		%s
	}
`, app, options)
}

const quickly = "retry {\n backoff 10ms 40ms\n }"

func TestFailedMessageIsTriedAgainAsItWas(t *testing.T) {
	app := newApplication(t)
	app.status.Store(http.StatusInternalServerError)
	s := serve(t, retrySite(app.addr, quickly))
	s.expect(202, "POST", "/a?b", tokenHeader("1"), "body")
	first := app.next()
	for n := 2; n <= 4; n++ {
		d := app.next()
		if d.Header.Get("Webhook-Inbox-Attempt") != strconv.Itoa(n) {
			t.Errorf("attempt %d says it is %q", n, d.Header.Get("Webhook-Inbox-Attempt"))
		}
		d.Header.Del("Webhook-Inbox-Attempt")
		first.Header.Del("Webhook-Inbox-Attempt")
		if fmt.Sprint(d) != fmt.Sprint(first) {
			t.Errorf("attempt %d is\n%v\nwant\n%v", n, d, first)
		}
	}
	app.status.Store(http.StatusOK)
	s.settled("demo")
}

// Only a 2xx is a delivery, and only 410 is final unless configured otherwise.
func TestStatusesOfApplication(t *testing.T) {
	app := newApplication(t)
	app.handle = func(w http.ResponseWriter, r *http.Request, _ []byte) {
		status, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
		if err == nil && r.Header.Get("Webhook-Inbox-Attempt") == "1" {
			w.WriteHeader(status)
		}
	}
	s := serve(t, retrySite(app.addr, quickly))
	for _, status := range []int{200, 201, 202, 204, 206, 226, 300, 302, 303, 305, 308, 400, 401, 403, 404, 405, 408, 409, 413, 422, 425, 428, 500, 501, 502, 503, 504, 507, 599} {
		s.expect(202, "POST", fmt.Sprintf("/%d", status), tokenHeader(fmt.Sprint(status)), "x")
		s.settled("demo")
		want := 1
		if status > 299 {
			want = 2
		}
		for n := 1; n <= want; n++ {
			if d := app.next(); d.URI != fmt.Sprintf("/%d", status) || d.Header.Get("Webhook-Inbox-Attempt") != strconv.Itoa(n) {
				t.Errorf("status %d: the %d. attempt is %s, %s", status, n, d.URI, d.Header.Get("Webhook-Inbox-Attempt"))
			}
		}
		app.none()
	}
	s.expect(202, "POST", "/410", tokenHeader("410"), "x")
	app.next()
	s.settled("demo")
	if n := s.endpoint("demo").DeadLetters; n != 1 {
		t.Errorf("after 410 there are %d dead letters, want 1", n)
	}
	app.none()
}

func TestGiveUpOnOffMakesNothingFinal(t *testing.T) {
	app := newApplication(t)
	app.status.Store(http.StatusGone)
	s := serve(t, retrySite(app.addr, "retry {\n backoff 10ms 20ms\n give_up_on off\n }"))
	s.expect(202, "POST", "/", tokenHeader("1"), "x")
	app.next()
	app.next()
	app.status.Store(http.StatusOK)
	s.settled("demo")
	if n := s.endpoint("demo").DeadLetters; n != 0 {
		t.Errorf("%d dead letters", n)
	}
}

func TestMaxAttemptsEndAsDeadLetter(t *testing.T) {
	app := newApplication(t)
	app.status.Store(http.StatusInternalServerError)
	s := serve(t, retrySite(app.addr, "retry {\n backoff 10ms 20ms\n max_attempts 3\n }"))
	s.expect(202, "POST", "/", tokenHeader("1"), "x")
	for range 3 {
		app.next()
	}
	eventually(t, "it is dead", func() bool { return s.endpoint("demo").DeadLetters == 1 })
	var page deadLetters
	s.adminJSON("GET", "/webhook_inbox/endpoints/demo/dead_letters", &page)
	if reason := page.DeadLetters[0].Reason; reason != "given up after 3 failures: status 500" {
		t.Errorf("the reason is %q", reason)
	}
	app.status.Store(http.StatusOK)
	s.expect(202, "POST", "/", tokenHeader("2"), "y")
	if d := app.next(); d.Body != "y" {
		t.Errorf("after the dead letter %q was delivered", d.Body)
	}
}

// While nobody is there, nothing is given up on. When the application returns it
// gets everything, oldest first and at once, however long the backoff.
func TestMessagesWaitForApplicationThatIsDown(t *testing.T) {
	addr := freeAddr(t)
	s := serve(t, retrySite(addr, "concurrency 1\n retry {\n backoff 100ms 1h\n max_attempts 3\n }"))
	const messages = 20
	s.expect(202, "POST", "/", tokenHeader("0"), "0")
	eventually(t, "there is an outage", func() bool { return s.endpoint("demo").Outage != nil })
	for n := 1; n < messages; n++ {
		s.expect(202, "POST", "/", tokenHeader(strconv.Itoa(n)), strconv.Itoa(n))
	}
	if e := s.endpoint("demo"); e.Waiting != messages || e.DeadLetters != 0 {
		t.Errorf("in the outage %d wait and %d are dead", e.Waiting, e.DeadLetters)
	}

	app := &application{t: t, got: make(chan delivery, messages)}
	app.status.Store(http.StatusNoContent)
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: app, ErrorLog: log.New(io.Discard, "", 0)}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { srv.Close() })

	var got []string
	for range messages {
		got = append(got, app.next().Body)
	}
	if !slices.IsSortedFunc(got, compareNumbers) {
		t.Errorf("they arrived as %v, want the oldest first", got)
	}
	s.settled("demo")
	if s.endpoint("demo").Outage != nil {
		t.Error("the outage goes on")
	}
	app.none()
}

func compareNumbers(a, b string) int {
	x, _ := strconv.Atoi(a)
	y, _ := strconv.Atoi(b)
	return x - y
}

// An outage is remembered across a restart, so that the application is left
// alone; another delivery route is tried at once.
func TestOutageIsRememberedUntilRouteChanges(t *testing.T) {
	sick := newApplication(t)
	sick.handle = func(w http.ResponseWriter, r *http.Request, _ []byte) {
		w.Header().Set("Retry-After", "300")
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	s := serve(t, retrySite(sick.addr, ""))
	const messages = 6
	for n := range messages {
		s.expect(202, "POST", "/", tokenHeader(strconv.Itoa(n)), strconv.Itoa(n))
	}
	eventually(t, "a probe failed", func() bool {
		o := s.endpoint("demo").Outage
		return o != nil && o.Probes > 0
	})
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	for len(sick.got) > 0 {
		<-sick.got
	}
	s.load(retrySite(sick.addr, ""))
	eventually(t, "the outage is remembered", func() bool { return s.endpoint("demo").Outage != nil })
	s.expect(202, "POST", "/", tokenHeader("another"), "another")
	if e := s.endpoint("demo"); e.Waiting != messages+1 {
		t.Errorf("%d wait, want %d", e.Waiting, messages+1)
	}

	well := newApplication(t)
	s.load(retrySite(well.addr, ""))
	for range messages + 1 {
		well.next()
	}
	s.settled("demo")
	sick.none()
}

// An attempt that takes too long is cancelled, and counts. One may take too long before
// it comes to the application, so that the first one there need not be the first.
func TestAttemptThatTakesTooLongIsCancelled(t *testing.T) {
	app := newApplication(t)
	cancelled := make(chan bool, 1)
	var hung atomic.Bool
	app.handle = func(w http.ResponseWriter, r *http.Request, _ []byte) {
		if hung.CompareAndSwap(false, true) {
			<-r.Context().Done()
			cancelled <- true
		}
	}
	s := serve(t, retrySite(app.addr, "attempt_timeout 50ms\n"+quickly))
	s.expect(202, "POST", "/", tokenHeader("1"), "x")
	receive(t, cancelled, "the attempt is cancelled")
	s.settled("demo")
	last := 0
	for len(app.got) > 0 {
		d := app.next()
		n, err := strconv.Atoi(d.Header.Get("Webhook-Inbox-Attempt"))
		if err != nil || n < 1 {
			t.Errorf("an attempt is %q", d.Header.Get("Webhook-Inbox-Attempt"))
		}
		last = max(last, n)
	}
	if last < 2 {
		t.Errorf("the last attempt is %d", last)
	}
	eventually(t, "each attempt before the last one has failed", func() bool { return s.failures() == float64(last-1) })
}

func TestConcurrencyIsNeverExceeded(t *testing.T) {
	const concurrency, messages = 3, 12
	app := newApplication(t)
	release := make(chan struct{})
	var now, most atomic.Int64
	app.handle = func(w http.ResponseWriter, r *http.Request, _ []byte) {
		n := now.Add(1)
		for {
			m := most.Load()
			if n <= m || most.CompareAndSwap(m, n) {
				break
			}
		}
		select {
		case <-release:
		case <-r.Context().Done():
		}
		now.Add(-1)
	}
	s := serve(t, retrySite(app.addr, fmt.Sprintf("concurrency %d", concurrency)))
	for n := range messages {
		s.expect(202, "POST", "/", tokenHeader(strconv.Itoa(n)), "x")
	}
	for n := range messages {
		if n >= concurrency {
			release <- struct{}{}
		}
		app.next()
	}
	close(release)
	s.settled("demo")
	if got := most.Load(); got != concurrency {
		t.Errorf("%d deliveries at once, want %d", got, concurrency)
	}
}

// An application that hangs holds up its own endpoint only.
func TestHangingApplicationDelaysNoOtherEndpoint(t *testing.T) {
	stuck, well := newApplication(t), newApplication(t)
	release := make(chan struct{})
	stuck.handle = func(w http.ResponseWriter, r *http.Request, _ []byte) { <-release }
	s := serve(t, `
	handle /stuck {
		webhook_inbox stuck {
			verify none
			dedupe off
			deliver `+stuck.addr+`
		}
	}
	handle /well {
		webhook_inbox well {
			verify none
			dedupe off
			deliver `+well.addr+`
		}
	}
`)
	for range 100 {
		s.expect(202, "POST", "/stuck", nil, strings.Repeat("x", 10_000))
	}
	stuck.next()
	for n := range 50 {
		s.expect(202, "POST", "/well", nil, strconv.Itoa(n))
		if d := well.next(); d.Body != strconv.Itoa(n) {
			t.Errorf("delivered %q", d.Body)
		}
	}
	s.settled("well")
	if n := s.endpoint("stuck").Waiting; n != 100 {
		t.Errorf("%d wait for the application that hangs, want 100", n)
	}
	close(release)
	s.settled("stuck")
}

// A 429 pauses the endpoint for as long as it says, and costs no message an
// attempt that counts.
func TestTooManyRequestsPauseEndpoint(t *testing.T) {
	app := newApplication(t)
	var first atomic.Int64
	early := make(chan time.Duration, 100)
	app.handle = func(w http.ResponseWriter, r *http.Request, _ []byte) {
		now := time.Now().UnixNano()
		if first.CompareAndSwap(0, now) {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		early <- time.Duration(now - first.Load())
	}
	s := serve(t, retrySite(app.addr, "retry {\n backoff 10ms 20ms\n max_attempts 1\n }"))
	s.expect(202, "POST", "/", tokenHeader("1"), "1")
	eventually(t, "the pause begins", func() bool { return s.attempts("throttled") == 1 })
	for n := 2; n <= 5; n++ {
		s.expect(202, "POST", "/", tokenHeader(strconv.Itoa(n)), strconv.Itoa(n))
	}
	for range 5 {
		if after := receive(t, early, "deliveries go on"); after < 900*time.Millisecond {
			t.Errorf("there was an attempt %v after a 429 that asked for a second", after)
		}
	}
	s.settled("demo")
	if n := s.endpoint("demo").DeadLetters; n != 0 {
		t.Errorf("%d dead letters", n)
	}
}

func TestDeliveredMessageIsKeptAsLongAsConfigured(t *testing.T) {
	app := newApplication(t)
	s := newServer(t)
	kept := func(id string) int64 {
		s.expect(202, "POST", "/", tokenHeader(id), "x")
		app.next()
		s.settled("demo")
		return s.endpoint("demo").Kept
	}
	s.load(retrySite(app.addr, "retain 0"))
	if n := kept("1"); n != 0 {
		t.Errorf("%d are kept with retain 0", n)
	}
	s.load(retrySite(app.addr, "retain 1h"))
	if n := kept("2"); n != 1 {
		t.Errorf("%d are kept with retain 1h, want 1", n)
	}
	s.load(retrySite(app.addr, "retain 0"))
	if n := kept("3"); n != 1 {
		t.Errorf("%d are kept after it was set to 0, want the 1 from before", n)
	}
	// Kept or not, it is remembered.
	for _, id := range []string{"1", "2", "3"} {
		s.expect(202, "POST", "/", tokenHeader(id), "again")
	}
	s.expect(202, "POST", "/", tokenHeader("4"), "last")
	if d := app.next(); d.Body != "last" {
		t.Errorf("delivered %q", d.Body)
	}
}

// Caddy stops while an application hangs: the attempt ends with it and is made
// again after the start, without having been counted.
func TestShutdownIsNoFailureOfMessage(t *testing.T) {
	app := newApplication(t)
	ctx, done := context.WithCancel(t.Context())
	defer done()
	app.handle = func(w http.ResponseWriter, r *http.Request, _ []byte) {
		select {
		case <-r.Context().Done():
		case <-ctx.Done():
		}
	}
	site := retrySite(app.addr, "retry {\n max_attempts 1\n }")
	s := serve(t, site)
	s.expect(202, "POST", "/", tokenHeader("1"), "x")
	app.next()
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	done()
	s.load(site)
	if d := app.next(); d.Body != "x" || d.Header.Get("Webhook-Inbox-Attempt") != "2" {
		t.Errorf("delivered %q as attempt %q", d.Body, d.Header.Get("Webhook-Inbox-Attempt"))
	}
	s.settled("demo")
	if n := s.endpoint("demo").DeadLetters; n != 0 {
		t.Errorf("%d dead letters", n)
	}
}
