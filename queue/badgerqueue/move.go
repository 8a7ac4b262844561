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
	return m.q.view(m.ctx, func(tx *badger.Txn) error {
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
		move  func(b *batch, p placed, value []byte, expires uint64) error
	}{
		{tableFresh, m.waiting},
		{tableRetrying, m.waiting},
		{tableDead, m.dead},
		{tableKept, m.kept},
		{tableKeys, m.key},
	}
	for _, step := range steps {
		for at := prefix(step.table, n); at != nil; {
			var places []placed
			var err error
			if places, at, err = m.q.scanPlaced(m.ctx, at, rewritten); err != nil {
				return err
			}
			if err := m.apply(places, limit, step.move); err != nil {
				return err
			}
		}
	}
	return m.finish()
}

// movable returns the last place of r so far: what arrives later stays. It
// reports whether anything is in flight.
func (s *scheduler) movable(e *endpoint) (limit uint64, busy bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return e.line.last, len(e.line.held) > 0
}

// apply moves what is at the places.
func (m *move) apply(places []placed, limit uint64, do func(*batch, placed, []byte, uint64) error) error {
	moved := 0
	op := &change{
		write: func(b *batch) error {
			moved = 0
			for _, p := range places {
				k := p.key
				if k[0] == tableFresh && lastSeq(k) > limit {
					continue
				}
				value, expires, ok, err := b.getEntry(k)
				if err != nil {
					return err
				}
				if !ok {
					continue
				}
				if err := do(b, p, value, expires); err != nil {
					return err
				}
				if k[0] == tableFresh || k[0] == tableRetrying || k[0] == tableDead {
					moved++
				}
			}
			return nil
		},
		durable: func() { m.q.scheduler.reload(m.to) },
	}
	for _, p := range places {
		op.entries += p.weight()
		op.bytes += 1024 + 256*len(p.keys)
	}
	err := m.q.changePlaces(m.ctx, op)
	m.moved += moved
	return err
}

func (m *move) waiting(b *batch, p placed, value []byte, _ uint64) error {
	w, err := decodeWaiting(value)
	if err != nil {
		return err
	}
	b.leaveLine(m.from, lastSeq(p.key), p.key[0] == tableFresh, &w)
	w.due, w.delay = 0, 0
	b.enterRetrying(m.to, lastSeq(p.key), &w)
	b.handOver(m.from, m.to, w.size)
	return m.keys(b, p.keys, w.id)
}

func (m *move) dead(b *batch, p placed, value []byte, _ uint64) error {
	r, err := decodeSettled(value)
	if err != nil {
		return err
	}
	b.delete(p.key)
	b.tally(m.from).dead--
	b.tally(m.to).dead++
	b.set(deadKey(m.to.number.Load(), r.id), value)
	b.handOver(m.from, m.to, r.size)
	return m.keys(b, p.keys, r.id)
}

func (m *move) kept(b *batch, p placed, value []byte, _ uint64) error {
	r, err := decodeSettled(value)
	if err != nil {
		return err
	}
	b.delete(p.key)
	b.tally(m.from).kept--
	b.keep(m.to, placeOf(p.key), value)
	b.handOver(m.from, m.to, r.size)
	return nil
}

// key moves a key that is left: that of a message which is settled.
func (m *move) key(b *batch, p placed, value []byte, expires uint64) error {
	held, err := decodeKey(value)
	if err != nil {
		return fmt.Errorf("reading a key: %w", err)
	}
	return m.giveKey(b, p.key[5:], keyHolder{keyRecord: held, dropped: int64(expires)})
}

// keys moves those of the keys that the message holds. Its place has moved.
func (m *move) keys(b *batch, keys []queue.Key, id queue.ID) error {
	for _, k := range keys {
		source := dedupeKey(m.from.number.Load(), k)
		value, expires, ok, err := b.getEntry(source)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		held, err := decodeKey(value)
		if err != nil {
			return fmt.Errorf("reading a key: %w", err)
		}
		if held.id != id {
			continue
		}
		if err := m.giveKey(b, source[5:], keyHolder{keyRecord: held, dropped: int64(expires)}); err != nil {
			return err
		}
	}
	return nil
}

// giveKey moves the key that ends so, and decides who has it if the other
// endpoint has it too.
func (m *move) giveKey(b *batch, ends []byte, ours keyHolder) error {
	b.tally(m.to)
	n := m.to.number.Load()
	target := prefix(tableKeys, n).bytes(ends...)
	value, expires, ok, err := b.getEntry(target)
	if err != nil {
		return err
	}
	if ok {
		theirs := keyHolder{dropped: int64(expires)}
		if theirs.keyRecord, err = decodeKey(value); err != nil {
			return fmt.Errorf("reading a key: %w", err)
		}
		for _, h := range []*keyHolder{&ours, &theirs} {
			if h.claim, err = b.claimOf(n, h.keyRecord); err != nil {
				return err
			}
		}
		ours = ours.or(theirs)
	}
	b.delete(prefix(tableKeys, m.from.number.Load()).bytes(ends...))
	b.setUntil(target, ours.encode(), ours.dropped)
	return nil
}

func (b *batch) handOver(from, to *endpoint, size int64) {
	b.tally(from).bytes -= size
	b.tally(to).bytes += size
}

// finish moves the outage, and gives the number up if nothing came meanwhile.
func (m *move) finish() error {
	retired := false
	return m.q.changePlaces(m.ctx, &change{
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
	if e.number.Load() == 0 { // nothing arrived in the same batch
		e.stats = counters{}
	}
	e.line.unload()
	e.line.cursor = e.line.last + 1
}

func (s *scheduler) reload(e *endpoint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.line.reload()
	e.line.changed()
}
