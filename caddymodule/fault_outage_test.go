// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue/queuetest/ledger"
)

// ailing is an application that is down, in the way of its mood, until it recovers,
// and counts what it gets meanwhile and how fast more comes after that.
type ailing struct {
	ledger *ledger.Ledger
	addr   string
	mood   func(http.ResponseWriter, *http.Request)
	server *http.Server
	opened sync.Once

	recovered func() // if it is there, called when the application recovers

	mu                sync.Mutex
	well              time.Time       // since when; zero before
	attempts          map[string]bool // while it was down
	first             time.Time       // delivery
	now, most, excess int             // attempts at once, and beyond the ramp
	delivered         int
}

// outageMoods are how an application can be down. One that refuses connections does
// nothing.
var outageMoods = map[string]func(http.ResponseWriter, *http.Request){
	"answers 500": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
	"hangs":       func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	"resets":      poisons["resets"],
	"refuses":     nil,
}

func newAiling(t *testing.T, l *ledger.Ledger, mood func(http.ResponseWriter, *http.Request)) *ailing {
	t.Helper()
	a := &ailing{ledger: l, addr: freeAddr(t), mood: mood, attempts: make(map[string]bool)}
	a.server = &http.Server{Handler: a}
	t.Cleanup(func() { a.server.Close() })
	if mood != nil {
		a.open(t)
	}
	return a
}

func (a *ailing) open(t *testing.T) {
	a.opened.Do(func() {
		listener, err := net.Listen("tcp", a.addr)
		if err != nil {
			t.Fatal(err)
		}
		go func() { _ = a.server.Serve(listener) }()
	})
}

func (a *ailing) recover(t *testing.T) {
	a.mu.Lock()
	a.well = time.Now()
	a.mu.Unlock()
	a.open(t)
	if a.recovered != nil {
		a.recovered()
	}
}

func (a *ailing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // an attempt that was cancelled
	}
	try := attemptOf(r)
	if a.down(fmt.Sprint(keyOf(r), try.Number), func() {
		try.Ended = time.Now() // at the earliest
		a.ledger.Tried(keyOf(r), body, try)
	}) {
		a.mood(w, r)
		return
	}
	time.Sleep(2 * time.Millisecond) // the work that there is for each
	try.Ended, try.Status = time.Now(), http.StatusNoContent
	a.ledger.Tried(keyOf(r), body, try)
	a.mu.Lock()
	a.now--
	a.delivered++
	a.mu.Unlock()
	w.WriteHeader(http.StatusNoContent)
}

// down reports whether the application is down, and notes an attempt that it had not
// seen before: one that is reset may be repeated.
func (a *ailing) down(attempt string, note func()) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.well.IsZero() {
		a.begin()
		return false
	}
	if !a.attempts[attempt] {
		a.attempts[attempt] = true
		note()
	}
	return true
}

// begin notes an attempt at an application that is well. How many there are at once
// doubles with as many deliveries: with the n-th, at most n more may have begun.
func (a *ailing) begin() {
	if a.first.IsZero() {
		a.first = time.Now()
	}
	a.now++
	a.most = max(a.most, a.now)
	a.excess = max(a.excess, a.now-max(1, a.delivered))
}

// outage has webhooks come in for an application that is down, and recovers after
// so long and when so many wait.
func outage(t *testing.T, l *ledger.Ledger, app *ailing, length time.Duration, waiting int, mutations ...string) *server {
	t.Helper()
	const concurrency = 32
	other, s := newBystander(t, l), newServer(t)
	site := retrySite(app.addr, fmt.Sprintf(`
		concurrency %d
		attempt_timeout %v
		retry {
			backoff 200ms 200ms
			max_attempts 3
		}`, concurrency, outageTimeout)) + `
	handle /other {
		webhook_inbox other {
			verify token X-Webhook-Token secret-token
			message_id header X-Webhook-Id
			deliver ` + other.app.addr + `
		}
	}`
	if err := s.tryLoad(s.caddyfile(s.brokenBy(mutations...), site)); err != nil {
		t.Fatal(err)
	}
	other.start(s, "/other")
	began := time.Now()
	tr := startTraffic(t, l, s.addr, "backlog", 16)
	inTime(t, 10*time.Minute, "a backlog is there", func() bool {
		return l.Counts().Accepted >= waiting
	})
	tr.finish(s.addr)
	t.Logf("%d webhooks were accepted within %v", l.Counts().Accepted, time.Since(began))
	inTime(t, length+patience, "the outage lasted", func() bool {
		return s.endpoint("demo").Outage != nil && time.Since(began) >= length
	})
	if e := s.endpoint("demo"); e.DeadLetters > 0 {
		t.Errorf("%d are dead because of an outage", e.DeadLetters)
	}
	lasted := time.Since(began)
	app.recover(t)
	inTime(t, 10*time.Minute, "nothing waits", func() bool { return s.endpoint("demo").Waiting == 0 })
	other.finish(2 * time.Second)

	app.mu.Lock()
	defer app.mu.Unlock()
	noticed := app.first.Sub(app.well)
	t.Logf("%d attempts in an outage of %v, which is noticed to be over after %v; then %d at once at most, and all is delivered after %v",
		len(app.attempts), lasted, noticed, app.most, time.Since(app.well))
	probes, last := probesWithin(lasted)
	l.Measured("attempts while the application is down", float64(len(app.attempts)), float64(5+concurrency+probes))
	l.Measured("attempts at once after the outage, beyond the ramp", float64(app.excess), 0)
	l.Measured("seconds until it is noticed that the outage is over", noticed.Seconds(), (last + outageTimeout + slowdown*time.Second).Seconds())
	return s
}

