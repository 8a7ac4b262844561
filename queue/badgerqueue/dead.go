// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"context"
	"fmt"

	"github.com/dgraph-io/badger/v4"
	"go.uber.org/zap"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// Redrive implements [queue.Admin].
func (q *Queue) Redrive(ctx context.Context, endpoint string, id queue.ID) error {
	return q.changeDead(ctx, endpoint, id, q.redrive)
}

// RedriveAll implements [queue.Admin].
func (q *Queue) RedriveAll(ctx context.Context, endpoint string) (int, error) {
	return q.changeAllDead(ctx, endpoint, q.redrive)
}

// Discard implements [queue.Admin].
func (q *Queue) Discard(ctx context.Context, endpoint string, id queue.ID) error {
	return q.changeDead(ctx, endpoint, id, q.discard)
}

// DiscardAll implements [queue.Admin].
func (q *Queue) DiscardAll(ctx context.Context, endpoint string) (int, error) {
	return q.changeAllDead(ctx, endpoint, q.discard)
}

// A deadChange does something to those of the ids that are dead letters of e,
// and counts them.
type deadChange func(e *endpoint, ids []queue.ID, count *int) *change

func (q *Queue) changeDead(ctx context.Context, endpoint string, id queue.ID, do deadChange) error {
	if err := q.use(ctx); err != nil {
		return err
	}
	defer q.gate.leave()

	var count int
	err := queue.ErrNotFound
	if e := q.scheduler.lookUp(endpoint); e != nil {
		err = q.change(ctx, do(e, []queue.ID{id}, &count))
		if err == nil && count == 0 {
			err = queue.ErrNotFound
		}
	}
	if err != nil {
		return fmt.Errorf("dead letter %s of endpoint %q: %w", id, endpoint, err)
	}
	return nil
}

func (q *Queue) changeAllDead(ctx context.Context, endpoint string, do deadChange) (int, error) {
	if err := q.use(ctx); err != nil {
		return 0, err
	}
	defer q.gate.leave()

	e := q.scheduler.lookUp(endpoint)
	if e == nil {
		return 0, nil
	}
	var all int
	for from := prefix(tableDead, e.number.Load()); from != nil; {
		var ids []queue.ID
		var err error
		if ids, from, err = q.deadIDs(ctx, from); err != nil {
			return all, fmt.Errorf("dead letters of endpoint %q: %w", endpoint, err)
		}
		var count int
		if err := q.change(ctx, do(e, ids, &count)); err != nil {
			return all, fmt.Errorf("dead letters of endpoint %q: %w", endpoint, err)
		}
		all += count
	}
	return all, nil
}

// deadIDs returns some ids of dead letters from a key on, and where the next
// begin.
func (q *Queue) deadIDs(ctx context.Context, from key) (ids []queue.ID, more key, err error) {
	err = q.view(ctx, func(tx *badger.Txn) error {
		found, rest, err := scanSettled(tx, from, page)
		more = rest
		for _, f := range found {
			ids = append(ids, f.record.id)
		}
		return err
	})
	return ids, more, err
}

// redrive makes dead letters ready. They are fresh again: at the end of the
// line, each with a new place that leads to the old record.
func (q *Queue) redrive(e *endpoint, ids []queue.ID, count *int) *change {
	var last uint64
	return &change{
		entries: len(ids) * 12,
		bytes:   len(ids) * 2048,
		write: func(b *batch) error {
			dead, err := b.readDead(e, ids, false)
			if err != nil {
				return err
			}
			for i := range dead {
				if last, err = b.redrive(e, &dead[i]); err != nil {
					return err
				}
			}
			*count = len(dead)
			return nil
		},
		durable: func() { q.scheduler.arrivedOnDisk(e, last) },
	}
}

func (b *batch) redrive(e *endpoint, d *deadRecord) (seq uint64, err error) {
	n := e.number.Load()
	seq = b.nextSeq()
	w := waitingRecord{located: d.located}
	var keys []queue.Key
	for _, k := range d.keys {
		mine, err := b.mayTake(n, k, d.id)
		if err != nil {
			return 0, err
		}
		if mine {
			keys = append(keys, k)
		}
	}
	w.keysUntil = b.recordKeys(n, keys, seq, d.id)
	tally := b.tally(e)
	tally.dead--
	tally.waiting++
	b.delete(deadKey(n, d.id))
	b.set(freshKey(n, seq), w.encode())
	return seq, nil
}

// mayTake reports whether no other message holds the key.
func (b *batch) mayTake(n uint32, k queue.Key, id queue.ID) (bool, error) {
	held, ok, err := b.holder(n, k)
	if err != nil || !ok || held.id == id {
		return err == nil, err
	}
	known, err := b.inWindow(n, held)
	return !known && err == nil, err
}

// discard erases dead letters.
func (q *Queue) discard(e *endpoint, ids []queue.ID, count *int) *change {
	return q.eraseDead(e, ids, false, count)
}

// eraseDead erases those of the dead letters that are expired, or are not.
func (q *Queue) eraseDead(e *endpoint, ids []queue.ID, expired bool, count *int) *change {
	return &change{
		entries: len(ids) * 8,
		bytes:   len(ids) * 512,
		write: func(b *batch) error {
			dead, err := b.readDead(e, ids, expired)
			if err != nil {
				return err
			}
			for i := range dead {
				b.discard(e, &dead[i])
			}
			*count = len(dead)
			return nil
		},
	}
}

// discard erases a dead letter and frees those of its keys that it holds.
func (b *batch) discard(e *endpoint, d *deadRecord) {
	n := e.number.Load()
	for _, k := range d.held {
		b.delete(dedupeKey(n, k))
	}
	b.tally(e).dead--
	b.delete(deadKey(n, d.id))
	b.erase(e, &d.located)
}

// A deadRecord is a dead letter with its keys.
type deadRecord struct {
	settledRecord
	keys []queue.Key
	held []queue.Key // those that it holds
}

// readDead reads those of the dead letters that there are, and are expired or
// are not.
func (b *batch) readDead(e *endpoint, ids []queue.ID, expired bool) (dead []deadRecord, err error) {
	n := e.number.Load()
	for _, id := range ids {
		r, ok, err := b.deadLetter(n, id)
		if err != nil {
			return nil, err
		}
		if !ok || r.expired(b.now) != expired {
			continue
		}
		d := deadRecord{settledRecord: r}
		if err := b.readKeys(n, &d); err != nil {
			return nil, err
		}
		dead = append(dead, d)
	}
	return dead, nil
}

// readKeys reads the keys of a dead letter. If its message cannot be read, it
// has none: they are left to expire.
func (b *batch) readKeys(n uint32, d *deadRecord) error {
	m, err := b.view().readMessage(&d.located, false)
	if isBroken(err) {
		b.q.log.Warn("the keys of a damaged message are left to expire", zap.Stringer("id", d.id), zap.Error(err))
		return nil
	}
	if err != nil {
		return err
	}
	d.keys = m.keys
	for _, k := range m.keys {
		held, ok, err := b.holder(n, k)
		if err != nil {
			return err
		}
		if ok && held.id == d.id {
			d.held = append(d.held, k)
		}
	}
	return nil
}
