// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"bytes"
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
// configuration ends it like a kill. The moments are drawn from a little more than a
// start takes; in the first round the signal comes at once, and in the second when the
// configuration is loaded.
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
	opened, start := 0, time.Duration(0)
	for round := range times + 1 {
		began := time.Now()
		p := launchCaddy(t, k.server, k.config)
		tr := startTraffic(t, k.ledger, k.server.addr, fmt.Sprint("start", round), 4)
		k.traffic = append(k.traffic, tr)
		switch round {
		case 0:
		case 1:
			p.serves()
			loaded(t, k.server) // the queue may open after the listener
			start = time.Since(began)
		default:
			time.Sleep(upTo(random, start*6/5))
		}
		began = time.Now()
		p.signal([]syscall.Signal{syscall.SIGKILL, syscall.SIGTERM}[round%2])
		p.ended(patience)
		k.app.catchUp()
		k.ledger.Fault(began, time.Now())
		tr.stop()
		if bytes.Contains(p.log.Bytes(), []byte("the queue is open")) {
			opened++
		}
	}
	t.Logf("in %d of %d starts, the first of which took %v, the queue was open", opened, times+1, start)
	if opened == 0 || opened > times {
		t.Errorf("the queue was open before the signal in %d of %d starts; want some, and not all", opened, times+1)
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
		k.terminate(func() { time.Sleep(upTo(random, 100*time.Millisecond)) }, func(p *process) {
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
// good as a kill before. In every other round its shutdown waits for attempts, which
// do not end before the kill.
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
	var hangs sync.RWMutex // held as long as no attempt ends
	var under atomic.Int64 // attempts
	k := newKillings(t, func(key string, attempt int) (int, time.Duration) {
		under.Add(1)
		defer under.Add(-1)
		hangs.RLock()
		defer hangs.RUnlock()
		return slowly(key, attempt)
	}, mutations...)
	random := chance(t)
	killed := 0
	for round := range times {
		release := func() {}
		k.terminate(func() {
			time.Sleep(upTo(random, 100*time.Millisecond))
			if round%2 == 0 {
				hangs.Lock()
				release = hangs.Unlock
				eventually(t, "an attempt is under way", func() bool { return under.Load() > 0 })
			}
		}, func(p *process) {
			time.Sleep(upTo(random, 60*time.Millisecond))
			began := time.Now()
			p.end(syscall.SIGKILL)
			release()
			k.app.catchUp()
			k.ledger.Fault(began, time.Now())
			if p.cmd.ProcessState.Sys().(syscall.WaitStatus).Signaled() {
				killed++
			}
		})
	}
	t.Logf("%d of %d were killed while they stopped", killed, times)
	if killed < (times+1)/2 {
		t.Errorf("%d of %d rounds ended by the kill; the others had ended before it", killed, times)
	}
	k.rest()
	return k
}

// terminate runs the inbox until it has accepted something and now returns, sends it a
// SIGTERM, and has the rest done by then.
func (k *killings) terminate(now func(), then func(*process)) {
	k.t.Helper()
	p := startCaddy(k.t, k.server, k.config)
	tr := startTraffic(k.t, k.ledger, k.server.addr, fmt.Sprint("stop", len(k.traffic)), 16)
	k.traffic = append(k.traffic, tr)
	loaded(k.t, k.server) // before that, SIGTERM would be as good as a kill
	k.accepted(20)
	now()
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
	// Where the machine stands still for a moment, all are answered before the signal.
	for round := 0; round < times || round < 20*times && k.ledger.Counts().Unanswered == 0; round++ {
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
		k.terminate(func() {}, func(p *process) {
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
