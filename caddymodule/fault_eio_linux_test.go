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
		"a sync, once":           {"fdatasync:error=EIO:when=1", true, rounds(1, 10)}, // in each thread
		"syncs, for a moment":    {"fdatasync:error=EIO", false, rounds(0, 10)},
		"every sync":             {"fdatasync,fsync,msync:error=EIO", true, rounds(1, 10)},
		"every write":            {"pwrite64:error=EIO", true, rounds(0, 10)},
		"every write and sync":   {"pwrite64,fdatasync,fsync,msync:error=EIO", true, rounds(0, 10)},
		"a write, without space": {"pwrite64:error=ENOSPC:when=1", true, rounds(1, 10)}, // after it was reserved
		"a sync, without space":  {"fdatasync:error=ENOSPC", false, rounds(0, 10)},
	} {
		if c.rounds == 0 {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for round := range c.rounds {
				l := new(ledger.Ledger)
				diskErrors(t, l, round, c.fault, c.forGood)
				report(t, l, ledger.End{})
			}
		})
	}
}

func diskErrors(t *testing.T, l *ledger.Ledger, round int, fault string, forGood bool, mutations ...string) {
	t.Helper()
	app := witness(t, l, nil)
	s := newServer(t)
	s.mutations = mutations
	config := s.caddyfile("", aliveSite+retrySite(app.addr, quickly))
	p := startCaddy(t, s, config)
	tr := startTraffic(t, l, s.addr, "during"+strconv.Itoa(round), 8)
	eventually(t, "there is load", func() bool { return l.Counts().Accepted > 50 })

	began := time.Now()
	disk := p.inject([]string{fault})
	all := []*traffic{tr}
	if len(mutations) > 0 { // with which nothing is refused
		eventually(t, "the disk fails", func() bool { return disk.injected() > 0 })
		failed := l.Counts().Accepted
		eventually(t, "more webhooks are accepted", func() bool { return l.Counts().Accepted > failed+50 })
		tr.stop()
	} else {
		all = append(all, p.noticesFailure(tr, disk, fault, forGood, round))
	}
	asked := time.Now()
	p.end(syscall.SIGTERM)
	if took := time.Since(asked); took > endTime {
		t.Errorf("it took %v to end", took)
	}
	disk.stop()
	app.catchUp()
	l.Fault(began, time.Now())

	startCaddy(t, s, config)
	for _, tr := range all {
		tr.finish(s.addr)
	}
	rest(t, s, "demo")
}

// noticesFailure checks that the inbox takes nothing any more, and returns what was
// refused beside the traffic.
func (p *process) noticesFailure(tr *traffic, disk *tracer, fault string, forGood bool, round int) *traffic {
	l := tr.ledger
	eventually(p.t, "a webhook is refused", func() bool { return l.Counts().Unavailable > 0 })
	if !forGood {
		disk.stop()
	}
	p.refusesAll(tr)
	if p.metric("caddy_webhook_inbox_open") != 0 && !strings.HasPrefix(fault, "pwrite64:") {
		p.t.Error("the metrics say that it takes messages")
	}
	tr.stop()
	refused := l.Counts().Unavailable
	late := startTraffic(tr.t, l, p.addr, "after"+strconv.Itoa(round), 8)
	eventually(p.t, "more webhooks are refused", func() bool { return l.Counts().Unavailable >= refused+8 })
	late.stop()
	for id := range late.pending {
		if !strings.HasSuffix(id, "-0") {
			p.t.Errorf("what came before %s was accepted after the failure", id)
		}
	}
	return late
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
	diskErrorsAtStart(t, l, []string{
		"fdatasync:error=EIO", "fsync:error=EIO", "msync:error=EIO", "pwrite64:error=EIO",
		"fdatasync,fsync,msync,pwrite64:error=EIO",
	}[:rounds(2, 5)])
	report(t, l, ledger.End{})
}

