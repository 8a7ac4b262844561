// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/dgraph-io/badger/v4"

	"github.com/caddy-webhook-inbox/inbox/queue/badgerqueue/journal"
)

// wanted counts how many bytes of each segment of the journal are wanted. A
// segment is dropped when nothing of it is. The committer counts.
type wanted struct {
	mu     sync.Mutex
	bytes  map[uint32]int64
	lost   map[uint32]int64 // of segments that were not there at the start
	newest uint32           // segment that the tables knew of at the start
	pinned map[uint32]int   // parts of bodies whose messages are still to come

	left   map[uint32]bool        // segments that blobs were moved out of, ever
	stuck  map[uint32]bool        // those that have a damaged blob; of who moves
	erased map[journal.Place]bool // since blobs are being moved; else nil
}

func newWanted() *wanted {
	return &wanted{
		bytes:  make(map[uint32]int64),
		lost:   make(map[uint32]int64),
		pinned: make(map[uint32]int),
		left:   make(map[uint32]bool),
		stuck:  make(map[uint32]bool),
	}
}

// change counts a blob as wanted, or no longer.
func (w *wanted) change(p journal.Place, sign int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	counts := w.bytes
	if _, lost := w.lost[p.Segment]; lost {
		counts = w.lost
	}
	counts[p.Segment] += sign * int64(p.Length)
	if counts[p.Segment] == 0 {
		delete(counts, p.Segment)
	}
}

func (w *wanted) of(segment uint32) int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.bytes[segment]
}

func (w *wanted) total() (sum int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range w.bytes {
		sum += n
	}
	return sum
}

func (w *wanted) pin(places []journal.Place, sign int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range places {
		w.pinned[p.Segment] += sign
		if w.pinned[p.Segment] == 0 {
			delete(w.pinned, p.Segment)
		}
	}
}

// unwanted returns those of the segments that nothing is wanted of.
func (w *wanted) unwanted(segments []uint32) (free []uint32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range segments {
		if w.bytes[s] == 0 && w.pinned[s] == 0 {
			free = append(free, s)
		}
	}
	return free
}

// hasLost reports whether the blob of a place is counted among the lost ones.
func (w *wanted) hasLost(p journal.Place) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lost[p.Segment] >= int64(p.Length)
}

// noted returns how many bytes are wanted of a segment, lost or not.
func (w *wanted) noted(segment uint32) int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.bytes[segment] + w.lost[segment]
}

// read restores the counts. What is wanted of segments that are not there is lost.
func (w *wanted) read(tx *badger.Txn, there func(segment uint32) bool) error {
	it := tx.NewIterator(badger.IteratorOptions{Prefix: newKey(tableSegments), PrefetchValues: true, PrefetchSize: 100})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		value, err := it.Item().ValueCopy(nil)
		if err != nil || len(value) != 8 {
			return fmt.Errorf("reading from table %c: %w", tableSegments, errMalformed)
		}
		segment, n := endpointOf(it.Item().Key()), int64(binary.BigEndian.Uint64(value))
		w.newest = max(w.newest, segment)
		if there(segment) {
			w.bytes[segment] = n
		} else {
			w.lost[segment] = n
		}
	}
	return w.readLeft(tx)
}

// readLeft finds the segments that blobs were moved out of.
func (w *wanted) readLeft(tx *badger.Txn) error {
	it := tx.NewIterator(badger.IteratorOptions{Prefix: newKey(tableMoved)})
	defer it.Close()
	for it.Rewind(); it.Valid(); {
		segment := endpointOf(it.Item().Key())
		w.left[segment] = true
		w.newest = max(w.newest, segment)
		it.Seek(prefix(tableMoved, segment+1))
	}
	return nil
}

// blob writes a blob that is wanted from now on.
func (b *batch) blob(data []byte) journal.Place {
	p := b.frame.Blob(data)
	b.want(p, +1)
	b.bytes += int64(len(data))
	return p
}

func (b *batch) want(p journal.Place, sign int64) {
	b.q.wanted.change(p, sign)
	b.segments[p.Segment] = struct{}{}
}

// unwant gives up the blobs of a message.
func (b *batch) unwant(l *located) {
	b.unwantBlob(l.record)
	for _, p := range l.body {
		b.unwantBlob(p)
	}
}

func (b *batch) unwantBlob(p journal.Place) {
	w := b.q.wanted
	if w.erase(p) || !b.q.journal.Has(p.Segment) {
		current, moved, err := movedTo(b, p)
		b.note(err)
		if moved {
			b.delete(movedKey(p))
			p = current
		}
	}
	if !b.q.journal.Has(p.Segment) && !w.hasLost(p) {
		return // it was lost, and nobody counts it
	}
	b.want(p, -1)
}

// erase reports whether the blob of a place may have been moved, and keeps in
// mind that it must not be any more.
func (w *wanted) erase(p journal.Place) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.erased != nil {
		w.erased[p] = true
	}
	return w.left[p.Segment]
}

// noteSegments writes the counts that the batch changed.
func (b *batch) noteSegments() {
	for s := range b.segments {
		n := b.q.wanted.noted(s)
		if n == 0 {
			b.delete(segmentKey(s))
			continue
		}
		b.set(segmentKey(s), binary.BigEndian.AppendUint64(nil, uint64(n)))
	}
}
