// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue/queuetest/ledger"
)

// version is tokenSite with other options in each version.
func version(n int, app string) string {
	options := fmt.Sprintf("attempt_timeout %ds\n\t\tconcurrency %d\n\t\tdeliver", 10+n, 1+n*5%16)
	return strings.Replace(fmt.Sprintf(tokenSite, app), "deliver", options, 1)
}

// The configuration is changed during an outage, and some of the changes fail. It
// goes on being an outage, in which webhooks are accepted and wait, until a reload
// brings a route that works: that is tried at once, and not when the next probe was to
// come, and all are delivered.
func TestFaultReloadInAnOutage(t *testing.T) {
	l := new(ledger.Ledger)
	reloadInAnOutage(t, l, rounds(4, 30))
	if c := report(t, l, ledger.End{}); c.Unavailable > 0 || c.Refused > 0 || c.Repeated > 0 {
		t.Errorf("%+v, want none refused or repeated", c)
	}
}

func reloadInAnOutage(t *testing.T, l *ledger.Ledger, times int, mutations ...string) {
	t.Helper()
	tried := make(chan time.Time, 1) // when the application was, first since this was empty
	app := witness(t, l, func(string, int) (int, time.Duration) {
		select {
		case tried <- time.Now():
		default:
		}
		return http.StatusNoContent, 0
	})
	nobody := []string{freeAddr(t), freeAddr(t)}
	s := newServer(t)
	s.mutations = mutations
	s.load(version(0, nobody[0]))
	tr := startTraffic(t, l, s.addr, "", 4)
	eventually(t, "there is an outage", func() bool { return s.endpoint("demo").Outage != nil })
	for n := range times {
		s.load(version(n+1, nobody[n%2]))
		if err := s.tryLoad(s.broken(version(n, app.addr))); err == nil {
			t.Fatal("a configuration that cannot start was loaded")
		}
		if s.endpoint("demo").Outage == nil && l.Counts().Delivered == 0 {
			t.Error("a reload ended the outage")
		}
	}
	before := l.Counts().Accepted
	eventually(t, "more webhooks are accepted", func() bool { return l.Counts().Accepted > before+100 })
	type outage struct {
		Outage struct {
			NextProbe time.Time `json:"next_probe"`
		}
	}
	var e outage
	const far = 10 * time.Second
	n := 0
	eventually(t, "the next probe is far away", func() bool {
		e = outage{} // a change that failed may have delivered something, and ended it
		s.adminJSON("GET", "/webhook_inbox/endpoints/demo", &e)
		left := time.Until(e.Outage.NextProbe)
		if left > 0 && left <= far {
			s.load(version(n, nobody[n%2])) // another route is probed, and so puts off the next probe
			n++
		}
		return left > far
	})
	for len(tried) > 0 {
		<-tried
	}
	s.load(version(0, app.addr))
	if late := receive(t, tried, "the new route is tried").Sub(e.Outage.NextProbe); late > 0 {
		t.Errorf("the new route was not tried before the next probe, but %v after it", late)
	}
	tr.finish(s.addr)
	rest(t, s, "demo")
}

// The configuration is changed while a backlog is worked off: options change, changes
// fail, and now and then the endpoint is taken out while attempts are under way.
// Each message is delivered once.
func TestFaultReloadInADrain(t *testing.T) {
	l := new(ledger.Ledger)
	backlog := rounds(400, 5000)
	reloadInADrain(t, l, backlog)
	if c := report(t, l, ledger.End{}); c.Accepted != backlog || c.Repeated > 0 {
		t.Errorf("%+v, want %d accepted and none repeated", c, backlog)
	}
}

