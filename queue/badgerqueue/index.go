// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/caddy-webhook-inbox/inbox/queue/badgerqueue/journal"
)

// An index is the database with what is still to be written to it. The changes
// of a batch are durable in the journal, so there is no hurry: they gather in a
// layer in memory, which is written as one transaction when it is large, or when
// somebody wants to look at the tables. What is stored and erased in one layer,
// such as the place in line of a message that is delivered at once, is never
// written at all.
//
//	batch ─▶ pending ─▶ writing ─▶ Badger
type index struct {
	q    *Queue
	keys *filter

	mu      sync.Mutex
	changed sync.Cond
	pending layer
	writing layer            // empty while nothing is
	end     journal.Position // of the frames that were added
	added   uint64           // batches so far
	written uint64           // those of them that are in the database
	asked   uint64           // somebody waits for so many
	full    bool             // the disk, when it was last tried
	closing bool
	err     error

	running sync.WaitGroup
}

// A layer is changes, by their keys.
type layer struct {
	entries map[string]entry
	bytes   int // of keys and values
	keys    int // of keys
}

// An entry is what becomes of a key.
type entry struct {
	value   []byte
	expires uint64
	deleted bool
	first   bool // the database never had the key
}

// layerSize is how many entries are written at once, about. More would be held
// up by one transaction, fewer would not meet those that undo them.
const layerSize = 2048

func newIndex(q *Queue) *index {
	x := &index{q: q, keys: newFilter()}
	x.changed.L = &x.mu
	return x
}

func (x *index) start() {
	x.running.Go(x.run)
	x.running.Go(x.loadKeys)
}

// close writes what is pending, and returns when nothing runs any more.
func (x *index) close() {
	x.mu.Lock()
	x.closing = true
	x.asked = x.added
	x.changed.Broadcast()
	x.mu.Unlock()
	x.running.Wait()
}

// add takes over the entries of a batch that is durable; end is where its frame
// ends. It waits while there is too much to be written already, but not until a full
// disk has room: as long as that isFull, no further batch comes. Nor does one to a
// queue that failed.
func (x *index) add(entries map[string]entry, end journal.Position) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for x.err == nil && x.q.Err() == nil && x.crowded() && !(x.full && x.fits(entries)) {
		x.changed.Wait()
	}
	x.pending.merge(entries)
	x.end = end
	x.added++
	if x.due() {
		x.changed.Broadcast()
	}
}

// crowded reports whether what is pending fills half a batch.
func (x *index) crowded() bool {
	return len(x.pending.entries) > x.q.limits.entries/2 || x.pending.bytes > x.q.limits.bytes/2
}

// fits reports whether a transaction can hold what is pending and these.
func (x *index) fits(entries map[string]entry) bool {
	bytes := x.pending.bytes
	for k, e := range entries {
		bytes += len(k) + len(e.value)
	}
	return len(x.pending.entries)+len(entries) <= 2*x.q.limits.entries && bytes <= x.q.limits.bytes*3/2
}

// isFull reports whether the disk was full when it was last tried.
func (x *index) isFull() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.full
}

func (l *layer) merge(entries map[string]entry) {
	if len(l.entries) == 0 {
		l.entries = make(map[string]entry, max(layerSize, len(entries)))
	}
	for k, e := range entries {
		before, there := l.entries[k]
		if there {
			l.bytes -= len(k) + len(before.value)
			l.keys -= len(k)
			e.first = e.first || before.first
		}
		if e.deleted && e.first {
			delete(l.entries, k)
			continue
		}
		l.bytes += len(k) + len(e.value)
		l.keys += len(k)
		l.entries[k] = e
	}
}

// due reports whether pending should be written.
func (x *index) due() bool {
	return x.asked > x.written ||
		len(x.pending.entries) >= min(layerSize, x.q.limits.entries/4) || x.pending.bytes >= x.q.limits.bytes/4
}