func diskErrorsAtStart(t *testing.T, l *ledger.Ledger, faults []string, mutations ...string) {
	t.Helper()
	var ready atomic.Bool
	app := witness(t, l, onlyIf(&ready))
	s := newServer(t)
	s.mutations = mutations
	config := s.caddyfile("", aliveSite+retrySite(app.addr, quickly))
	p := startCaddy(t, s, config)
	tr := startTraffic(t, l, s.addr, "before", 8)
	eventually(t, "there is load", func() bool { return l.Counts().Accepted > 50 })
	p.kill(l, app)
	tr.stop()
	for _, fault := range faults {
		if said := s.startFails(config, fault); !strings.Contains(said, "input/output error") || !strings.Contains(said, s.dir) {
			t.Errorf("%s: Caddy does not say why it does not start:\n%s", fault, said)
		}
	}
	ready.Store(true)
	startCaddy(t, s, config)
	tr.finish(s.addr)
	rest(t, s, "demo")
}

// When Caddy ends, Badger writes a table, lists it, and cannot sync the list, once or
// for good, until Caddy is killed; or it cannot sync any of these, once in each
// thread. The next start finds everything all the same.
func TestFaultDiskErrorInTheListOfTables(t *testing.T) {
	t.Parallel()
	const list, everything = "MANIFEST", ""
	for name, c := range map[string]struct {
		fault, of string
		rounds    int
	}{
		"once":                      {"fsync:error=EIO:when=1", list, 1},
		"for good":                  {"fsync:error=EIO", list, 1},
		"everything, once":          {"fsync:error=EIO:when=1", everything, rounds(1, 10)},
		"everything mapped, once":   {"msync:error=EIO:when=1", everything, rounds(1, 10)},
		"everything, the next time": {"fsync:error=EIO:when=2", everything, rounds(0, 10)},
	} {
		if c.rounds == 0 {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for range c.rounds {
				l := new(ledger.Ledger)
				diskErrorsAtTheEnd(t, l, c.fault, c.of)
				report(t, l, ledger.End{})
			}
		})
	}
}

// diskErrorsAtTheEnd has a fault when Caddy ends, with a file of the queue or with
// every one.
func diskErrorsAtTheEnd(t *testing.T, l *ledger.Ledger, fault, file string, mutations ...string) {
	t.Helper()
	var ready atomic.Bool
	app := witness(t, l, onlyIf(&ready))
	s := newServer(t)
	s.mutations = mutations
	config := s.caddyfile("", aliveSite+retrySite(app.addr, quickly))
	p := startCaddy(t, s, config)
	tr := startTraffic(t, l, s.addr, "before", 8)
	eventually(t, "there is load", func() bool { return l.Counts().Accepted > 50 })
	tr.stop()

	var paths []string
	if file != "" {
		paths = append(paths, filepath.Join(s.dir, file))
	}
	disk := p.inject([]string{fault}, paths...)
	began := time.Now()
	p.signal(syscall.SIGTERM)
	eventually(t, "a sync fails", func() bool { return disk.injected() > 0 })
	p.end(syscall.SIGTERM)
	disk.stop()
	app.catchUp()
	l.Fault(began, time.Now())

	ready.Store(true)
	startCaddy(t, s, config)
	tr.finish(s.addr)
	rest(t, s, "demo")
}

// The tests before would notice: an engine that goes on as if nothing had happened
// after a failed sync, one that begins anew when its disk fails at the start, and one
// that has forgotten, when it ends, what was not delivered.
func TestFaultDiskErrorsShowWhatIsBroken(t *testing.T) {
	for mutation, do := range map[string]func(*testing.T, *ledger.Ledger){
		answersAfterFailure: func(t *testing.T, l *ledger.Ledger) {
			diskErrors(t, l, 0, "fdatasync:error=EIO:when=1", true, answersAfterFailure)
		},
		clearsWhatFails: func(t *testing.T, l *ledger.Ledger) {
			diskErrorsAtStart(t, l, []string{"fdatasync,fsync,msync,pwrite64:error=EIO"}, clearsWhatFails)
		},
		ackBeforeAnswer: func(t *testing.T, l *ledger.Ledger) {
			diskErrorsAtTheEnd(t, l, "fsync:error=EIO", "MANIFEST", ackBeforeAnswer)
		},
	} {
		t.Run(mutation, func(t *testing.T) {
			t.Parallel()
			l := new(ledger.Ledger)
			do(t, l)
			expectBroken(t, l, ledger.End{}, ledger.Loss)
		})
	}
}
