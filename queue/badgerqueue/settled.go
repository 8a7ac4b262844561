// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"context"
	"fmt"
	"iter"

	"github.com/dgraph-io/badger/v4"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// page is how many messages a list reads at once. Between pages the database is
// not in use, so that whoever ranges over a list may take his time.
const page = 16

// DeadLetters implements [queue.Admin].
func (q *Queue) DeadLetters(ctx context.Context, endpoint string, after queue.ID) iter.Seq2[queue.Settled, error] {
	return q.list(ctx, endpoint, func(n uint32) key {
		if after == (queue.ID{}) {
			return prefix(tableDead, n)
		}
		return append(deadKey(n, after), 0) // the first key after it
	})
}

// Kept implements [queue.Admin].
func (q *Queue) Kept(ctx context.Context, endpoint string) iter.Seq2[queue.Settled, error] {
	return q.list(ctx, endpoint, func(n uint32) key { return prefix(tableKept, n) })
}

// DeadLetter implements [queue.Admin].
func (q *Queue) DeadLetter(ctx context.Context, endpoint string, id queue.ID) (queue.Settled, error) {
	if err := q.use(ctx); err != nil {
		return queue.Settled{}, err
	}
	defer q.gate.leave()

	var found queue.Settled
	err := q.viewBlobs(ctx, func(v view) error {
		e := q.scheduler.lookUp(endpoint)
		if e == nil {
			return queue.ErrNotFound
		}
		value, ok, err := get(v.tx, deadKey(e.number.Load(), id))
		if err != nil {
			return err
		}
		if !ok {
			return queue.ErrNotFound
		}
		r, err := decodeSettled(value)
		if err != nil {
			return err
		}
		if r.expired(q.opts.Now()) {
			return queue.ErrNotFound
		}
		found, err = v.settled(&r, endpoint, true)
		return err
	})
	if err != nil {
		return queue.Settled{}, fmt.Errorf("dead letter %s of endpoint %q: %w", id, endpoint, err)
	}
	return found, nil
}

// list yields what is in a table of records from a key on.
func (q *Queue) list(ctx context.Context, endpoint string, from func(number uint32) key) iter.Seq2[queue.Settled, error] {
	return func(yield func(queue.Settled, error) bool) {
		var next key
		for {
			list, more, err := q.listPage(ctx, endpoint, from, next)
			if err != nil {
				yield(queue.Settled{}, err)
				return
			}
			for _, s := range list {
				if !yield(s, nil) {
					return
				}
			}
			if more == nil {
				return
			}
			next = more
		}
	}
}

// listPage returns a page from the key next on, the first if that is nil, and
// the key of the following page.
func (q *Queue) listPage(ctx context.Context, endpoint string, from func(uint32) key, next key) (list []queue.Settled, more key, err error) {
	if err := q.use(ctx); err != nil {
		return nil, nil, err
	}
	defer q.gate.leave()

	e := q.scheduler.lookUp(endpoint)
	if e == nil {
		return nil, nil, nil
	}
	if next == nil {
		next = from(e.number.Load())
	}
	err = q.viewBlobs(ctx, func(v view) error {
		now := q.opts.Now()
		found, rest, err := scanSettled(v.tx, next, page)
		if err != nil {
			return err
		}
		more = rest
		for _, f := range found {
			if f.record.expired(now) {
				continue
			}
			s, err := v.settled(&f.record, endpoint, false)
			if err != nil {
				return err
			}
			list = append(list, s)
		}
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("listing messages of endpoint %q: %w", endpoint, err)
	}
	return list, more, nil
}

// A place is where a record of x or h was found.
type place struct {
	key    key
	record settledRecord
}

// scanSettled reads up to n records of x or h from a key on, those of one
// endpoint, and returns the key after them if there are more.
func scanSettled(tx *badger.Txn, from key, n int) (found []place, more key, err error) {
	it := tx.NewIterator(badger.IteratorOptions{Prefix: from[:5]})
	defer it.Close()
	for it.Seek(from); it.Valid(); it.Next() {
		p := place{key: it.Item().KeyCopy(nil)}
		if len(found) == n {
			return found, p.key, nil
		}
		err := it.Item().Value(func(value []byte) (err error) {
			p.record, err = decodeSettled(value)
			return err
		})
		if err != nil {
			return nil, nil, fmt.Errorf("reading from table %c: %w", from[0], err)
		}
		found = append(found, p)
	}
	return found, nil, nil
}

// settled reads the message of a record. Of one that is damaged there is what can
// be read, at least what its place says.
func (v view) settled(r *settledRecord, endpoint string, whole bool) (queue.Settled, error) {
	m, err := v.readMessage(&r.located, whole)
	damaged := isBroken(err)
	if damaged && whole {
		m, err = v.readMessage(&r.located, false) // it may be in the body
	}
	switch {
	case isBroken(err):
		m = &messageRecord{message: &queue.Message{ID: r.id, ReceivedAt: r.receivedAt}}
	case err != nil:
		return queue.Settled{}, err
	}
	m.message.Endpoint = endpoint
	if !whole {
		m.message.Request.Header, m.message.Request.Body = nil, nil
	}
	return queue.Settled{Message: m.message, Damaged: damaged, History: r.history, Reason: r.reason, At: r.at, Until: r.until}, nil
}