// run writes layers until close. To a full disk it writes nothing: the journal has
// it all.
func (x *index) run() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for {
		for !x.due() && !x.closing {
			x.changed.Wait()
		}
		if x.err != nil || x.closing && x.added == x.written {
			return
		}
		if !x.hasRoom() {
			if x.closing {
				return
			}
			x.awaitRoom()
			continue
		}
		x.writing, x.pending = x.pending, layer{}
		upTo, end := x.added, x.end
		x.mu.Unlock()
		err := x.write(x.writing)
		x.mu.Lock()
		if x.err = err; err == nil {
			x.writing = layer{} // else it is nowhere but here
			x.q.checkpointer.advance(end)
		}
		x.written = upTo
		x.changed.Broadcast()
	}
}

// hasRoom looks at the disk. Badger writes to a memory map, and would be killed by
// a signal if there is no room for that.
func (x *index) hasRoom() bool {
	x.mu.Unlock()
	ok := x.q.space.mayWrite()
	x.mu.Lock()
	return ok
}

// awaitRoom tells those who wait that the disk is full, and returns when it is time
// to look again: somebody asks, or a second has passed.
func (x *index) awaitRoom() {
	x.full = true
	x.changed.Broadcast()
	again := time.AfterFunc(time.Second, func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.full = false
		x.changed.Broadcast()
	})
	defer again.Stop()
	for x.full && !x.closing {
		x.changed.Wait()
	}
}

func (x *index) write(l layer) error {
	tx := x.q.db.NewTransaction(true)
	defer tx.Discard()
	keys := make([]byte, 0, l.keys) // one allocation for all
	for k, e := range l.entries {
		at := len(keys)
		keys = append(keys, k...)
		var err error
		if key := keys[at:len(keys):len(keys)]; e.deleted {
			err = tx.Delete(key)
		} else {
			b := badger.NewEntry(key, e.value)
			b.ExpiresAt = e.expires
			err = tx.SetEntry(b)
		}
		if err != nil {
			return x.q.poison(fmt.Errorf("writing to the database: %w", err))
		}
	}
	return x.q.writer.commit(tx)
}

// flush returns when everything that was added is in the database, errDiskLow if the
// disk is full, or why the queue failed.
func (x *index) flush(ctx context.Context) error { return x.await(ctx, false) }

// flushSurely is flush that waits until there is room, however long that takes.
func (x *index) flushSurely() error { return x.await(context.Background(), true) }

func (x *index) await(ctx context.Context, room bool) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	upTo := x.ask()
	if x.written < upTo {
		defer context.AfterFunc(ctx, x.lookAgain)()
	}
	for ; x.written < upTo && x.err == nil; x.changed.Wait() {
		if err := cmp.Or(x.q.Err(), ctx.Err()); err != nil {
			return err
		}
		if x.full && !room {
			return errDiskLow
		}
	}
	return x.err
}

// lookAgain wakes who waits: the queue failed, and what they wait for may never be
// written, or one of them gives up.
func (x *index) lookAgain() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.changed.Broadcast()
}

// ask asks for all that was added to be written, and returns how much that is.
func (x *index) ask() (upTo uint64) {
	if x.written < x.added {
		x.asked, x.full = x.added, false
		x.changed.Broadcast()
	}
	return x.added
}

// get returns what a key has, and when Badger drops it.
func (x *index) get(k key) (value []byte, expires uint64, ok bool, err error) {
	x.mu.Lock()
	for _, l := range []layer{x.pending, x.writing} {
		if e, there := l.entries[string(k)]; there {
			x.mu.Unlock()
			return e.value, e.expires, !e.deleted, nil
		}
	}
	x.mu.Unlock()
	// What was in a layer until now is in the database.
	defer x.q.rescue(&err)
	tx := x.q.db.NewTransaction(false)
	defer tx.Discard()
	return getEntry(tx, k)
}

// getEntry reads a key from a transaction.
func getEntry(tx *badger.Txn, k key) (value []byte, expires uint64, ok bool, err error) {
	item, err := tx.Get(k)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, 0, false, nil
	}
	if err == nil {
		value, err = item.ValueCopy(nil)
	}
	if err != nil {
		return nil, 0, false, fmt.Errorf("reading from table %c: %w", k[0], err)
	}
	return value, item.ExpiresAt(), true, nil
}
