// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"context"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// soon is a ctx for what must happen at once.
func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// queued returns when n wait for messages of e.
func queued(q *Queue, e *endpoint, n int) {
	for {
		q.scheduler.mu.Lock()
		waiting := len(e.line.waiters)
		q.scheduler.mu.Unlock()
		if waiting == n {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func TestAProbeThatFindsAMessageTooLateDoesNotStrandIt(t *testing.T) {
	t.Parallel()
	q := openTest(t, Options{})
	m := give(t, q, "here", 1)[0]
	e := q.scheduler.lookUp("here")
	found := candidate{seq: 1, fresh: true} // then it is handed back, and not fresh any more
	must(t, receive(t, q, "here").Lease.Nack(0, queue.History{Attempts: 1}))
	must(t, q.flush(t.Context()))

	w := &waiter{handed: make(chan *handle, 1), probe: true}
	h := q.scheduler.claim(&e.line, w, found)
	if ok, err := q.prepare(t.Context(), h); ok || err != nil {
		t.Fatalf("prepared: %v, %v", ok, err)
	}
	q.scheduler.reload(e)
	if d := receive(t, q, "here"); d.Message.ID != m.ID {
		t.Errorf("received %s", d.Message.ID)
	}
}

func TestARetryThatCouldNotBeReadDuringALoadIsNotForgotten(t *testing.T) {
	t.Parallel()
	q := openTest(t, Options{})
	give(t, q, "here", 1)
	must(t, receive(t, q, "here").Lease.Nack(0, queue.History{Attempts: 1}))
	must(t, q.flush(t.Context()))
	e := q.scheduler.lookUp("here")
	s, l := q.scheduler, &e.line

	s.mu.Lock()
	h := l.take(time.Now())
	l.more, l.horizon = true, retry{}
	l.beginLoad()
	s.mu.Unlock()
	plan := loadPlan{number: e.number.Load(), retries: true, count: 100}
	read, err := q.read(context.Background(), e, plan)
	must(t, err)
	s.mu.Lock()
	l.giveBack(h, time.Second)
	if !l.stale {
		l.takeIn(read, plan)
	}
	l.loading = false
	l.changed()
	s.mu.Unlock()
	_, err = q.Receive(soon(t), "here", time.Hour)
	must(t, err)
}

func TestAMessageThatCouldNotBeReadGoesToTheNextWhoWaits(t *testing.T) {
	t.Parallel()
	q := openTest(t, Options{})
	give(t, q, "here", 1)
	e := q.scheduler.lookUp("here")
	q.scheduler.mu.Lock()
	h := e.line.claim(1, true)
	q.scheduler.mu.Unlock()
	got := make(chan error, 1)
	go func() {
		_, err := q.Receive(soon(t), "here", time.Hour)
		got <- err
	}()
	queued(q, e, 1)
	q.scheduler.mu.Lock()
	e.line.giveBack(h, time.Second)
	q.scheduler.mu.Unlock()
	must(t, <-got)
}

func TestWhoIsWokenAndGivesUpWakesTheNext(t *testing.T) {
	t.Parallel()
	q := openTest(t, Options{})
	e := q.scheduler.endpoint("here")
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan struct{})
	go func() {
		defer close(first)
		if d, err := q.Receive(ctx, "here", time.Hour); err == nil {
			_ = d.Lease.Nack(0, d.History)
		}
	}()
	queued(q, e, 1)
	second := make(chan error, 1)
	go func() {
		_, err := q.Receive(soon(t), "here", time.Hour)
		second <- err
	}()
	queued(q, e, 2)
	q.scheduler.pause(e)
	give(t, q, "here", 1) // it stays on disk
	q.scheduler.mu.Lock()
	e.line.paused--
	e.line.reload()
	e.line.changed() // wakes the first
	cancel()         // who can only find out now
	q.scheduler.mu.Unlock()
	<-first
	must(t, <-second)
}

func TestAReceiveDoesNotWaitForAProbe(t *testing.T) {
	t.Parallel()
	q := openTest(t, Options{})
	give(t, q, "here", 2)
	e := q.scheduler.lookUp("here")
	q.scheduler.mu.Lock()
	e.line.waiters = append(e.line.waiters, &waiter{handed: make(chan *handle, 1), probe: true})
	q.scheduler.mu.Unlock()
	_, err := q.Receive(soon(t), "here", time.Hour)
	must(t, err)
}
