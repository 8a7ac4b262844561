// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// Receive implements [queue.Receiver]. Leases do not run out: the queue is used
// by one process, which settles what it received or closes the queue.
func (q *Queue) Receive(ctx context.Context, endpoint string, _ time.Duration) (queue.Delivery, error) {
	if err := q.gate.enter(); err != nil {
		return queue.Delivery{}, err
	}
	defer q.gate.leave()

	e := q.scheduler.endpoint(endpoint)
	for {
		h, err := q.next(ctx, e)
		if err != nil {
			return queue.Delivery{}, fmt.Errorf("receiving: %w", err)
		}
		switch ok, err := q.prepare(ctx, h); {
		case err != nil:
			return queue.Delivery{}, fmt.Errorf("receiving: %w", err)
		case ok:
			return q.delivery(h), nil
		}
	}
}

// next waits for the next message, and holds it. Those who wait are served in
// order.
func (q *Queue) next(ctx context.Context, e *endpoint) (next *handle, err error) {
	s, l := q.scheduler, &e.line
	woken := false
	defer func() {
		if err != nil && woken {
			s.passOn(l)
		}
	}()
	for flushed := false; ; {
		s.mu.Lock()
		s.receives++
		l.received = s.receives
		if err := s.ended(ctx); err != nil {
			s.mu.Unlock()
			return nil, err
		}
		if l.soon > 0 && !flushed {
			s.mu.Unlock()
			// A message that was handed back without a delay comes first.
			if err := q.flush(ctx); err != nil && !errors.Is(err, errDiskLow) {
				return nil, err
			}
			flushed = true
			continue
		}
		now := time.Now()
		var h *handle
		if l.receivers() == 0 {
			h = l.take(now)
		}
		if l.wantsLoad(now) {
			l.beginLoad()
			s.mu.Unlock()
			if err := q.load(ctx, e); err != nil && h == nil && !errors.Is(err, errDiskLow) {
				return nil, err
			}
			if h == nil {
				continue
			}
			return h, nil
		}
		if h != nil {
			s.mu.Unlock()
			return h, nil
		}
		w := &waiter{handed: make(chan *handle, 1)}
		l.waiters = append(l.waiters, w)
		l.setTimer(now)
		s.mu.Unlock()
		if h := s.await(ctx, l, w); h != nil {
			return h, nil
		}
		woken = true
	}
}

// passOn lets somebody else look, in place of one who was woken to do so.
func (s *scheduler) passOn(l *line) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l.changed()
}

// ended returns why nothing is handed out to the caller any more.
func (s *scheduler) ended(ctx context.Context) error {
	if s.err != nil {
		return s.err
	}
	return ctx.Err()
}

// delivery is what the caller gets for a message that it holds.
func (q *Queue) delivery(h *handle) queue.Delivery {
	return queue.Delivery{Message: h.message, History: h.history, Lease: &lease{q, h}}
}
