// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"context"
	"errors"
	"fmt"
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
		switch ok, err := q.prepare(h); {
		case err != nil:
			return queue.Delivery{}, fmt.Errorf("probing: %w", err)
		case ok:
			return q.delivery(h), nil
		}
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
		search := search{pick: pick, number: e.number.Load(), from: e.stats, last: l.last, held: l.heldNow()}
		paused := l.paused > 0
		s.mu.Unlock()

		var found candidate
		if !paused && search.number != 0 {
			var err error
			if found, err = q.search(search); err != nil {
				s.withdraw(l, w)
				return nil, err
			}
		}
		if found.seq == 0 {
			s.await(ctx, l, w)
			continue
		}
		s.withdraw(l, w)
		if h := s.claim(l, found); h != nil {
			return h, nil
		}
	}
}

// withdraw lets w wait no longer.
func (s *scheduler) withdraw(l *line, w *waiter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l.waiters = slices.DeleteFunc(l.waiters, func(o *waiter) bool { return o == w })
}

// claim holds what was found, unless somebody was faster.
func (s *scheduler) claim(l *line, found candidate) *handle {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.paused > 0 || s.err != nil {
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
	from   counters
	last   uint64 // of r; what is after it is not known to be durable
	held   map[uint64]bool
}

// candidate is what was found; without a seq, nothing was.
type candidate struct {
	seq   uint64
	fresh bool
}

// search finds the message that is meant in r and b. It takes one that is
// excepted only if there is no other.
func (q *Queue) search(s search) (best candidate, err error) {
	err = q.db.View(func(tx *badger.Txn) error {
		fresh, excepted, err := s.scan(tx, tableFresh, s.from.fresh)
		if err != nil {
			return err
		}
		retrying, exceptedRetrying, err := s.scan(tx, tableRetrying, s.from.retry)
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
// would be if it were not excepted.
func (s *search) scan(tx *badger.Txn, table byte, low uint64) (chosen, excepted uint64, err error) {
	it := tx.NewIterator(badger.IteratorOptions{
		Prefix:  prefix(table, s.number),
		Reverse: s.pick.Newest,
	})
	defer it.Close()
	start := prefix(table, s.number).seq(low)
	if s.pick.Newest {
		start = prefix(table, s.number).seq(^uint64(0))
	}
	for it.Seek(start); it.Valid(); it.Next() {
		seq := lastSeq(it.Item().Key())
		if seq < low {
			break
		}
		if s.held[seq] || table == tableFresh && seq > s.last {
			continue
		}
		if len(s.pick.Except) == 0 {
			return seq, excepted, nil
		}
		value, err := it.Item().ValueCopy(nil)
		if err != nil {
			return 0, 0, fmt.Errorf("reading from table %c: %w", table, err)
		}
		w, err := decodeWaiting(value)
		if err != nil {
			return 0, 0, fmt.Errorf("reading from table %c: %w", table, err)
		}
		if !slices.Contains(s.pick.Except, w.id) {
			return seq, excepted, nil
		}
		if excepted == 0 {
			excepted = seq
		}
	}
	return 0, excepted, nil
}
