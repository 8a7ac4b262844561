// SPDX-License-Identifier: Apache-2.0

package queuetest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// Memory is a [queue.Queue] that keeps its contract, but for one thing: it has
// no disk. What a disk would hold is remembered instead, so that [Memory.Crash]
// forgets what was not durable and [Memory.Reopen] goes on with the rest.
//
// Settlements are written behind, as engines do: they are durable after 20 ms or
// with the next write that is. Time is time.Now, so that days of backoff pass at
// once in a bubble of testing/synctest. Leases do not run out.
type Memory struct {
	// Fault, if not nil, is asked before each step. Set it before the first use.
	// It may be called by several goroutines at once.
	Fault func(Step) (apply bool, err error)

	// MaxSize is the room for all messages in bytes; zero is no limit. Set it
	// before the first use.
	MaxSize int64

	// Now is the wall clock, by which windows and retention go. Default: time.Now.
	// Set it before the first use.
	Now func() time.Time

	// Forgets says that settlements become durable only with the next write that
	// is, however long that takes. Set it before the first use.
	Forgets bool

	mu     sync.Mutex
	live   *state           // what callers see
	disk   *state           // what a crash leaves
	behind []func(*state)   // changes of live that disk does not have yet
	flush  *time.Timer      // writes behind; nil while nothing is
	lines  map[string]*line // of messages to hand out, by endpoint
	closed chan struct{}
}

// NewMemory returns an empty queue.
func NewMemory() *Memory { return openMemory(newState()) }

func openMemory(disk *state) *Memory {
	q := &Memory{
		live:   disk.clone(),
		disk:   disk,
		lines:  make(map[string]*line),
		closed: make(chan struct{}),
	}
	for name, e := range q.live.endpoints {
		q.lines[name] = newLine(e)
	}
	return q
}

// Close implements [queue.Queue].
func (q *Memory) Close() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.isClosed() {
		return queue.ErrClosed
	}
	q.writeOut()
	close(q.closed)
	return nil
}

// Publish implements [queue.Publisher].
func (q *Memory) Publish(ctx context.Context, p queue.Publication) (queue.Receipt, error) {
	if err := ctx.Err(); err != nil {
		return queue.Receipt{}, fmt.Errorf("publishing: %w", err)
	}
	m := p.Message
	apply, fault := q.step(OpPublish, m.Endpoint, m.ID)

	q.mu.Lock()
	defer q.mu.Unlock()
	if q.isClosed() {
		return queue.Receipt{}, queue.ErrClosed
	}
	if !apply {
		return queue.Receipt{}, fault
	}
	now := q.now()
	replaced, known := q.live.lookUp(m.Endpoint, p.Keys, now)
	if known != nil {
		return queue.Receipt{Outcome: queue.Duplicate, ID: *known}, fault
	}
	if err := q.makeRoom(p, now); err != nil {
		return queue.Receipt{}, err
	}
	receipt := queue.Receipt{Outcome: queue.Accepted, ID: m.ID}
	if len(replaced) > 0 {
		receipt.Outcome = queue.Revived
	}
	q.commit(func(s *state) {
		for _, id := range replaced {
			s.discard(m.Endpoint, id)
		}
		s.publish(m.Endpoint, m, p.Keys, now)
	})
	q.line(m.Endpoint).arrived(q.live.seq)
	return receipt, fault
}

// Receive implements [queue.Receiver].
func (q *Memory) Receive(ctx context.Context, endpoint string, _ time.Duration) (queue.Delivery, error) {
	if apply, err := q.step(OpReceive, endpoint, queue.ID{}); !apply {
		return queue.Delivery{}, err
	}
	return q.wait(ctx, endpoint, (*line).next)
}

// Probe implements [queue.Receiver].
func (q *Memory) Probe(ctx context.Context, endpoint string, pick queue.Pick, _ time.Duration) (queue.Delivery, error) {
	if apply, err := q.step(OpProbe, endpoint, queue.ID{}); !apply {
		return queue.Delivery{}, err
	}
	return q.wait(ctx, endpoint, func(l *line, e *endpointState) (uint64, time.Duration) {
		return l.probe(e, pick), 0
	})
}

