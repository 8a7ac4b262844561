// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"context"
	"fmt"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// beginLoad marks that the caller loads. Until load returns nobody else does,
// and what leaves held is remembered: a message that was settled after the load
// took its snapshot must not come back.
func (l *line) beginLoad() {
	l.loading = true
	l.stale = false
	l.left = make(map[uint64]bool)
}

// A loaded is what load read.
type loaded struct {
	fresh  []*handle
	cursor uint64

	retries []retry
	more    bool
	horizon retry

	broken []*handle // their messages cannot be delivered
}

// load reads what is next in line from the disk, and hands it to those who
// wait. The caller has called beginLoad.
func (q *Queue) load(ctx context.Context, e *endpoint) error {
	s, l := q.scheduler, &e.line

	s.mu.Lock()
	plan := loadPlan{
		number:  e.number.Load(),
		fresh:   l.wantsFresh(),
		cursor:  l.cursor,
		last:    l.last,
		bytes:   min(s.budgets.endpoint-l.bytes, s.budgets.endpoint/4),
		count:   s.budgets.load,
		retries: l.mustLoadRetries(time.Now()),
		horizon: l.horizon.place,
	}
	if plan.retries {
		plan.horizon = later(plan.horizon, e.stats.due)
	}
	s.mu.Unlock()

	read, err := q.read(ctx, e, plan)

	s.mu.Lock()
	defer s.mu.Unlock()
	l.loading = false
	defer func() { l.left = nil; l.changed() }()
	if err != nil {
		return fmt.Errorf("loading: %w", err)
	}
	if l.stale {
		return nil
	}
	l.takeIn(read, plan)
	if plan.fresh || plan.retries {
		l.loaded()
	}
	for _, h := range read.broken {
		if l.held[h.seq] == nil && !l.left[h.seq] {
			l.hold(h)
			q.buryBroken(h)
		}
	}
	s.unload(l, 0)
	return nil
}

// takeIn adds what was read, but for what was or is in flight, or in memory.
func (l *line) takeIn(read loaded, plan loadPlan) {
	gone := func(seq uint64) bool { return l.held[seq] != nil || l.left[seq] }
	for _, h := range read.fresh {
		if !gone(h.seq) {
			l.push(h)
		}
	}
	if plan.fresh {
		l.cursor = read.cursor
	}
	if !plan.retries {
		return
	}
	known := make(map[uint64]bool, len(l.retries))
	for _, r := range l.retries {
		known[r.place.seq] = true
	}
	l.more, l.horizon = read.more, read.horizon
	for _, r := range read.retries {
		if !known[r.place.seq] && !gone(r.place.seq) {
			l.addRetry(r)
		}
	}
	l.trim()
}

// loadPlan says what to read.
type loadPlan struct {
	number uint32

	fresh        bool
	cursor, last uint64 // of r
	bytes        int64
	count        int

	retries bool
	horizon duePlace // of w
}

func later(a, b duePlace) duePlace {
	if a.before(b) {
		return b
	}
	return a
}

func (q *Queue) read(ctx context.Context, e *endpoint, p loadPlan) (read loaded, err error) {
	err = q.viewBlobs(ctx, func(v view) error {
		if p.retries {
			if err := q.readRetries(v.tx, p, &read); err != nil {
				return err
			}
		}
		if p.fresh {
			return q.readFresh(v, e, p, &read)
		}
		return nil
	})
	return read, err
}

// readFresh reads from r on from the cursor, one message at least.
func (q *Queue) readFresh(v view, e *endpoint, p loadPlan, read *loaded) error {
	it := v.tx.NewIterator(badger.IteratorOptions{Prefix: prefix(tableFresh, p.number)})
	defer it.Close()
	var bytes int64
	for it.Seek(freshKey(p.number, p.cursor)); it.Valid(); it.Next() {
		seq := lastSeq(it.Item().Key())
		if seq > p.last {
			break
		}
		h := &handle{endpoint: e, seq: seq, fresh: true}
		if err := it.Item().Value(h.decode); err != nil {
			return fmt.Errorf("reading from table %c: %w", tableFresh, err)
		}
		if n := len(read.fresh); n > 0 && (n >= p.count || bytes+h.size > p.bytes) {
			read.cursor = seq
			return nil
		}
		switch err := v.readHeld(h); {
		case isBroken(err):
			h.broken = err
			read.broken = append(read.broken, h)
		case err != nil:
			return err
		default:
			read.fresh = append(read.fresh, h)
			bytes += h.size
		}
	}
	read.cursor = p.last + 1
	return nil
}

// readRetries reads from w on from the horizon.
func (q *Queue) readRetries(tx *badger.Txn, p loadPlan, read *loaded) error {
	it := tx.NewIterator(badger.IteratorOptions{Prefix: prefix(tableDue, p.number)})
	defer it.Close()
	for it.Seek(dueKey(p.number, p.horizon)); it.Valid(); it.Next() {
		r := retry{place: placeOf(it.Item().Key())}
		if r.place.due > 0 {
			delay, err := delayOf(tx, p.number, r.place.seq)
			if err != nil {
				return err
			}
			r.at = q.clock.at(timeOf(r.place.due), it.Item().Version(), delay)
		}
		if len(read.retries) >= p.count {
			read.more, read.horizon = true, r
			return nil
		}
		read.retries = append(read.retries, r)
	}
	return nil
}

func delayOf(tx *badger.Txn, number uint32, seq uint64) (time.Duration, error) {
	value, ok, err := get(tx, retryKey(number, seq))
	if err != nil || !ok {
		return 0, err // without its record, it is found out when it is due
	}
	w, err := decodeWaiting(value)
	if err != nil {
		return 0, fmt.Errorf("reading from table %c: %w", tableRetrying, err)
	}
	return w.delay, nil
}
