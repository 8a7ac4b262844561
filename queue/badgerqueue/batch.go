// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"errors"
	"fmt"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/caddy-webhook-inbox/inbox/queue/badgerqueue/journal"
)

// An operation is a change of the queue. The committer calls its methods, one
// operation after the other.
type operation interface {
	// cost bounds what apply writes, in entries and bytes.
	cost() (entries, bytes int)

	// apply reads what it needs from the batch, which has all that was applied
	// before, and writes to it. If it returns an error, it changed nothing.
	apply(b *batch) error

	// done is called once, without an error when the batch is durable and can be
	// seen, in the order of the operations.
	done(err error)
}

// An answerable operation is told before that it is durable, or why it was
// refused. If the batch failed, only done is called.
type answerable interface {
	answer(err error)
}

// A batch is what several operations change: a frame of the journal, which makes
// it durable, and a transaction of the database, which makes it visible. It also
// carries the counters of the endpoints that they touch.
type batch struct {
	q     *Queue
	tx    *badger.Txn
	frame *journal.Frame
	epoch journal.Epoch
	now   time.Time

	entries  int
	bytes    int64
	messages int
	always   bool                // it is committed, even without a change
	segments map[uint32]struct{} // whose counts it changed
	touched  []*endpoint
	evictor  *evictor
	keeps    map[*endpoint]duePlace // the first places in h that the batch filled

	// err is the first failed write. The batch is lost with it, so that callers
	// need not ask.
	err error
}

// newBatch begins a batch that writes about so many bytes. If there is no room
// for them, it returns journal.ErrNoSpace, and nothing has happened.
func (q *Queue) newBatch(bytes int) (*batch, error) {
	frame, err := q.journal.Begin(bytes)
	if err != nil {
		return nil, err
	}
	return &batch{
		q:        q,
		tx:       q.db.NewTransaction(true),
		frame:    frame,
		epoch:    q.journal.Enter(),
		now:      q.opts.Now(),
		segments: make(map[uint32]struct{}, 4),
	}, nil
}

func (b *batch) view() view { return view{b.tx, b.epoch} }

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
	b.noteSet(e)
	b.note(b.tx.SetEntry(e))
}

func (b *batch) delete(k key) {
	b.entries++
	b.bytes += int64(len(k))
	b.noteDelete(k)
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

// force makes the batch one that is committed, even without a change.
func (b *batch) force() error {
	b.always = true
	return nil
}

// finish completes the batch and makes it durable. A batch without any change,
// such as one of duplicates, needs no commit: what it read is durable.
func (b *batch) finish() error {
	if b.empty() {
		return nil
	}
	b.q.scheduler.marks(b.touched)
	for _, e := range b.touched {
		e.touched = false
		b.set(countersKey(e.number.Load()), e.tally.encode())
	}
	b.noteSegments()
	b.q.state.commits++
	b.set(stateKey(), b.q.state.encode())
	if b.err != nil {
		return b.err
	}
	if err := b.q.opts.commit(b); err != nil {
		return fmt.Errorf("committing: %w", err)
	}
	return nil
}

func (b *batch) empty() bool {
	return b.entries == 0 && len(b.touched) == 0 && len(b.segments) == 0 && !b.always
}

// commit writes the frame. After it, the batch survives a crash.
func (b *batch) commit() error {
	return b.q.journal.Commit(b.frame, b.q.state.commits, b.q.checkpointer.begin())
}

// show makes the batch visible. It is called once the batch is durable.
func (b *batch) show() error {
	if b.empty() {
		return nil
	}
	if err := b.tx.Commit(); err != nil {
		return fmt.Errorf("writing to the database: %w", err)
	}
	b.q.checkpointer.advance(b.q.journal.Tail(), int64(b.frame.Size()))
	return nil
}

func (b *batch) close() {
	if b.evictor != nil {
		b.evictor.close()
	}
	b.tx.Discard()
	b.epoch.Leave()
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
