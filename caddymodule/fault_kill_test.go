// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue/queuetest/ledger"
)

// killings is an inbox that is killed again and again under load.
type killings struct {
	t       *testing.T
	ledger  *ledger.Ledger
	app     *application
	server  *server
	config  string
	traffic []*traffic
	before  ledger.Counts // of what happened before rest
}

func newKillings(t *testing.T, answer func(key string, attempt int) (int, time.Duration), mutations ...string) *killings {
	t.Helper()
	k := &killings{t: t, ledger: new(ledger.Ledger), server: newServer(t)}
	k.app = witness(t, k.ledger, answer)
	options := ""
	if len(mutations) > 0 {
		options = k.server.brokenBy(mutations...)
	}
	k.config = k.server.caddyfile(options, retrySite(k.app.addr, quickly))
	k.ledger.Backoff = 5 * time.Millisecond
	return k
}

// kill runs the inbox until now returns, and kills it.
func (k *killings) kill(now func()) {
	k.t.Helper()
	p := startCaddy(k.t, k.server, k.config)
	tr := startTraffic(k.t, k.ledger, k.server.addr, strconv.Itoa(len(k.traffic)), 16)
	k.traffic = append(k.traffic, tr)
	now()
	p.kill(k.ledger, k.app)
	tr.stop()
}

// rest starts the inbox once more, sends again what was not accepted, and waits
// until all of it is settled: with an application that was out of order, the next probe
// may be as far away as any.
func (k *killings) rest() {
	k.t.Helper()
	k.before = k.ledger.Counts()
	startCaddy(k.t, k.server, k.config)
	for _, tr := range k.traffic {
		tr.finish(k.server.addr)
	}
	loaded(k.t, k.server)
	inTime(k.t, longestProbe+patience, "nothing waits", func() bool { return k.server.endpoint("demo").Waiting == 0 })
}

// Caddy is killed again and again under load. Whatever was answered 202 is
// delivered, nothing is invented or changed, and a message is delivered again only
// if it was under way, or its delivery not yet noted on disk, at a kill. Those are
// few.
func TestFaultKill(t *testing.T) {
	t.Parallel()
	k := newKillings(t, nil)
	random := chance(t)
	for round := range rounds(20, 200) {
		k.kill(func() {
			if round%2 == 1 { // not in each: a kill may come before anything is accepted
				k.accepted(20)
			}
			time.Sleep(upTo(random, time.Duration(rounds(100, 3000))*time.Millisecond))
		})
	}
	k.rest()
	k.measureRepetition()
	report(t, k.ledger, ledger.End{})
	if c := k.before; c.Accepted < 100 || c.Delivered < 50 || c.Unanswered == 0 {
		t.Errorf("that is no load: %+v", c)
	}
}

// measureRepetition holds the deliveries that a kill may repeat against how many
// there are: what is under way, and what was delivered in the last moments.
func (k *killings) measureRepetition() {
	c := k.ledger.Counts()
	const concurrency = 32
	k.ledger.Measured("deliveries that are repeated", float64(c.Repeated), float64(concurrency*c.Faults+c.Delivered/8))
}

// TestFaultKill would notice: with an engine that breaks a promise, so that only a
// kill shows it, two kills do.
func TestFaultKillShowsWhatIsBroken(t *testing.T) {
	for _, c := range []struct {
		mutation    string
		application func(string, int) (int, time.Duration)
		breaks      ledger.Invariant
	}{
		{answersBeforeCommit, slowly, ledger.Loss},
		{ackBeforeAnswer, tiredly, ledger.Loss},
		{keyBeforeMessage, slowly, ledger.Loss},
		{forgetsKeys, slowly, ledger.Sameness},
		{acksLate, slowly, ledger.Growth},
	} {
		t.Run(c.mutation, func(t *testing.T) {
			t.Parallel()
			soonBroken(t, c.breaks, func(t *testing.T) *killings {
				k := newKillings(t, c.application, c.mutation)
				k.app.takesBack = true // what is under way at a kill is not delivered
				for range 2 {
					k.kill(func() {
						before := k.ledger.Counts()
						eventually(t, "some are accepted and delivered", func() bool {
							c := k.ledger.Counts()
							return c.Accepted > before.Accepted+100 && c.Delivered > before.Delivered+100
						})
					})
				}
				k.rest()
				k.measureRepetition()
				return k
			})
		})
	}
}

// soonBroken is expectBroken for what a fault shows only if it comes at the right
// moment: it is done up to twelve times.
func soonBroken(t *testing.T, breaks ledger.Invariant, do func(t *testing.T) *killings) {
	t.Helper()
	for n := range 12 {
		noticed := false
		t.Run(fmt.Sprint("try ", n+1), func(t *testing.T) {
			k := do(t)
			noticed = slices.ContainsFunc(k.ledger.Check(ledger.End{}), func(v ledger.Violation) bool { return v.Invariant == breaks })
			t.Logf("noticed: %v, of %+v", noticed, k.ledger.Counts())
		})
		if noticed {
			return
		}
	}
	t.Errorf("%v is broken on purpose, and nobody noticed", breaks)
}

// slowly is an application that takes its time, so that attempts are under way at
// a kill.
func slowly(string, int) (int, time.Duration) {
	time.Sleep(10 * time.Millisecond)
	return http.StatusNoContent, 0
}

// tiredly is an application that takes so long that an ack before its answer is on
// disk, which takes 20 ms, in the middle of an attempt.
func tiredly(string, int) (int, time.Duration) {
	time.Sleep(100 * time.Millisecond)
	return http.StatusNoContent, 0
}

// SIGTERM ends Caddy in time even if the application hangs, and
// what is not delivered by then is delivered after the restart.
func TestTerminatedProcessKeepsWhatIsUndelivered(t *testing.T) {
	t.Parallel()
	l := new(ledger.Ledger)
	app := newApplication(t)
	hang := make(chan struct{})
	app.handle = func(w http.ResponseWriter, r *http.Request, body []byte) {
		select {
		case <-hang:
			a := attemptOf(r)
			a.Ended, a.Status = time.Now(), http.StatusNoContent
			l.Tried(keyOf(r), body, a)
			w.WriteHeader(http.StatusNoContent)
		case <-r.Context().Done():
		}
	}
	site := fmt.Sprintf(tokenSite, app.addr)
	s := newServer(t)
	p := startProcess(t, s, site)
	for n := range 100 {
		id := fmt.Sprint(n)
		l.Sent(id, []byte(id))
		s.expect(202, "POST", "/", tokenHeader(id), id)
		l.Answered(id, http.StatusAccepted)
	}
	app.next() // at least one attempt is under way
	http.DefaultClient.CloseIdleConnections()

	began := time.Now()
	p.end(syscall.SIGTERM)
	if took := time.Since(began); took > endTime {
		t.Errorf("SIGTERM took %v, want %v at most", took, endTime)
	}

	app.catchUp() // or an attempt of before would be answered by close
	close(hang)
	startProcess(t, s, site)
	judge(t, l, s, "demo")
}
