// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue/queuetest/ledger"
)

// Each sync of the disk takes long. Webhooks that come in at the same time share one,
// so that none waits for much more than the one under way and its own, and what runs
// or is open in Caddy does not grow with how long that lasts.
func TestFaultSlowDisk(t *testing.T) {
	t.Parallel()
	l := new(ledger.Ledger)
	slowDisk(t, l)
	if c := report(t, l, ledger.End{}); c.Accepted < slowSenders || c.Unavailable+c.Unanswered > 0 {
		t.Errorf("they were not all accepted: %+v", c)
	}
}

// The test before would notice answers that do not wait for the disk.
func TestFaultSlowDiskIsNoticed(t *testing.T) {
	t.Parallel()
	l := new(ledger.Ledger)
	slowDisk(t, l, answersBeforeCommit)
	expectBroken(t, l, ledger.End{}, ledger.Growth)
}

const slowSenders = 40

func slowDisk(t *testing.T, l *ledger.Ledger, mutations ...string) {
	t.Helper()
	slow := time.Duration(rounds(200, 500)) * time.Millisecond
	app := witness(t, l, nil)
	s := newServer(t)
	s.mutations = mutations
	p := startCaddy(t, s, s.caddyfile("", aliveSite+retrySite(app.addr, quickly)))
	disk := p.inject([]string{fmt.Sprintf("fdatasync:delay_enter=%d", slow.Microseconds())})
	stood := watchStalls(t, 10*time.Millisecond, func(time.Time, time.Time) {})
	answered := make(chan []time.Duration, 1)
	go func() {
		answered <- answersFor(t, l, s.addr, slowSenders, time.Duration(rounds(1, 60))*time.Second)
	}()
	took := p.measureUntil(l, "on a slow disk", slowSenders, answered)
	stalled := stood()
	eventually(t, "a sync is slow", func() bool { return disk.injected() > 0 })
	slices.Sort(took)
	t.Logf("of %d answers, the median took %v, 99 %% up to %v, and all up to %v",
		len(took), took[len(took)/2], took[len(took)*99/100], took[len(took)-1])
	early := 0 // before any sync that began after it was sent can have ended
	for _, d := range took {
		if d < slow {
			early++
		}
	}
	l.Measured("answers before a sync", float64(early), 0)
	// One by one, it would be eight seconds. Who waits while the machine stands still
	// waits for that too, and that may be all of them.
	l.Measured("seconds until 99 % were answered", took[len(took)*99/100].Seconds(), (4*slow + slowdown*time.Second + stalled).Seconds())
	rest(t, s, "demo")
}

// A sync takes longer than the inbox lets a sender wait. It answers 503 then, to each
// of those who wait longer than that, takes what is sent again, and does not gather
// what it has given up.
func TestFaultHangingDisk(t *testing.T) {
	t.Parallel()
	if !faultsAreLong {
		t.Skip("it is for -tags faults: the inbox waits ten seconds")
	}
	l := new(ledger.Ledger)
	hangingDisk(t, l)
	report(t, l, ledger.End{})
}

// The test before would notice if what the inbox had given up on, and is sent again,
// were two messages.
func TestFaultHangingDiskIsNoticed(t *testing.T) {
	t.Parallel()
	if !faultsAreLong {
		t.Skip("it is for -tags faults: the inbox waits ten seconds")
	}
	l := new(ledger.Ledger)
	hangingDisk(t, l, forgetsKeys)
	expectBroken(t, l, ledger.End{}, ledger.Sameness)
}

func hangingDisk(t *testing.T, l *ledger.Ledger, mutations ...string) {
	t.Helper()
	app := witness(t, l, nil)
	s := newServer(t)
	s.mutations = mutations
	p := startCaddy(t, s, s.caddyfile("", aliveSite+retrySite(app.addr, quickly)))
	tr := patientTraffic(t, l, s.addr, hangingSenders)
	eventually(t, "there is load", func() bool { return l.Counts().Accepted > 100 })
	disk := p.inject([]string{"fdatasync:delay_enter=15000000"})
	inTime(t, 10*time.Second+patience, "all are answered 503", func() bool { return l.Counts().Unavailable >= hangingSenders })
	if n := l.Counts().Unanswered; n > 0 {
		t.Errorf("%d were not answered, by senders who wait longer than the inbox lets them", n)
	}
	noteOpen(l, "on a disk that hangs", hangingSenders, p.openFiles(), p.metric("go_goroutines"))
	disk.stop()
	tr.finish(s.addr)
	rest(t, s, "demo")
}

const hangingSenders = 40

// patientTraffic is traffic from senders who wait longer for an answer than the inbox
// lets them: ten seconds.
func patientTraffic(t *testing.T, l *ledger.Ledger, addr string, senders int) *traffic {
	ctx, cancel := context.WithCancel(t.Context())
	tr := &traffic{t: t, ledger: l, cancel: cancel, pending: make(map[string]string)}
	for sender := range senders {
		tr.senders.Go(func() {
			client := &http.Client{Transport: &http.Transport{}, Timeout: 20 * time.Second}
			defer client.CloseIdleConnections()
			for n := 0; ctx.Err() == nil; n++ {
				id := fmt.Sprintf("patient-%d-%d", sender, n)
				tr.sendUntilAccepted(ctx, client, addr, id, id)
			}
		})
	}
	t.Cleanup(tr.stop)
	return tr
}

// answersFor has so many senders send for a while, one webhook after the other, each
// five at least, and returns how long the answers took.
func answersFor(t *testing.T, l *ledger.Ledger, addr string, senders int, lasts time.Duration) (took []time.Duration) {
	t.Helper()
	var mu sync.Mutex
	var all sync.WaitGroup
	until := time.Now().Add(lasts)
	for sender := range senders {
		all.Go(func() {
			client := &http.Client{Transport: &http.Transport{}, Timeout: patience}
			defer client.CloseIdleConnections()
			for n := 0; n < 5 || time.Now().Before(until); n++ { // the first may wait for anything
				id := fmt.Sprintf("%d-%d", sender, n)
				l.Sent(id, []byte(id))
				began := time.Now()
				l.Answered(id, post(t.Context(), client, addr, id, id))
				mu.Lock()
				took = append(took, time.Since(began))
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return took
}

// measureUntil notes how much runs and is open at most in Caddy, which has so many
// senders, until these are answered. It returns how long the answers took.
func (p *process) measureUntil(l *ledger.Ledger, when string, senders int, answered <-chan []time.Duration) (took []time.Duration) {
	p.t.Helper()
	files, goroutines := 0, 0.0
	for took == nil {
		files, goroutines = max(files, p.openFiles()), max(goroutines, p.metric("go_goroutines"))
		select {
		case took = <-answered:
		case <-time.After(20 * time.Millisecond):
		}
	}
	noteOpen(l, when, senders, files, goroutines)
	return took
}

// noteOpen notes how much runs and is open in Caddy, which has so many senders.
func noteOpen(l *ledger.Ledger, when string, senders, files int, goroutines float64) {
	l.Measured("file descriptors "+when, float64(files), float64(100+3*senders))
	l.Measured("goroutines "+when, goroutines, float64(200+6*senders))
}