func reloadInADrain(t *testing.T, l *ledger.Ledger, backlog int, mutations ...string) {
	t.Helper()
	app := witness(t, l, slowly)
	s := newServer(t)
	s.mutations = mutations
	s.load(version(0, freeAddr(t)))
	for n := range backlog {
		id := fmt.Sprint("waiting-", n)
		l.Sent(id, []byte(id))
		s.expect(http.StatusAccepted, "POST", "/", tokenHeader(id), id)
		l.Answered(id, http.StatusAccepted)
	}
	left := func() int64 { return s.endpoint("demo").Waiting }
	removed := 0
	for n := 0; left() > 0; n++ {
		before := left()
		s.load(version(n, app.addr))
		eventually(t, "some are delivered", func() bool { return left() < max(1, before-20) })
		switch n % 3 {
		case 1:
			if err := s.tryLoad(s.broken(version(n+1, app.addr))); err == nil {
				t.Fatal("a configuration that cannot start was loaded")
			}
		case 2:
			s.load("respond 404")
			removed++
		}
	}
	s.load(version(0, app.addr))
	if rest(t, s, "demo"); removed == 0 {
		t.Error("the endpoint was never taken out")
	}
}

// The disk is full at the start, so that the queue is not open, and the configuration
// is changed meanwhile: its limits, its directory, and in ways that fail. Everything
// is refused with 503 until a reload brings a limit that the disk meets, and then
// all of it is accepted.
func TestFaultReloadOnAFullDisk(t *testing.T) {
	l := new(ledger.Ledger)
	reloadOnAFullDisk(t, l, rounds(4, 30))
	if c := report(t, l, ledger.End{}); c.Refused > 0 || c.Repeated > 0 {
		t.Errorf("%+v, want none refused but with 503, and none repeated", c)
	}
}

func reloadOnAFullDisk(t *testing.T, l *ledger.Ledger, times int, mutations ...string) {
	t.Helper()
	app := witness(t, l, nil)
	s := newServer(t)
	s.mutations = mutations
	first, second := s.dir, filepath.Join(filepath.Dir(s.dir), "second")
	s.loadQueue("min_free_space 1000TiB", version(0, app.addr))
	tr := startTraffic(t, l, s.addr, "", 4)
	for n := range times {
		s.dir = []string{second, first}[n%2]
		s.loadQueue(fmt.Sprintf("min_free_space %dTiB", 1000+n), version(n, app.addr))
		if err := s.tryLoadQueue("min_free_space 64MiB", "webhook_inbox demo {\nverify token X {env.NOBODY_SET_THIS}\n}"); err == nil {
			t.Fatal("a configuration that cannot start was loaded")
		}
	}
	eventually(t, "some are refused", func() bool { return l.Counts().Unavailable >= 4 })
	if c := l.Counts(); c.Accepted > 0 {
		t.Errorf("%+v on a full disk", c)
	}
	s.loadQueue("min_free_space 64MiB", version(1, app.addr))
	eventually(t, "some are accepted", func() bool { return l.Counts().Accepted > 50 })
	tr.finish(s.addr)
	rest(t, s, "demo")
}

// The limits of the queue are lowered under load until everything is refused with
// 503, and raised again. What was refused is accepted then.
func TestFaultReloadOfLimits(t *testing.T) {
	l := new(ledger.Ledger)
	reloadOfLimits(t, l, rounds(4, 40))
	if c := report(t, l, ledger.End{}); c.Refused > 0 || c.Repeated > 0 {
		t.Errorf("%+v, want none refused but with 503, and none repeated", c)
	}
}

func reloadOfLimits(t *testing.T, l *ledger.Ledger, times int, mutations ...string) {
	t.Helper()
	app := witness(t, l, nil)
	s := newServer(t)
	s.mutations = mutations
	fine := "min_free_space 64MiB"
	s.loadQueue(fine, version(0, app.addr))
	tr := startTraffic(t, l, s.addr, "", 4)
	for n := range times {
		before := l.Counts().Unavailable
		s.loadQueue([]string{fine + "\nmax_size 1KiB", "min_free_space 1000TiB"}[n%2], version(n, app.addr))
		eventually(t, "some are refused", func() bool { return l.Counts().Unavailable >= before+2 })
		accepted := l.Counts().Accepted
		s.loadQueue(fine, version(n, app.addr))
		eventually(t, "some are accepted", func() bool { return l.Counts().Accepted > accepted+20 })
	}
	tr.finish(s.addr)
	rest(t, s, "demo")
}
