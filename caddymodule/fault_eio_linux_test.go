// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue/queuetest/ledger"
)

// The disk fails, once or for good, with the writes or the syncs of the journal. From
// then on nothing is acknowledged or delivered, even if the disk works again, because
// nobody knows what it has. Senders are told when to come back, the metrics say so,
// Caddy and what else it serves live, and it ends when it is told to. A restart on a
// disk that works loses nothing, and takes everything that was refused.
func TestFaultDiskErrors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault   string
		forGood bool
		rounds  int
	}{
		"a sync, once":          {"fdatasync:error=EIO", false, rounds(1, 10)},
		"every sync":            {"fdatasync,fsync,msync:error=EIO", true, rounds(1, 10)},
		"every write":           {"pwrite64:error=EIO", true, rounds(0, 10)},
		"every write and sync":  {"pwrite64,fdatasync,fsync,msync:error=EIO", true, rounds(0, 10)},
		"a sync, without space": {"fdatasync:error=ENOSPC", false, rounds(0, 10)},
	} {
		if c.rounds == 0 {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for round := range c.rounds {
				diskErrors(t, round, c.fault, c.forGood)
			}
		})
	}
}

func diskErrors(t *testing.T, round int, fault string, forGood bool) {
	t.Helper()
	l := new(ledger.Ledger)
	app := witness(t, l, nil)
	s := newServer(t)
	config := s.caddyfile("", aliveSite+retrySite(app.addr, quickly))
	p := startCaddy(t, s, config)
	tr := startTraffic(t, l, s.addr, "during"+strconv.Itoa(round), 8)
	eventually(t, "there is load", func() bool { return l.Counts().Accepted > 50 })

	began := time.Now()
	disk := p.inject([]string{fault})
	eventually(t, "a webhook is refused", func() bool { return l.Counts().Unavailable > 0 })
	if !forGood {
		disk.stop()
	}
	p.refusesAll(tr)
	if p.metric("caddy_webhook_inbox_open") != 0 && !strings.HasPrefix(fault, "pwrite64:") {
		t.Error("the metrics say that it takes messages")
	}
	before := l.Counts()
	time.Sleep(100 * time.Millisecond)
	if after := l.Counts(); after.Accepted != before.Accepted && !strings.HasPrefix(fault, "pwrite64:") {
		t.Errorf("%d webhooks were accepted after the failure", after.Accepted-before.Accepted)
	}
	tr.stop()
	asked := time.Now()
	p.end(syscall.SIGTERM)
	if took := time.Since(asked); took > slowdown*5*time.Second {
		t.Errorf("it took %v to end", took)
	}
	disk.stop()
	app.catchUp()
	l.Fault(began, time.Now())

	startCaddy(t, s, config)
	tr.finish(s.addr)
	judge(t, l, s, "demo")
}

// aliveSite is something else that Caddy serves.
const aliveSite = "handle /alive {\n respond 204\n }\n"

// refusesAll checks that the inbox takes nothing and says when to come back, and that
// Caddy lives. What it has refused is sent again when the traffic is finished.
func (p *process) refusesAll(tr *traffic) {
	p.t.Helper()
	first := tr.ledger.Counts().Sent
	for n := range 20 {
		id := fmt.Sprintf("late-%d-%d", first, n)
		tr.note(id, id)
		tr.ledger.Sent(id, []byte(id))
		resp := p.send("POST", "/", tokenHeader(id), id)
		tr.ledger.Answered(id, resp.StatusCode)
		seconds, err := strconv.Atoi(resp.Header.Get("Retry-After"))
		if resp.StatusCode != http.StatusServiceUnavailable || err != nil || seconds < 1 {
			p.t.Fatalf("status %d with Retry-After %q, want 503 with some seconds", resp.StatusCode, resp.Header.Get("Retry-After"))
		}
	}
	p.expect(204, "GET", "/alive", nil, "")
}

// A disk that fails while Caddy starts is an error that says so. When it works again,
// everything is there that was waiting.
func TestFaultDiskErrorsAtStart(t *testing.T) {
	t.Parallel()
	l := new(ledger.Ledger)
	var ready atomic.Bool
	app := witness(t, l, unless(&ready))
	s := newServer(t)
	config := s.caddyfile("", aliveSite+retrySite(app.addr, quickly))
	p := startCaddy(t, s, config)
	tr := startTraffic(t, l, s.addr, "before", 8)
	eventually(t, "there is load", func() bool { return l.Counts().Accepted > 50 })
	p.kill(l, app)
	tr.stop()
	for _, fault := range []string{
		"fdatasync:error=EIO", "fsync:error=EIO", "msync:error=EIO", "pwrite64:error=EIO",
		"fdatasync,fsync,msync,pwrite64:error=EIO",
	}[:rounds(2, 5)] {
		if said := s.startFails(config, fault); !strings.Contains(said, "input/output error") || !strings.Contains(said, s.dir) {
			t.Errorf("%s: Caddy does not say why it does not start:\n%s", fault, said)
		}
	}
	ready.Store(true)
	startCaddy(t, s, config)
	tr.finish(s.addr)
	judge(t, l, s, "demo")
}

// When Caddy ends, Badger writes a table, lists it, and cannot sync the list, once or
// for good, until Caddy is killed. The next start finds everything all the same.
func TestFaultDiskErrorInTheListOfTables(t *testing.T) {
	t.Parallel()
	for name, forGood := range map[string]bool{"once": false, "for good": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := new(ledger.Ledger)
			var ready atomic.Bool
			app := witness(t, l, unless(&ready))
			s := newServer(t)
			config := s.caddyfile("", aliveSite+retrySite(app.addr, quickly))
			p := startCaddy(t, s, config)
			tr := startTraffic(t, l, s.addr, "before", 8)
			eventually(t, "there is load", func() bool { return l.Counts().Accepted > 50 })
			tr.stop()

			disk := p.inject([]string{"fsync:error=EIO"}, filepath.Join(s.dir, "MANIFEST"))
			began := time.Now()
			if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the list cannot be synced", func() bool { return disk.injected() > 0 })
			if !forGood {
				disk.stop()
			}
			p.end(syscall.SIGTERM)
			disk.stop()
			app.catchUp()
			l.Fault(began, time.Now())

			ready.Store(true)
			startCaddy(t, s, config)
			tr.finish(s.addr)
			judge(t, l, s, "demo")
		})
	}
}

// unless answers 503 for as long as the application is not ready.
func unless(ready *atomic.Bool) func(string, int) (int, time.Duration) {
	return func(string, int) (int, time.Duration) {
		if ready.Load() {
			return http.StatusNoContent, 0
		}
		return http.StatusServiceUnavailable, 0
	}
}
