// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue/queuetest/ledger"
)

// Caddy is killed or terminated at a random moment of its start, with a backlog to
// read, and again, and again: whatever was in the queue before is there after, and
// is delivered once the application takes it. A SIGTERM before Caddy has loaded its
// configuration ends it like a kill.
func TestFaultSignalWhileStarting(t *testing.T) {
	t.Parallel()
	k := signalledWhileStarting(t, rounds(10, 200))
	report(t, k.ledger, ledger.End{})
	if c := k.before; c.Accepted < 500 || c.Attempts == 0 || c.Unanswered == 0 {
		t.Errorf("that is no load: %+v", c)
	}
}

func signalledWhileStarting(t *testing.T, times int, mutations ...string) *killings {
	var works atomic.Bool
	k := newKillings(t, onlyIf(&works), mutations...)
	k.ledger.Backoff = 0 // an outage ends all waiting
	k.kill(func() { k.accepted(rounds(500, 2000)) })
	random := chance(t)
	for round := range times {
		p := launchCaddy(t, k.server, k.config)
		tr := startTraffic(t, k.ledger, k.server.addr, fmt.Sprint("start", round), 4)
		k.traffic = append(k.traffic, tr)
		time.Sleep(upTo(random, 150*slowdown*time.Millisecond))
		began := time.Now()
		p.signal([]syscall.Signal{syscall.SIGKILL, syscall.SIGTERM}[round%2])
		p.ended(patience)
		k.app.catchUp()
		k.ledger.Fault(began, time.Now())
		tr.stop()
	}
	works.Store(true)
	k.rest()
	return k
}

// onlyIf is an application that is out of order unless it works.
func onlyIf(works *atomic.Bool) func(string, int) (int, time.Duration) {
	return func(string, int) (int, time.Duration) {
		if works.Load() {
			return http.StatusNoContent, 0
		}
		return http.StatusServiceUnavailable, 0
	}
}

// Caddy is terminated with attempts under way and webhooks coming in. It ends
// in time, whatever it answered 202 is delivered, and, as the application answers in time, nothing is delivered twice, also if it is terminated
// a second time meanwhile.
func TestFaultTerminate(t *testing.T) {
	t.Parallel()
	k := terminated(t, rounds(6, 100))
	report(t, k.ledger, ledger.End{})
	if c := k.before; c.Accepted < 100 || c.Delivered < 50 || c.Unanswered+c.Unavailable == 0 {
		t.Errorf("that is no load: %+v", c)
	}
}

func terminated(t *testing.T, times int, mutations ...string) *killings {
	k := newKillings(t, slowly, mutations...)
	random := chance(t)
	for round := range times {
		k.terminate(upTo(random, 100*time.Millisecond), func(p *process) {
			if round%2 == 1 {
				time.Sleep(upTo(random, 30*time.Millisecond))
				p.signal(syscall.SIGTERM)
			}
			if err := p.ended(endTime); err != nil {
				t.Errorf("after SIGTERM Caddy ended with %v:\n%s", err, p.log)
			}
		})
	}
	k.rest()
	return k
}

// Caddy is terminated, and killed at a random moment of its shutdown: that is as
// good as a kill before.
func TestFaultKillWhileStopping(t *testing.T) {
	t.Parallel()
	k := killedWhileStopping(t, rounds(6, 200))
	k.measureRepetition()
	report(t, k.ledger, ledger.End{})
	if c := k.before; c.Accepted < 100 || c.Delivered < 50 || c.Unanswered == 0 {
		t.Errorf("that is no load: %+v", c)
	}
}

func killedWhileStopping(t *testing.T, times int, mutations ...string) *killings {
	k := newKillings(t, slowly, mutations...)
	random := chance(t)
	for range times {
		k.terminate(upTo(random, 100*time.Millisecond), func(p *process) {
			time.Sleep(upTo(random, 60*time.Millisecond))
			p.kill(k.ledger, k.app)
		})
	}
	k.rest()
	return k
}

// terminate runs the inbox for a time after it has accepted something, sends it a
// SIGTERM, and has the rest done by then.
func (k *killings) terminate(after time.Duration, then func(*process)) {
	k.t.Helper()
	p := startCaddy(k.t, k.server, k.config)
	tr := startTraffic(k.t, k.ledger, k.server.addr, fmt.Sprint("stop", len(k.traffic)), 16)
	k.traffic = append(k.traffic, tr)
	loaded(k.t, k.server) // before that, SIGTERM would be as good as a kill
	k.accepted(20)
	time.Sleep(after)
	p.signal(syscall.SIGTERM)
	then(p)
	tr.stop()
}

// accepted waits until so many more are accepted.
func (k *killings) accepted(n int) {
	k.t.Helper()
	before := k.ledger.Counts().Accepted
	eventually(k.t, "webhooks are accepted", func() bool { return k.ledger.Counts().Accepted >= before+n })
}

