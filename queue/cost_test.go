// SPDX-License-Identifier: Apache-2.0

package queue_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// BenchmarkDispatch is what a dispatcher itself costs for each message of a
// backlog, delivered by an application that takes no time, or some.
func BenchmarkDispatch(b *testing.B) {
	for name, takes := range map[string]time.Duration{"at once": 0, "100µs": 100 * time.Microsecond} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			dispatch(b.Context(), b.N, 32, func() { time.Sleep(takes) })
		})
	}
}

// dispatch delivers n messages and returns when all are settled.
func dispatch(ctx context.Context, n, concurrency int, deliver func()) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	e := &backlog{delivered: cancel}
	e.left.Store(int64(n))
	e.unsettled.Store(int64(n))
	target := queue.Target{Policy: queue.DefaultPolicy(), Deliver: func(context.Context, *queue.Message, int) queue.Result {
		deliver()
		return ok
	}}
	target.Concurrency = concurrency
	queue.NewDispatcher(e, endpoint, target, silent{}).Run(ctx)
}

// A backlog hands out so many messages and forgets those that are settled.
type backlog struct {
	queue.Receiver // what is not asked for here
	left           atomic.Int64
	unsettled      atomic.Int64
	delivered      func()
}

func (e *backlog) Receive(ctx context.Context, _ string, _ time.Duration) (queue.Delivery, error) {
	n := e.left.Add(-1)
	if n < 0 {
		<-ctx.Done()
		return queue.Delivery{}, ctx.Err()
	}
	m := &queue.Message{ID: queue.ID{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)}}
	return queue.Delivery{Message: m, Lease: backlogLease{e}}, nil
}

func (e *backlog) Outage(context.Context, string) (*queue.Outage, error) { return nil, nil }

type backlogLease struct{ e *backlog }

func (l backlogLease) Ack(time.Duration) error {
	if l.e.unsettled.Add(-1) == 0 {
		l.e.delivered()
	}
	return nil
}

func (backlogLease) Nack(time.Duration, queue.History) error         { return nil }
func (backlogLease) Bury(string, queue.History, time.Duration) error { return nil }

// silent is an observer that is not interested.
type silent struct{}

func (silent) Attempted(queue.Attempt)            {}
func (silent) OutageBegan(queue.Outage, bool)     {}
func (silent) OutageEnded(queue.Outage)           {}
func (silent) StaleTimestamp(*queue.Message, int) {}
func (silent) EngineFailed(error)                 {}