// wait hands out the message that choose names, as soon as there is one. It
// takes it while it holds the lock and returns it in any case, so that a ctx
// done at the same moment loses nothing.
func (q *Memory) wait(ctx context.Context, endpoint string, choose func(*line, *endpointState) (uint64, time.Duration)) (queue.Delivery, error) {
	for {
		q.mu.Lock()
		if q.isClosed() {
			q.mu.Unlock()
			return queue.Delivery{}, queue.ErrClosed
		}
		if err := ctx.Err(); err != nil {
			q.mu.Unlock()
			return queue.Delivery{}, fmt.Errorf("receiving: %w", err)
		}
		l, e := q.line(endpoint), q.live.endpoint(endpoint)
		seq, due := choose(l, e)
		if seq != 0 {
			w := e.waiting[seq]
			l.inFlight[seq] = true
			q.mu.Unlock()
			return queue.Delivery{
				Message: w.message,
				History: w.history,
				Lease:   &lease{q: q, endpoint: endpoint, seq: seq, id: w.message.ID},
			}, nil
		}
		changed := l.changed
		q.mu.Unlock()

		var timer <-chan time.Time
		if due > 0 {
			timer = time.After(due)
		}
		select {
		case <-changed:
		case <-timer:
		case <-q.closed:
		case <-ctx.Done():
		}
	}
}

// MakeReady implements [queue.Receiver].
func (q *Memory) MakeReady(_ context.Context, endpoint string, refunds []queue.Refund) error {
	return q.write(OpMakeReady, endpoint, queue.ID{}, func() error {
		except := make(map[uint64]bool)
		for seq := range q.line(endpoint).inFlight {
			except[seq] = true
		}
		q.commit(func(s *state) { s.makeReady(endpoint, refunds, except) })
		q.line(endpoint).reset(q.live.endpoint(endpoint))
		return nil
	})
}

// Outage implements [queue.Receiver].
func (q *Memory) Outage(_ context.Context, endpoint string) (*queue.Outage, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.isClosed() {
		return nil, queue.ErrClosed
	}
	return clonePointer(q.live.endpoint(endpoint).outage), nil
}

// SetOutage implements [queue.Receiver].
func (q *Memory) SetOutage(_ context.Context, endpoint string, o *queue.Outage) error {
	return q.write(OpSetOutage, endpoint, queue.ID{}, func() error {
		q.commit(func(s *state) { s.endpoint(endpoint).outage = clonePointer(o) })
		return nil
	})
}

// makeRoom erases kept messages, those with the least time left first, until
// the message fits.
func (q *Memory) makeRoom(p queue.Publication, now time.Time) error {
	if q.MaxSize == 0 && p.MaxSize == 0 {
		return nil
	}
	endpoint, size := p.Message.Endpoint, sizeOf(p.Message)
	if p.MaxSize > 0 && size > p.MaxSize || q.MaxSize > 0 && size > q.MaxSize {
		return fmt.Errorf("message of %d bytes: %w", size, queue.ErrFull)
	}
	q.settle(func(s *state) { s.sweep(now) })
	for {
		shareFull := p.MaxSize > 0 && q.live.endpoint(endpoint).size()+size > p.MaxSize
		if !shareFull && (q.MaxSize == 0 || q.live.size()+size <= q.MaxSize) {
			return nil
		}
		from, id, ok := q.live.firstToExpire(func(name string) bool { return !shareFull || name == endpoint })
		if !ok {
			return fmt.Errorf("message of %d bytes: %w", size, queue.ErrFull)
		}
		q.commit(func(s *state) { delete(s.endpoint(from).kept, id) })
	}
}

// now is the wall-clock time.
func (q *Memory) now() time.Time {
	if q.Now == nil {
		return time.Now()
	}
	return q.Now()
}

func (q *Memory) line(endpoint string) *line {
	l := q.lines[endpoint]
	if l == nil {
		l = newLine(q.live.endpoint(endpoint))
		q.lines[endpoint] = l
	}
	return l
}

func (q *Memory) isClosed() bool {
	select {
	case <-q.closed:
		return true
	default:
		return false
	}
}

var _ queue.Queue = (*Memory)(nil)
