// SPDX-License-Identifier: Apache-2.0

package queuetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// The endpoints of the tests, and the lease that they ask for.
const (
	here  = "here"
	there = "there"

	lease1h = time.Hour
)

// A fixture is an open queue with words for what tests do with it. Every word
// ends the test if it fails.
type fixture struct {
	*testing.T
	Sender
	queue.Queue

	engine Engine
	dir    string
	open   bool

	// unit is the shortest time that tests can tell from none.
	unit time.Duration

	// brief is how long nothing must happen to be sure that nothing does.
	brief time.Duration
}

func newFixture(t *testing.T, e Engine, dir string, maxSize int64) *fixture {
	f := &fixture{T: t, engine: e, dir: dir, unit: time.Second, brief: 50 * time.Millisecond}
	if e.Bubble {
		f.unit = time.Minute
	}
	if maxSize > 0 {
		f.Queue = e.OpenLimited(t, dir, maxSize)
	} else {
		f.Queue = e.Open(t, dir)
	}
	f.open = true
	t.Cleanup(func() {
		if f.open {
			f.ok(f.Close())
		}
	})
	return f
}

// reopen closes the queue and opens it again.
func (f *fixture) reopen() {
	f.Helper()
	f.close()
	f.Queue = f.engine.Open(f.T, f.dir)
	f.open = true
}

func (f *fixture) close() {
	f.Helper()
	f.open = false
	f.ok(f.Close())
}

// crash kills the queue and opens it again.
func (f *fixture) crash() {
	f.Helper()
	f.open = false
	f.engine.Crash(f.T, f.Queue)
	f.Queue = f.engine.Open(f.T, f.dir)
	f.open = true
}

// flushed waits until settlements are durable.
func (f *fixture) flushed() { time.Sleep(max(f.unit/10, 100*time.Millisecond)) }

// pass lets units of time pass.
func (f *fixture) pass(units float64) { time.Sleep(time.Duration(units * float64(f.unit))) }

func (f *fixture) units(n float64) time.Duration { return time.Duration(n * float64(f.unit)) }

// give publishes a message without keys at endpoint.
func (f *fixture) give(endpoint string) *queue.Message {
	f.Helper()
	m := f.Message(endpoint)
	f.publish(queue.Accepted, m)
	return m
}

// giveAll publishes n messages at endpoint.
func (f *fixture) giveAll(endpoint string, n int) []*queue.Message {
	f.Helper()
	var all []*queue.Message
	for range n {
		all = append(all, f.give(endpoint))
	}
	return all
}

// publish publishes m, and returns the id of the receipt.
func (f *fixture) publish(want queue.Outcome, m *queue.Message, keys ...queue.Key) queue.ID {
	f.Helper()
	r, err := f.Publish(f.Context(), queue.Publication{Message: m, Keys: keys})
	f.ok(err)
	if r.Outcome != want {
		f.Fatalf("publishing %s: outcome %d, want %d", m.Request.Body, r.Outcome, want)
	}
	if want != queue.Duplicate && r.ID != m.ID {
		f.Fatalf("the receipt names %s, not the message published", r.ID)
	}
	return r.ID
}

// keyed publishes a new message with keys at endpoint.
func (f *fixture) keyed(want queue.Outcome, endpoint string, keys ...queue.Key) *queue.Message {
	f.Helper()
	m := f.Message(endpoint)
	f.publish(want, m, keys...)
	return m
}

// take receives the next message of endpoint, which must be ready.
func (f *fixture) take(endpoint string) queue.Delivery {
	f.Helper()
	ctx, cancel := context.WithTimeout(f.Context(), time.Minute)
	defer cancel()
	begun := time.Now()
	d, err := f.Receive(ctx, endpoint, lease1h)
	if err != nil {
		f.Fatalf("receiving from %q: %v", endpoint, err)
	}
	if took := time.Since(begun); f.engine.Bubble && took > time.Second {
		f.Fatalf("a message that should be ready was handed out after %v", took)
	}
	return d
}

// takeThis receives the next message of endpoint, which must be m.
func (f *fixture) takeThis(m *queue.Message) queue.Delivery {
	f.Helper()
	d := f.take(m.Endpoint)
	f.same(d, m)
	return d
}

