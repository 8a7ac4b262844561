// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"errors"
	"fmt"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// An operation is a change of the queue. The committer calls its methods, one
// operation after the other.
type operation interface {
	// cost bounds what apply writes, in entries and bytes.
	cost() (entries, bytes int)

	// apply reads what it needs from the batch, which has all that was applied
	// before, and writes to it. If it returns an error, it changed nothing.
	apply(b *batch) error

	// done is called once, without an error when the batch is durable, in the
	// order of the operations.
	done(err error)
}

// A batch is a transaction that several operations share. It also carries the
// counters of the endpoints that they touch.
type batch struct {
	q   *Queue
	tx  *badger.Txn
	now time.Time

	entries  int
	bytes    int64
	messages int
	touched  []*endpoint
	evictor  *evictor
	keeps    map[*endpoint]duePlace // the first places in h that the batch filled

	// err is the first failed write. The batch is lost with it, so that callers
	// need not ask.
	err error
}

func (q *Queue) newBatch() *batch {
	return &batch{q: q, tx: q.db.NewTransaction(true), now: q.opts.Now()}
}

// get returns a value that the caller may keep; ok says whether there is one.
func (b *batch) get(k key) (value []byte, ok bool, err error) { return get(b.tx, k) }

// has reports whether there is such a key.
func (b *batch) has(k key) (bool, error) {
	_, err := b.tx.Get(k)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading from table %c: %w", k[0], err)
	}
	return true, nil
}

func (b *batch) set(k key, value []byte) { b.write(badger.NewEntry(k, value)) }

// setUntil sets a key that Badger drops some time after the given one.
func (b *batch) setUntil(k key, value []byte, unix int64) {
	e := badger.NewEntry(k, value)
	e.ExpiresAt = uint64(unix)
	b.write(e)
}

func (b *batch) write(e *badger.Entry) {
	b.entries++
	b.bytes += int64(len(e.Key) + len(e.Value))
	b.note(b.tx.SetEntry(e))
}

func (b *batch) delete(k key) {
	b.entries++
	b.bytes += int64(len(k))
	b.note(b.tx.Delete(k))
}

func (b *batch) note(err error) {
	if b.err == nil && err != nil {
		b.err = fmt.Errorf("writing to the transaction: %w", err)
	}
}

// nextSeq returns a number that was never used.
func (b *batch) nextSeq() uint64 {
	seq := b.q.state.seq
	b.q.state.seq++
	return seq
}

// tally returns the counters of e for changes, which this batch will write.
// An endpoint that is new gets a number.
func (b *batch) tally(e *endpoint) *counters {
	if !e.touched {
		e.touched = true
		b.touched = append(b.touched, e)
	}
	if e.number.Load() == 0 {
		n := b.q.state.endpoint
		b.q.state.endpoint++
		e.number.Store(n)
		b.set(nameKey(e.name), newKey(tableNames).number(n)[1:])
	}
	return &e.tally
}

// account changes how much room the endpoint takes.
func (b *batch) account(e *endpoint, bytes int64) {
	b.tally(e).bytes += bytes
	b.q.state.total += bytes
}

// finish writes the counters and the state, and commits. A batch without any
// change, such as one of duplicates, needs no commit: what it read is durable.
func (b *batch) finish() error {
	if b.entries == 0 && len(b.touched) == 0 {
		return nil
	}
	b.q.scheduler.marks(b.touched)
	for _, e := range b.touched {
		e.touched = false
		b.set(countersKey(e.number.Load()), e.tally.encode())
	}
	b.q.state.commits++
	b.set(stateKey(), b.q.state.encode())
	if b.err != nil {
		return b.err
	}
	if err := b.q.opts.commit(b.tx); err != nil {
		return fmt.Errorf("committing: %w", err)
	}
	return nil
}

func (b *batch) close() {
	if b.evictor != nil {
		b.evictor.close()
	}
	b.tx.Discard()
}

// get reads a value from a transaction.
func get(tx *badger.Txn, k key) (value []byte, ok bool, err error) {
	item, err := tx.Get(k)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, false, nil
	}
	if err == nil {
		value, err = item.ValueCopy(nil)
	}
	if err != nil {
		return nil, false, fmt.Errorf("reading from table %c: %w", k[0], err)
	}
	return value, true, nil
}
