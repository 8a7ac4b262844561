// SPDX-License-Identifier: Apache-2.0

package queuetest

import (
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// A lease is the hold on one message in flight of a Memory.
type lease struct {
	q        *Memory
	endpoint string
	seq      uint64
	id       queue.ID
	settled  bool
}

// Ack implements [queue.Lease].
func (l *lease) Ack(keep time.Duration) error {
	now := l.q.now()
	return l.settle(OpAck, func(s *state) { s.ack(l.endpoint, l.seq, keep, now) })
}

// Nack implements [queue.Lease].
func (l *lease) Nack(delay time.Duration, h queue.History) error {
	due := time.Now().Add(delay)
	return l.settle(OpNack, func(s *state) { s.nack(l.endpoint, l.seq, due, h) })
}

// Bury implements [queue.Lease].
func (l *lease) Bury(reason string, h queue.History, keep time.Duration) error {
	now := l.q.now()
	return l.settle(OpBury, func(s *state) { s.bury(l.endpoint, l.seq, reason, h, keep, now) })
}

// settle applies the change, unless the message is not held any more. A change
// that a fault kept from being applied leaves the message in flight: it comes
// back when the queue is opened again.
func (l *lease) settle(op Op, change func(*state)) error {
	apply, fault := l.q.step(op, l.endpoint, l.id)
	l.q.mu.Lock()
	defer l.q.mu.Unlock()
	switch {
	case l.q.isClosed():
		return queue.ErrClosed
	case l.settled:
		return queue.ErrLeaseLost
	}
	l.settled = true
	if apply {
		l.q.settle(change)
		l.q.line(l.endpoint).returned(l.seq, l.q.live.endpoint(l.endpoint).waiting[l.seq])
	}
	return fault
}
