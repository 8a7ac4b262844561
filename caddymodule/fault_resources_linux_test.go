// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue/queuetest/ledger"
)

// usage is what a process holds.
type usage struct {
	goroutines, files float64
	heap              float64 // MiB in use after a collection
	series            float64 // of our metrics
}

// usage asks the process to collect its garbage, and looks.
func (p *process) usage() (u usage) {
	p.t.Helper()
	_, profile := p.admin("GET", "/debug/pprof/heap?gc=1&debug=1")
	for line := range strings.Lines(string(profile)) {
		fmt.Sscanf(line, "# HeapAlloc = %g", &u.heap)
	}
	u.heap /= 1 << 20
	_, profile = p.admin("GET", "/debug/pprof/goroutine?debug=1")
	fmt.Sscanf(string(profile), "goroutine profile: total %g", &u.goroutines)
	if u.goroutines == 0 || u.heap == 0 {
		p.t.Fatalf("%+v: looking at a process", u)
	}
	u.files = float64(p.openFiles())
	u.series = float64(strings.Count(p.metrics(), "\ncaddy_webhook_inbox_"))
	return u
}

// atRest returns what the process holds when that shrinks no more.
func (p *process) atRest() usage {
	p.t.Helper()
	least, since := p.usage(), time.Now()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline) && time.Since(since) < 1500*time.Millisecond; {
		time.Sleep(50 * time.Millisecond)
		if u := p.usage(); u.goroutines < least.goroutines || u.files < least.files {
			least, since = u, time.Now()
		}
	}
	return least
}

// measured notes what the process holds now, and what it may: what it held before,
// and a bit for what Badger and Caddy do meanwhile.
func (u usage) measured(l *ledger.Ledger, before usage, heap float64) {
	l.Measured("goroutines", u.goroutines, before.goroutines+15)
	l.Measured("file descriptors", u.files, before.files+15)
	l.Measured("MiB of heap", u.heap, before.heap+heap)
	l.Measured("series of metrics", u.series, before.series+15)
}

// changing returns the n-th of many configurations: a changed endpoint, and one that
// is there in every second.
func (p *process) changing(engine string, n int, app string) string {
	site := ""
	if n%2 == 1 {
		site = fmt.Sprintf("webhook_inbox /guest-%d guest-%[1]d {\n verify none\n dedupe off\n deliver %s\n}\n", n%20, app)
	}
	config := p.caddyfile("", site+fmt.Sprintf(`
	webhook_inbox demo {
		verify token X-Webhook-Token secret-token
		message_id header X-Webhook-Id
		attempt_timeout %ds
		deliver %s
	}
`, 10+n, app))
	return strings.Replace(config, "queue badger", "queue "+engine, 1)
}

// A hundred reloads under load leave nothing behind: goroutines, file descriptors
// and memory are what they were.
func TestFaultReloadsLeakNothing(t *testing.T) {
	t.Parallel()
	l := new(ledger.Ledger)
	after, before := leftBehind(t, l, "badger", rounds(20, 100))
	after.measured(l, before, 3)
	report(t, l, ledger.End{})
}

// TestFaultReloadsLeakNothing would notice a goroutine, a file or some memory that
// each configuration leaves behind.
func TestFaultReloadsShowALeak(t *testing.T) {
	t.Parallel()
	after, before := leftBehind(t, new(ledger.Ledger), "leaking", 20)
	for _, leaked := range []usage{{goroutines: after.goroutines}, {files: after.files}, {heap: after.heap}} {
		l := new(ledger.Ledger)
		leaked.measured(l, before, 3)
		expectBroken(t, l, ledger.End{}, ledger.Growth)
	}
}

// leftBehind returns what a process holds after many reloads under load, and what it
// held after the first few.
func leftBehind(t *testing.T, l *ledger.Ledger, engine string, reloads int) (after, before usage) {
	t.Helper()
	p, app := startWitnessed(t, l, engine, slowly)
	load := func(n int) {
		t.Helper()
		if status, answer := p.post("/load", p.changing(engine, n, app)); status != http.StatusOK {
			t.Fatalf("reload %d: status %d %s", n, status, answer)
		}
	}
	storm := func(from, to int) usage {
		tr := startTraffic(t, l, p.addr, fmt.Sprint(from), 16)
		for n := from; n < to; n++ {
			load(n)
			if status, _ := p.post("/load", "{\n webhook_inbox {\n unknown\n}\n}"); status != http.StatusBadRequest {
				t.Errorf("a broken configuration is answered %d", status)
			}
		}
		tr.finish(p.addr)
		rest(t, p.server, "demo")
		load(to) // which keeps no connection to the application
		return p.atRest()
	}
	before = storm(1, 6)
	after = storm(7, 7+reloads)
	t.Logf("before: %+v, after: %+v", before, after)
	return after, before
}

func startWitnessed(t *testing.T, l *ledger.Ledger, engine string, answer func(string, int) (int, time.Duration)) (*process, string) {
	t.Helper()
	app := witness(t, l, answer)
	s := newServer(t)
	return startCaddy(t, s, (&process{server: s}).changing(engine, 0, app.addr)), app.addr
}

// A hundred thousand messages leave nothing behind either, but for what is kept of
// them on disk.
func TestFaultMessagesLeakNothing(t *testing.T) {
	t.Parallel()
	l := new(ledger.Ledger)
	after, before := leftByMessages(t, l, "badger", rounds(300, 10_000), rounds(700, 100_000))
	after.measured(l, before, 8)
	report(t, l, ledger.End{})
}

// TestFaultMessagesLeakNothing would notice a goroutine, a file or some memory that
// each message leaves behind.
func TestFaultMessagesShowALeak(t *testing.T) {
	t.Parallel()
	after, before := leftByMessages(t, new(ledger.Ledger), "spilling", 50, 200)
	for _, leaked := range []usage{{goroutines: after.goroutines}, {files: after.files}, {heap: after.heap}} {
		l := new(ledger.Ledger)
		leaked.measured(l, before, 8)
		expectBroken(t, l, ledger.End{}, ledger.Growth)
	}
}

// leftByMessages returns what a process holds after so many messages, and what it
// held after the first ones.
func leftByMessages(t *testing.T, l *ledger.Ledger, engine string, first, then int) (after, before usage) {
	t.Helper()
	p, app := startWitnessed(t, l, engine, nil)
	work := func(name string, n int) usage {
		accepted := l.Counts().Accepted
		deadline := time.Now().Add(patience + time.Duration(n)*20*time.Millisecond)
		until := func(what string, ok func() bool) {
			for !ok() {
				if time.Now().After(deadline) {
					t.Fatalf("waited in vain until %s: %+v", what, l.Counts())
				}
				time.Sleep(100 * time.Millisecond) // to count takes time too
			}
		}
		tr := startTraffic(t, l, p.addr, name, 32)
		until("they are accepted", func() bool { return l.Counts().Accepted >= accepted+n })
		tr.finish(p.addr)
		until("they are delivered", func() bool { return l.Undelivered() == 0 })
		rest(t, p.server, "demo")
		if status, answer := p.post("/load", p.changing(engine, len(name), app)); status != http.StatusOK {
			t.Fatalf("status %d %s", status, answer)
		}
		return p.atRest()
	}
	before = work("first", first)
	after = work("then", then)
	t.Logf("before: %+v, after: %+v", before, after)
	return after, before
}
