// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"context"
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// Move implements [queue.Admin]. Messages themselves stay where they are: it is
// their places in the tables of an endpoint that move, some in each transaction.
// What waited is ready in b of the other endpoint, so that the mark of its r
// need not go back.
func (q *Queue) Move(ctx context.Context, from, to string) (int, error) {
	if err := q.use(ctx); err != nil {
		return 0, err
	}
	defer q.gate.leave()

	m := &move{q: q, ctx: ctx, from: q.scheduler.lookUp(from)}
	err := m.check()
	if err == nil && from != to {
		m.to = q.scheduler.endpoint(to)
		q.scheduler.pause(m.from)
		defer q.scheduler.resume(m.from)
		err = m.run()
	}
	if err != nil {
		return m.moved, fmt.Errorf("moving endpoint %q to %q: %w", from, to, err)
	}
	return m.moved, nil
}

type move struct {
	q        *Queue
	ctx      context.Context
	from, to *endpoint
	moved    int
}

// check returns ErrNotFound if there is nothing of the endpoint.
func (m *move) check() error {
	if m.from == nil {
		return queue.ErrNotFound
	}
	s := m.q.scheduler
	s.mu.Lock()
	counted := statistics{number: m.from.number.Load(), counters: m.from.stats}
	s.mu.Unlock()
	return m.q.db.View(func(tx *badger.Txn) error {
		present, err := counted.present(tx, m.q.opts.Now())
		if err == nil && !present {
			err = queue.ErrNotFound
		}
		return err
	})
}

func (m *move) run() error {
	// Paused, nothing more is handed out. What is being settled must be on disk.
	if err := m.q.flush(m.ctx); err != nil {
		return err
	}
	limit, busy := m.q.scheduler.movable(m.from)
	if busy {
		return queue.ErrBusy
	}
	n := m.from.number.Load()
	steps := []struct {
		table byte
		move  func(b *batch, k key, value []byte, expires uint64) error
	}{
		{tableFresh, m.waiting},
		{tableRetrying, m.waiting},
		{tableDead, m.dead},
		{tableKept, m.kept},
		{tableKeys, m.key},
	}
	for _, step := range steps {
		for at := prefix(step.table, n); at != nil; {
			var keys []key
			var err error
			if keys, at, err = m.q.scanKeys(at, rewritten); err != nil {
				return err
			}
			if err := m.apply(keys, limit, step.move); err != nil {
				return err
			}
		}
	}
	return m.finish()
}

// movable returns the last place in line so far: what arrives later stays. It
// reports whether anything is in flight.
func (s *scheduler) movable(e *endpoint) (limit uint64, busy bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return e.line.last, len(e.line.held) > 0
}

// apply moves what is at the keys.
func (m *move) apply(keys []key, limit uint64, do func(*batch, key, []byte, uint64) error) error {
	moved := 0
	err := m.q.change(m.ctx, &change{
		entries: 6 * len(keys),
		bytes:   1024 * len(keys),
		write: func(b *batch) error {
			moved = 0
			for _, k := range keys {
				if (k[0] == tableFresh || k[0] == tableRetrying) && lastSeq(k) > limit {
					continue
				}
				value, expires, ok, err := b.getEntry(k)
				if err != nil {
					return err
				}
				if !ok {
					continue
				}
				if err := do(b, k, value, expires); err != nil {
					return err
				}
				if k[0] == tableFresh || k[0] == tableRetrying || k[0] == tableDead {
					moved++
				}
			}
			return nil
		},
		durable: func() { m.q.scheduler.reload(m.to) },
	})
	m.moved += moved
	return err
}

func (m *move) waiting(b *batch, k key, value []byte, _ uint64) error {
	w, err := decodeWaiting(value)
	if err != nil {
		return err
	}
	b.leaveLine(m.from, lastSeq(k), k[0] == tableFresh, &w)
	w.due, w.delay = 0, 0
	b.enterRetrying(m.to, lastSeq(k), &w)
	b.handOver(m.from, m.to, w.size)
	return nil
}