// Caddy ends in the middle of a batch: as soon as some of the webhooks that came
// together are answered, and others, which the same batch holds, are not. Sent
// again, they are duplicates or new, and in either case one message each.
func TestFaultSignalInMidBatch(t *testing.T) {
	t.Parallel()
	k := signalledInMidBatch(t, rounds(6, 200))
	report(t, k.ledger, ledger.End{})
	if c := k.before; c.Accepted == 0 || c.Unanswered == 0 {
		t.Errorf("no batch was interrupted: %+v", c)
	}
}

func signalledInMidBatch(t *testing.T, times int, mutations ...string) *killings {
	k := newKillings(t, nil, mutations...)
	random := chance(t)
	for round := range times {
		p := startCaddy(t, k.server, k.config)
		loaded(t, k.server)
		v := k.volley(64, strconv.Itoa(round))
		for range 1 + random.IntN(8) {
			receive(t, v.answers, "some are answered")
		}
		if round%2 == 0 {
			p.kill(k.ledger, k.app)
		} else {
			p.end(syscall.SIGTERM)
		}
		v.senders.Wait()
		k.traffic = append(k.traffic, &v.traffic)
	}
	k.rest()
	return k
}

// volley is webhooks that come all together.
type volley struct {
	traffic
	answers chan int // their statuses
}

// volley sends n webhooks at the same moment, over connections that are there
// before.
func (k *killings) volley(n int, name string) *volley {
	v := &volley{
		traffic{t: k.t, ledger: k.ledger, cancel: func() {}, pending: make(map[string]string)},
		make(chan int, n),
	}
	fire, ready := make(chan struct{}), sync.WaitGroup{}
	for i := range n {
		id := fmt.Sprintf("%s-%d", name, i)
		v.note(id, id)
		k.ledger.Sent(id, []byte(id))
		ready.Add(1)
		v.senders.Go(func() {
			conn, err := net.Dial("tcp", k.server.addr)
			ready.Done()
			dialled := func(context.Context, string, string) (net.Conn, error) { return conn, err }
			client := &http.Client{Transport: &http.Transport{DialContext: dialled}, Timeout: patience}
			defer client.CloseIdleConnections()
			<-fire
			status := post(k.t.Context(), client, k.server.addr, id, id)
			k.ledger.Answered(id, status)
			if status == http.StatusAccepted {
				v.forget(id)
			}
			v.answers <- status
		})
	}
	ready.Wait()
	close(fire)
	return v
}

// Caddy is terminated in an outage, with messages waiting, some of them tried
// before and one being tried. It ends in time, and the outage goes on after the
// start: nothing is given up on, no number of an attempt is used twice, and when
// the application is back, each message is delivered once.
func TestFaultTerminateInAnOutage(t *testing.T) {
	t.Parallel()
	k := terminatedInAnOutage(t, rounds(3, 50))
	if c := report(t, k.ledger, ledger.End{}); c.Attempts == c.Delivered {
		t.Errorf("that is no outage: %+v", c)
	}
}

func terminatedInAnOutage(t *testing.T, times int, mutations ...string) *killings {
	var works atomic.Bool
	k := newKillings(t, onlyIf(&works), mutations...)
	k.ledger.Backoff = 0 // an outage ends all waiting
	for range times {
		k.terminate(0, func(p *process) {
			if err := p.ended(endTime); err != nil {
				t.Errorf("after SIGTERM Caddy ended with %v:\n%s", err, p.log)
			}
		})
	}
	p := startCaddy(t, k.server, k.config)
	loaded(t, k.server)
	eventually(t, "the outage goes on", func() bool { return k.server.endpoint("demo").Outage != nil })
	if dead := k.server.endpoint("demo").DeadLetters; dead > 0 {
		t.Errorf("%d messages are given up on", dead)
	}
	p.end(syscall.SIGTERM)
	works.Store(true)
	k.rest()
	return k
}

// The tests before would notice: each does with an engine that breaks a promise.
func TestFaultSignalsShowWhatIsBroken(t *testing.T) {
	for _, c := range []struct {
		signalled func(t *testing.T, times int, mutations ...string) *killings
		mutation  string
		breaks    ledger.Invariant
	}{
		{signalledWhileStarting, ackBeforeAnswer, ledger.Loss},
		{terminated, acksLate, ledger.Repetition},
		{killedWhileStopping, answersBeforeCommit, ledger.Loss},
		{signalledInMidBatch, forgetsKeys, ledger.Sameness},
		{terminatedInAnOutage, forgetsAttempts, ledger.Haste},
	} {
		t.Run(c.mutation, func(t *testing.T) {
			t.Parallel()
			soonBroken(t, c.breaks, func(t *testing.T) *killings { return c.signalled(t, 3, c.mutation) })
		})
	}
}
