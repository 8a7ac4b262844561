// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"context"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"
	"go.uber.org/zap"

	"github.com/caddy-webhook-inbox/inbox/queue/badgerqueue/journal"
)

// A segment of the journal is dropped when nothing of it is wanted. Where most
// messages are delivered at once and a few stay, such as dead letters, that may
// take long; so these few are moved out of the way. Their places stay the same:
// the table of what was moved says where they are.

const (
	// worthMoving is how much of the journal nobody wants before anything is
	// moved.
	worthMoving = 64 << 20

	// movedAtOnce is how many bytes one batch moves.
	movedAtOnce = 1 << 20
)

// relocate moves what is wanted out of segments that hold less of it than of
// what is not, if there is much of that.
func (q *Queue) relocate(ctx context.Context) error {
	segments := q.sparse()
	if len(segments) == 0 {
		return nil
	}
	q.wanted.watchErased(true)
	defer q.wanted.watchErased(false)
	var batch []moving
	bytes, moved := 0, 0
	flush := func() error {
		moved += len(batch)
		err := q.moveBlobs(ctx, batch)
		batch, bytes = nil, 0
		return err
	}
	_, err := q.eachBlob(func(place, current journal.Place) error {
		if !segments[current.Segment] {
			return nil
		}
		batch = append(batch, moving{place: place, from: current})
		if bytes += int(current.Length); bytes < movedAtOnce {
			return nil
		}
		return flush()
	})
	if err == nil {
		err = flush()
	}
	if err != nil {
		return fmt.Errorf("moving messages out of sparse segments: %w", err)
	}
	q.log.Info("moved messages out of segments that hold little else", zap.Int("segments", len(segments)), zap.Int("messages", moved))
	return nil
}

// sparse returns the segments that it is worth moving the rest out of.
func (q *Queue) sparse() map[uint32]bool {
	size, total := q.journal.Sizes(), int64(0)
	from := q.checkpointer.begin()
	for _, n := range size {
		total += n
	}
	wanted := q.wanted.total()
	if total-wanted < max(worthMoving, total/3) {
		return nil
	}
	sparse := make(map[uint32]bool)
	for segment, n := range size {
		if w := q.wanted.of(segment); segment < from.Segment && w > 0 && w < n/2 {
			sparse[segment] = true
		}
	}
	return sparse
}

// watchErased says whether to keep in mind what is erased.
func (w *wanted) watchErased(watch bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.erased = nil
	if watch {
		w.erased = make(map[journal.Place]bool)
	}
}

// A moving is a blob to be moved.
type moving struct {
	place journal.Place // that the tables know it by
	from  journal.Place // where it is
	blob  []byte
}

// moveBlobs moves blobs to the end of the journal. Those that are damaged stay.
func (q *Queue) moveBlobs(ctx context.Context, all []moving) error {
	if len(all) == 0 {
		return nil
	}
	epoch := q.journal.Enter()
	defer epoch.Leave()
	op := &change{}
	for i := range all {
		m := &all[i]
		var err error
		if m.blob, err = epoch.Read(m.from); errors.Is(err, journal.ErrDamaged) || errors.Is(err, journal.ErrMissing) {
			continue // it is found out when it is handed out
		} else if err != nil {
			return err
		}
		op.entries += 2
		op.bytes += len(m.blob) + 64
	}
	op.write = func(b *batch) error {
		for _, m := range all {
			if m.blob == nil || !b.q.wanted.moves(m.place) {
				continue
			}
			b.want(m.from, -1)
			b.set(movedKey(m.place), encodeMoved(b.blob(m.blob)))
		}
		return nil
	}
	return q.change(ctx, op)
}

// moves reports whether the blob of a place is still there to be moved, and
// notes that it was.
func (w *wanted) moves(p journal.Place) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.erased[p] {
		return false
	}
	w.left[p.Segment] = true
	return true
}

// eachBlob calls fn with the place of every blob that the tables refer to, and
// where it is now. It returns how many messages there are.
func (q *Queue) eachBlob(fn func(place, current journal.Place) error) (messages int, err error) {
	for _, table := range []byte{tableFresh, tableRetrying, tableKept, tableDead} {
		for from := newKey(table); from != nil; {
			var page []located
			if page, from, err = q.scanLocated(from); err != nil {
				return messages, err
			}
			messages += len(page)
			for i := range page {
				if err := q.eachBlobOf(&page[i], fn); err != nil {
					return messages, err
				}
			}
		}
	}
	return messages, nil
}

func (q *Queue) eachBlobOf(l *located, fn func(place, current journal.Place) error) error {
	for i := -1; i < len(l.body); i++ {
		place := l.record
		if i >= 0 {
			place = l.body[i]
		}
		current := place
		err := q.view(func(tx *badger.Txn) error {
			to, moved, err := movedTo(txGetter{tx}, place)
			if moved {
				current = to
			}
			return err
		})
		if err != nil {
			return err
		}
		if err := fn(place, current); err != nil {
			return err
		}
	}
	return nil
}

// scanLocated reads some records of a table from a key on, and returns the key
// after them if there are more.
func (q *Queue) scanLocated(from key) (page []located, more key, err error) {
	const size = 1000
	err = q.view(func(tx *badger.Txn) error {
		it := tx.NewIterator(badger.IteratorOptions{Prefix: from[:1]})
		defer it.Close()
		for it.Seek(from); it.Valid(); it.Next() {
			if len(page) == size {
				more = it.Item().KeyCopy(nil)
				return nil
			}
			var l located
			err := it.Item().Value(func(value []byte) error {
				d := readRecord(value)
				for d.next() {
					d.located(&l)
				}
				return d.err
			})
			if err != nil {
				return fmt.Errorf("reading from table %c: %w", from[0], err)
			}
			page = append(page, l)
		}
		return nil
	})
	return page, more, err
}
