// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// Probe implements [queue.Receiver].
func (q *Queue) Probe(ctx context.Context, endpoint string, pick queue.Pick, _ time.Duration) (queue.Delivery, error) {
	if err := q.gate.enter(); err != nil {
		return queue.Delivery{}, err
	}
	defer q.gate.leave()

	e := q.scheduler.endpoint(endpoint)
	for {
		h, err := q.nextProbe(ctx, e, pick)
		if err != nil {
			return queue.Delivery{}, fmt.Errorf("probing: %w", err)
		}
		switch ok, err := q.prepare(ctx, h); {
		case err != nil:
			return queue.Delivery{}, fmt.Errorf("probing: %w", err)
		case ok:
			return q.delivery(h), nil
		}
		// It had left the place where it was found. Where it is now, nobody could
		// see it while it was held.
		q.scheduler.reload(e)
	}
}

// nextProbe is next for a probe: it searches the disk, and waits for a change
// where nothing is found.
func (q *Queue) nextProbe(ctx context.Context, e *endpoint, pick queue.Pick) (*handle, error) {
	s, l := q.scheduler, &e.line
	for flushed := false; ; {
		s.mu.Lock()
		if err := s.ended(ctx); err != nil {
			s.mu.Unlock()
			return nil, err
		}
		if l.settling > 0 && !flushed {
			s.mu.Unlock()
			// What was just handed back may be the one that is meant.
			if err := q.flush(ctx); err != nil && !errors.Is(err, errDiskLow) {
				return nil, err
			}
			flushed = true
			continue
		}
		// It waits from before it searches, so that it misses no change.
		w := &waiter{handed: make(chan *handle, 1), probe: true}
		l.waiters = append(l.waiters, w)
		search := search{
			pick:   pick,
			number: e.number.Load(),
			fresh:  l.freshSpan(),
			retry:  l.retrySpan(),
			held:   l.heldNow(),
		}
		halted := l.halted()
		s.mu.Unlock()

		var found candidate
		if !halted && search.number != 0 {
			var err error
			if found, err = q.search(ctx, search); err != nil && !errors.Is(err, errDiskLow) {
				s.withdraw(l, w)
				return nil, err
			}
		}
		if found.seq == 0 {
			s.await(ctx, l, w)
			continue
		}
		if h := s.claim(l, w, found); h != nil {
			return h, nil
		}
	}
}

// withdraw lets w wait no longer.
func (s *scheduler) withdraw(l *line, w *waiter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l.forget(w)
}

// claim holds what w found, unless somebody was faster.
func (s *scheduler) claim(l *line, w *waiter, found candidate) *handle {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer l.changed()
	l.forget(w)
	if l.halted() || s.err != nil {
		return nil
	}
	return l.claim(found.seq, found.fresh)
}

func (l *line) heldNow() map[uint64]bool {
	held := make(map[uint64]bool, len(l.held))
	for seq := range l.held {
		held[seq] = true
	}
	return held
}

// search is what to look for.
type search struct {
	pick   queue.Pick
	number uint32
	fresh  span // of r
	retry  span // of b
	held   map[uint64]bool
}

// candidate is what was found; without a seq, nothing was.
type candidate struct {
	seq   uint64
	fresh bool
}

// search finds the message that is meant in r and b. It takes one that is
// excepted only if there is no other.
func (q *Queue) search(ctx context.Context, s search) (best candidate, err error) {
	err = q.view(ctx, func(tx *badger.Txn) error {
		fresh, excepted, err := s.scan(tx, tableFresh, s.fresh)
		if err != nil {
			return err
		}
		retrying, exceptedRetrying, err := s.scan(tx, tableRetrying, s.retry)
		if err != nil {
			return err
		}
		best = s.better(candidate{fresh, true}, candidate{retrying, false})
		if best.seq == 0 {
			best = s.better(candidate{excepted, true}, candidate{exceptedRetrying, false})
		}
		return nil
	})
	if err != nil {
		return candidate{}, fmt.Errorf("searching: %w", err)
	}
	return best, nil
}

func (s *search) better(a, b candidate) candidate {
	if b.seq == 0 || a.seq != 0 && (a.seq > b.seq) == s.pick.Newest {
		return a
	}
	return b
}

// scan returns the first message of a table that is meant, and the first that
// would be if it were not excepted. It begins and ends at messages: beyond them
// Badger would step over all that was ever deleted.
func (s *search) scan(tx *badger.Txn, table byte, in span) (chosen, excepted uint64, err error) {
	if in.high == 0 {
		return 0, 0, nil
	}
	start, end := in.low, in.high
	if s.pick.Newest {
		first, ok := firstSeq(tx, prefix(table, s.number), in.low)
		if !ok {
			return 0, 0, nil
		}
		start, end = in.high, first
	}
	it := tx.NewIterator(badger.IteratorOptions{
		Prefix:  prefix(table, s.number),
		Reverse: s.pick.Newest,
	})
	defer it.Close()
	for it.Seek(prefix(table, s.number).seq(start)); it.Valid(); it.Next() {
		seq := lastSeq(it.Item().Key())
		if seq < in.low || seq > in.high {
			break
		}
		if !s.held[seq] {
			meant, err := s.meant(it.Item())
			if err != nil {
				return 0, 0, fmt.Errorf("reading from table %c: %w", table, err)
			}
			if meant {
				return seq, excepted, nil
			}
			if excepted == 0 {
				excepted = seq
			}
		}
		if seq == end {
			break
		}
	}
	return 0, excepted, nil
}

func firstSeq(tx *badger.Txn, prefix key, low uint64) (seq uint64, ok bool) {
	it := tx.NewIterator(badger.IteratorOptions{Prefix: prefix})
	defer it.Close()
	if it.Seek(prefix.seq(low)); !it.Valid() {
		return 0, false
	}
	return lastSeq(it.Item().Key()), true
}

// meant reports whether a message is not excepted.
func (s *search) meant(item *badger.Item) (bool, error) {
	if len(s.pick.Except) == 0 {
		return true, nil
	}
	value, err := item.ValueCopy(nil)
	if err != nil {
		return false, err
	}
	w, err := decodeWaiting(value)
	if err != nil {
		return false, err
	}
	return !slices.Contains(s.pick.Except, w.id), nil
}

// A span is where the messages of a table can be, as far as memory knows: from
// low to high, both included. If high is 0, there are none.
type span struct{ low, high uint64 }

// freshSpan is that of the messages of r that are not held. What arrived after
// last is not known to be durable.
func (l *line) freshSpan() span {
	switch {
	case l.gap():
		return span{l.e.stats.fresh, l.last}
	case len(l.buffer) == 0:
		return span{}
	default:
		return span{l.buffer[0].seq, l.buffer[len(l.buffer)-1].seq}
	}
}

// retrySpan is that of the messages of b that are not held.
func (l *line) retrySpan() (in span) {
	if l.more {
		return span{l.e.stats.retry, math.MaxUint64}
	}
	for i, r := range l.retries {
		if i == 0 || r.place.seq < in.low {
			in.low = r.place.seq
		}
		in.high = max(in.high, r.place.seq)
	}
	return in
}