// outageTimeout is the attempt_timeout of an application that hangs, and long enough
// for one that is well.
const outageTimeout = 10 * time.Second

// longestProbe is how far away a probe can be, in an outage.
const longestProbe = 30 * time.Second

// probesWithin returns how many probes may come in an outage, and how long before
// the next one.
func probesWithin(outage time.Duration) (n int, next time.Duration) {
	next = time.Second
	for left := outage; left >= next; n++ {
		left -= next
		next = min(2*next, longestProbe)
	}
	return n, next
}

// An application is down while webhooks come in, thousands in short, and in long a
// hundred thousand in a minute or more. They are accepted all the same, the
// application gets few attempts, and nothing is given up on, however few attempts a
// message has. When it recovers, that is noticed by the next probe; deliveries begin
// with one at a time and double from there, and everything is delivered once. The
// other endpoint is not delayed throughout.
func TestFaultOutage(t *testing.T) {
	for name, mood := range outageMoods {
		if name != "answers 500" && !faultsAreLong {
			continue
		}
		t.Run(name, func(t *testing.T) {
			l := &ledger.Ledger{Backoff: 50 * time.Millisecond}
			waiting := rounds(2000, 10_000)
			if faultsAreLong && name == "answers 500" {
				waiting = 100_000
			}
			app := newAiling(t, l, mood)
			s := outage(t, l, app, time.Duration(rounds(0, 60))*time.Second, waiting)
			if e := s.endpoint("demo"); e.DeadLetters > 0 || e.Outage != nil {
				t.Errorf("in the end the endpoint is %+v", e)
			}
			if c := report(t, l, ledger.End{}); c.Accepted < waiting || c.Delivered != c.Accepted {
				t.Errorf("that is no load: %+v", c)
			}
		})
	}
}

// What an outage costs is noticed: whoever acknowledges what the application failed
// to take has nothing left to deliver when it recovers.
func TestFaultOutageIsNoticed(t *testing.T) {
	l := &ledger.Ledger{Backoff: 50 * time.Millisecond}
	app := newAiling(t, l, outageMoods["answers 500"])
	outage(t, l, app, 0, 100, ackBeforeAnswer)
	expectBroken(t, l, ledger.End{}, ledger.Loss)
}

// So is a herd: who has several attempts begin at once in the moment of recovery does
// not keep to the ramp.
func TestFaultOutageNoticesAHerd(t *testing.T) {
	l := &ledger.Ledger{Backoff: 50 * time.Millisecond}
	app := newAiling(t, l, outageMoods["answers 500"])
	var herd sync.WaitGroup
	app.recovered = func() {
		for n := range 8 {
			herd.Go(func() {
				client := &http.Client{Transport: &http.Transport{}, Timeout: patience}
				defer client.CloseIdleConnections()
				for tries := range 20 {
					post(t.Context(), client, app.addr, fmt.Sprintf("herd-%d-%d", n, tries), "herd")
				}
			})
		}
		herd.Wait()
	}
	outage(t, l, app, 0, 100)
	expectBroken(t, l, ledger.End{}, ledger.Growth)
	if app.excess == 0 {
		t.Error("nobody noticed that it was a herd")
	}
}

// inTime is eventually for what takes longer.
func inTime(t *testing.T, patience time.Duration, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatalf("waited %v in vain until %s", patience, what)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
