// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
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
	// before, and writes to it. If it returns an error, it changed nothing, but for
	// messages that are kept: it may have erased some to make room.
	apply(b *batch) error

	// done is called once, unless the operation is withdrawn: without an error when
	// the batch is durable and can be seen, in the order of the operations.
	done(err error)
}

// A batch is what several operations change: a frame of the journal, which makes
// it durable, and entries of the index, which make it visible. It also carries
// the counters of the endpoints that they touch.
type batch struct {
	q     *Queue
	frame *journal.Frame
	index map[string]entry
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

// newBatch begins a batch of so many operations that writes about so many bytes.
// If it fails, nothing has happened, and it can be tried again.
func (q *Queue) newBatch(operations, bytes int) (*batch, error) {
	frame, err := q.journal.Begin(bytes)
	if err != nil {
		return nil, err
	}
	return &batch{
		q:        q,
		frame:    frame,
		index:    make(map[string]entry, 3*operations+4),
		epoch:    q.journal.Enter(),
		now:      q.opts.Now(),
		segments: make(map[uint32]struct{}, 4),
	}, nil
}

func (b *batch) view() view { return view{committed{b.q.index}, nil, b.epoch} }

// get returns a value that the caller may keep; ok says whether there is one.
func (b *batch) get(k key) (value []byte, ok bool, err error) {
	value, _, ok, err = b.getEntry(k)
	return value, ok, err
}

// getEntry says too when Badger drops the key.
func (b *batch) getEntry(k key) (value []byte, expires uint64, ok bool, err error) {
	if e, there := b.index[string(k)]; there {
		return e.value, e.expires, !e.deleted, nil
	}
	return b.q.index.get(k)
}

// has reports whether there is such a key.
func (b *batch) has(k key) (bool, error) {
	_, ok, err := b.get(k)
	return ok, err
}

func (b *batch) set(k key, value []byte) { b.write(k, entry{value: value}) }

// setFirst is set for a key that there never was before.
func (b *batch) setFirst(k key, value []byte) { b.write(k, entry{value: value, first: true}) }

// setUntil sets a key that Badger drops some time after the given one.
func (b *batch) setUntil(k key, value []byte, unix int64) {
	b.write(k, entry{value: value, expires: uint64(unix)})
}

func (b *batch) write(k key, e entry) {
	b.entries++
	b.bytes += int64(len(k) + len(e.value))
	b.noteSet(k, e)
	if k[0] == tableKeys {
		b.q.index.keys.add(k)
	}
	if before, there := b.index[string(k)]; there {
		e.first = before.first
	}
	b.index[string(k)] = e
}

func (b *batch) delete(k key) {
	b.entries++
	b.bytes += int64(len(k))
	b.noteDelete(k)
	b.index[string(k)] = entry{deleted: true, first: b.index[string(k)].first}
}

func (b *batch) note(err error) {
	if b.err == nil && err != nil {
		b.err = err
	}
}

// newRecord is newRecord in memory that many records share.
func (b *batch) newRecord(size int) encoder {
	const chunk = 16 << 10
	memory := &b.q.committer.records
	if len(*memory) <= size {
		*memory = make([]byte, max(chunk, size+1))
	}
	e := append((*memory)[:0:size+1], recordVersion)
	*memory = (*memory)[size+1:]
	return e
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
func (b *batch) show() {
	if !b.empty() {
		end := b.q.journal.Tail()
		b.q.index.add(b.index, end)
		b.q.checkpointer.committed(end, int64(b.frame.Size()))
	}
}

func (b *batch) close() {
	if b.evictor != nil {
		b.evictor.close()
	}
	b.epoch.Leave()
}

// get reads a value from a transaction.
func get(tx *badger.Txn, k key) (value []byte, ok bool, err error) {
	value, _, ok, err = getEntry(tx, k)
	return value, ok, err
}