func (m *move) dead(b *batch, k key, value []byte, _ uint64) error {
	r, err := decodeSettled(value)
	if err != nil {
		return err
	}
	b.delete(k)
	b.tally(m.from).dead--
	b.tally(m.to).dead++
	b.set(deadKey(m.to.number.Load(), r.id), value)
	b.handOver(m.from, m.to, r.size)
	return nil
}

func (m *move) kept(b *batch, k key, value []byte, _ uint64) error {
	r, err := decodeSettled(value)
	if err != nil {
		return err
	}
	b.delete(k)
	b.tally(m.from).kept--
	b.tally(m.to).kept++
	b.set(keptKey(m.to.number.Load(), placeOf(k)), value)
	b.handOver(m.from, m.to, r.size)
	return nil
}

// key moves a key, unless the other endpoint knows it for longer.
func (m *move) key(b *batch, k key, value []byte, expires uint64) error {
	held, err := decodeKey(value)
	if err != nil {
		return err
	}
	b.tally(m.to)
	target := prefix(tableKeys, m.to.number.Load()).bytes(k[5:]...)
	there, ok, err := b.get(target)
	if err != nil {
		return err
	}
	if ok {
		other, err := decodeKey(there)
		if err != nil {
			return err
		}
		if !other.expiry.Before(held.expiry) {
			b.delete(k)
			return nil
		}
	}
	b.delete(k)
	b.setUntil(target, value, int64(expires))
	return nil
}

func (b *batch) handOver(from, to *endpoint, size int64) {
	b.tally(from).bytes -= size
	b.tally(to).bytes += size
}

// finish moves the outage, and gives the number up if nothing came meanwhile.
func (m *move) finish() error {
	retired := false
	return m.q.change(m.ctx, &change{
		entries: 4,
		bytes:   1024,
		write: func(b *batch) error {
			n := m.from.number.Load()
			outage, ok, err := b.get(outageKey(n))
			if err != nil {
				return err
			}
			b.tally(m.to)
			known, err := b.has(outageKey(m.to.number.Load()))
			if err != nil {
				return err
			}
			if ok {
				b.delete(outageKey(n))
			}
			if ok && !known {
				b.set(outageKey(m.to.number.Load()), outage)
			}
			if retired = b.tally(m.from).empty(); retired {
				b.retire(m.from)
			}
			return nil
		},
		durable: func() {
			if retired {
				m.q.scheduler.retired(m.from)
			}
		},
	})
}

// retire forgets an endpoint of which there is nothing. If anything more
// arrives for it, it gets a new number.
func (b *batch) retire(e *endpoint) {
	b.delete(nameKey(e.name))
	b.delete(countersKey(e.number.Load()))
	for i, t := range b.touched {
		if t == e {
			b.touched = append(b.touched[:i:i], b.touched[i+1:]...)
			break
		}
	}
	e.number.Store(0)
	e.tally, e.touched, e.entered = counters{}, false, false
}

func (s *scheduler) retired(e *endpoint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.stats = counters{}
	e.line.unload()
	e.line.cursor = e.line.last + 1
}

func (s *scheduler) reload(e *endpoint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.line.reload()
	e.line.changed()
}

// getEntry is get with when the entry expires.
func (b *batch) getEntry(k key) (value []byte, expires uint64, ok bool, err error) {
	value, ok, err = b.get(k)
	if err != nil || !ok {
		return nil, 0, false, err
	}
	item, err := b.tx.Get(k)
	if err != nil {
		return nil, 0, false, fmt.Errorf("reading from table %c: %w", k[0], err)
	}
	return value, item.ExpiresAt(), true, nil
}

// scanKeys returns the next keys of an endpoint's table from a key on, and the
// key after them if there are more.
func (q *Queue) scanKeys(from key, n int) (keys []key, more key, err error) {
	err = q.db.View(func(tx *badger.Txn) error {
		it := tx.NewIterator(badger.IteratorOptions{Prefix: from[:5]})
		defer it.Close()
		for it.Seek(from); it.Valid(); it.Next() {
			k := it.Item().KeyCopy(nil)
			if len(keys) == n {
				more = k
				return nil
			}
			keys = append(keys, k)
		}
		return nil
	})
	return keys, more, err
}
