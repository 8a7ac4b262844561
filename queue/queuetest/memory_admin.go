// SPDX-License-Identifier: Apache-2.0

package queuetest

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// Endpoints implements [queue.Admin].
func (q *Memory) Endpoints(context.Context) (map[string]queue.Stats, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.isClosed() {
		return nil, queue.ErrClosed
	}
	now := q.now()
	q.settle(func(s *state) { s.sweep(now) })
	all := make(map[string]queue.Stats)
	for name, e := range q.live.endpoints {
		if !e.empty(now) {
			all[name] = e.stats(q.line(name))
		}
	}
	return all, nil
}

func (e *endpointState) empty(now time.Time) bool {
	for _, holder := range e.keys {
		if now.Before(holder.until) {
			return false
		}
	}
	return e.outage == nil && len(e.waiting)+len(e.dead)+len(e.kept) == 0
}

func (e *endpointState) stats(l *line) queue.Stats {
	s := queue.Stats{
		Waiting:  int64(len(e.waiting)),
		InFlight: int64(len(l.inFlight)),
		Dead:     int64(len(e.dead)),
		Kept:     int64(len(e.kept)),
		Bytes:    e.size(),
	}
	for _, w := range e.waiting {
		if w.nacked {
			s.Retrying++
		}
		if at := w.message.ReceivedAt; s.Oldest.IsZero() || at.Before(s.Oldest) {
			s.Oldest = at
		}
	}
	return s
}

// DeadLetters implements [queue.Admin].
func (q *Memory) DeadLetters(_ context.Context, endpoint string, after queue.ID) iter.Seq2[queue.Settled, error] {
	return q.list(endpoint, func(e *endpointState) []settled {
		dead := slices.DeleteFunc(slices.Collect(maps.Values(e.dead)), func(d settled) bool {
			return compareIDs(d.Message.ID, after) <= 0
		})
		slices.SortFunc(dead, func(a, b settled) int { return compareIDs(a.Message.ID, b.Message.ID) })
		return dead
	})
}

// Kept implements [queue.Admin].
func (q *Memory) Kept(_ context.Context, endpoint string) iter.Seq2[queue.Settled, error] {
	return q.list(endpoint, func(e *endpointState) []settled {
		return slices.SortedFunc(maps.Values(e.kept), func(a, b settled) int {
			return cmp.Or(a.Until.Compare(b.Until), compareIDs(a.Message.ID, b.Message.ID))
		})
	})
}

// list yields what choose returns, without headers and bodies.
func (q *Memory) list(endpoint string, choose func(*endpointState) []settled) iter.Seq2[queue.Settled, error] {
	return func(yield func(queue.Settled, error) bool) {
		q.mu.Lock()
		if q.isClosed() {
			q.mu.Unlock()
			yield(queue.Settled{}, queue.ErrClosed)
			return
		}
		now := q.now()
		q.settle(func(s *state) { s.sweep(now) })
		chosen := choose(q.live.endpoint(endpoint))
		q.mu.Unlock()

		for _, s := range chosen {
			s.Message = clonePointer(s.Message)
			s.Message.Request.Header, s.Message.Request.Body = nil, nil
			if !yield(s.Settled, nil) {
				return
			}
		}
	}
}

// DeadLetter implements [queue.Admin].
func (q *Memory) DeadLetter(_ context.Context, endpoint string, id queue.ID) (queue.Settled, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.isClosed() {
		return queue.Settled{}, queue.ErrClosed
	}
	d, ok := q.live.endpoint(endpoint).dead[id]
	if !ok || expired(d, q.now()) {
		return queue.Settled{}, fmt.Errorf("dead letter %s: %w", id, queue.ErrNotFound)
	}
	return d.Settled, nil
}

// Redrive implements [queue.Admin].
func (q *Memory) Redrive(_ context.Context, endpoint string, id queue.ID) error {
	return q.write(OpRedrive, endpoint, id, func() error { return q.redrive(endpoint, id) })
}

func (q *Memory) redrive(endpoint string, id queue.ID) error {
	now := q.now()
	if err := q.mustBeDead(endpoint, id, now); err != nil {
		return err
	}
	q.commit(func(s *state) { s.redrive(endpoint, id, now) })
	q.line(endpoint).arrived(q.live.seq)
	return nil
}

// RedriveAll implements [queue.Admin].
func (q *Memory) RedriveAll(ctx context.Context, endpoint string) (int, error) {
	return q.forAllDead(ctx, endpoint, q.Redrive)
}

// Discard implements [queue.Admin].
func (q *Memory) Discard(_ context.Context, endpoint string, id queue.ID) error {
	return q.write(OpDiscard, endpoint, id, func() error {
		if err := q.mustBeDead(endpoint, id, q.now()); err != nil {
			return err
		}
		q.commit(func(s *state) { s.discard(endpoint, id) })
		return nil
	})
}

// DiscardAll implements [queue.Admin].
func (q *Memory) DiscardAll(ctx context.Context, endpoint string) (int, error) {
	return q.forAllDead(ctx, endpoint, q.Discard)
}

func (q *Memory) forAllDead(ctx context.Context, endpoint string, do func(context.Context, string, queue.ID) error) (int, error) {
	var done int
	for d, err := range q.DeadLetters(ctx, endpoint, queue.ID{}) {
		if err != nil {
			return done, err
		}
		if err := do(ctx, endpoint, d.Message.ID); err != nil {
			return done, err
		}
		done++
	}
	return done, nil
}

func (q *Memory) mustBeDead(endpoint string, id queue.ID, now time.Time) error {
	if d, ok := q.live.endpoint(endpoint).dead[id]; !ok || expired(d, now) {
		return fmt.Errorf("dead letter %s: %w", id, queue.ErrNotFound)
	}
	return nil
}

// Forget implements [queue.Admin].
func (q *Memory) Forget(_ context.Context, endpoint string, kind queue.KeyKind, hash [32]byte) error {
	return q.write(OpForget, endpoint, queue.ID{}, func() error {
		dead, known := q.live.lookUp(endpoint, []queue.Key{{Kind: kind, Hash: hash}}, q.now())
		if known == nil && len(dead) == 0 {
			return fmt.Errorf("key: %w", queue.ErrNotFound)
		}
		q.commit(func(s *state) { delete(s.endpoint(endpoint).keys, keyName{kind, hash}) })
		return nil
	})
}

// Move implements [queue.Admin].
func (q *Memory) Move(_ context.Context, from, to string) (int, error) {
	var moved int
	err := q.write(OpMove, from, queue.ID{}, func() error {
		now := q.now()
		q.settle(func(s *state) { s.sweep(now) })
		switch e, ok := q.live.endpoints[from]; {
		case !ok || e.empty(now):
			return fmt.Errorf("endpoint %q: %w", from, queue.ErrNotFound)
		case len(q.line(from).inFlight) > 0:
			return fmt.Errorf("endpoint %q: %w", from, queue.ErrBusy)
		case from == to:
			return nil
		}
		q.commit(func(s *state) { moved = s.move(from, to) })
		q.line(from).reset(q.live.endpoint(from))
		q.line(to).reset(q.live.endpoint(to))
		return nil
	})
	return moved, err
}

func compareIDs(a, b queue.ID) int { return bytes.Compare(a[:], b[:]) }