// takeAll receives the messages, in this order.
func (f *fixture) takeAll(all ...*queue.Message) []queue.Delivery {
	f.Helper()
	var taken []queue.Delivery
	for _, m := range all {
		taken = append(taken, f.takeThis(m))
	}
	return taken
}

// probe takes a waiting message of here, which must be m.
func (f *fixture) probe(pick queue.Pick, m *queue.Message) queue.Delivery {
	f.Helper()
	ctx, cancel := context.WithTimeout(f.Context(), time.Minute)
	defer cancel()
	d, err := f.Probe(ctx, m.Endpoint, pick, lease1h)
	f.ok(err)
	f.same(d, m)
	return d
}

// nothing checks that no message of endpoint is ready.
func (f *fixture) nothing(endpoint string) {
	f.Helper()
	ctx, cancel := context.WithTimeout(f.Context(), f.brief)
	defer cancel()
	d, err := f.Receive(ctx, endpoint, lease1h)
	if err == nil {
		f.Fatalf("received %s (%s), want nothing", d.Message.ID, d.Message.Request.Body)
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		f.Fatalf("receiving until the deadline: %v", err)
	}
}

// bury makes a new message of endpoint with keys a dead letter.
func (f *fixture) bury(endpoint string, keys ...queue.Key) *queue.Message {
	f.Helper()
	m := f.keyed(queue.Accepted, endpoint, keys...)
	f.ok(f.takeThis(m).Lease.Bury("gone", queue.History{Attempts: 1}, f.units(1000)))
	return m
}

// deliver publishes a message with keys and acks it.
func (f *fixture) deliver(endpoint string, keep time.Duration, keys ...queue.Key) *queue.Message {
	f.Helper()
	m := f.keyed(queue.Accepted, endpoint, keys...)
	f.ok(f.takeThis(m).Lease.Ack(keep))
	return m
}

func (f *fixture) dead(endpoint string) []queue.Settled {
	f.Helper()
	return f.collect(f.DeadLetters(f.Context(), endpoint, queue.ID{}))
}

func (f *fixture) kept(endpoint string) []queue.Settled {
	f.Helper()
	return f.collect(f.Kept(f.Context(), endpoint))
}

func (f *fixture) collect(all func(func(queue.Settled, error) bool)) []queue.Settled {
	f.Helper()
	var list []queue.Settled
	for s, err := range all {
		f.ok(err)
		list = append(list, s)
	}
	return list
}

// these checks that the list is of these messages, in this order.
func (f *fixture) these(list []queue.Settled, want ...*queue.Message) {
	f.Helper()
	if len(list) != len(want) {
		f.Fatalf("the list has %d messages, want %d", len(list), len(want))
	}
	for i, s := range list {
		if s.Message.ID != want[i].ID {
			f.Fatalf("number %d of the list is %s, want %s", i, s.Message.ID, want[i].ID)
		}
	}
}

// stats returns the statistics of endpoint, zero if there are none.
func (f *fixture) stats(endpoint string) queue.Stats {
	f.Helper()
	all, err := f.Endpoints(f.Context())
	f.ok(err)
	return all[endpoint]
}

// counts checks the statistics of endpoint, but for sizes and times.
func (f *fixture) counts(endpoint string, want queue.Stats) {
	f.Helper()
	got := f.stats(endpoint)
	got.Bytes, got.Oldest = 0, time.Time{}
	if got != want {
		f.Fatalf("statistics of %q:\n got %+v\nwant %+v", endpoint, got, want)
	}
}

// soon waits until the condition holds, which an engine may bring about in the
// background.
func (f *fixture) soon(what string, holds func() bool) {
	f.Helper()
	for range 100 {
		if holds() {
			return
		}
		time.Sleep(max(f.unit/2, 100*time.Millisecond))
	}
	f.Fatalf("not after a while: %s", what)
}

func (f *fixture) same(d queue.Delivery, m *queue.Message) {
	f.Helper()
	if d.Message.ID != m.ID {
		f.Fatalf("handed out %s (%s), want %s (%s)", d.Message.ID, d.Message.Request.Body, m.ID, m.Request.Body)
	}
}

func (f *fixture) ok(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) fails(err, want error) {
	f.Helper()
	if !errors.Is(err, want) {
		f.Fatalf("error is %v, want %v", err, want)
	}
}
