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

// movedAtOnce is how many bytes one batch moves.
const movedAtOnce = 1 << 20

// relocate moves what is wanted out of segments that hold less of it than of
// what is not, if there is a segment's worth of that.
func (q *Queue) relocate(ctx context.Context) error {
	segments := q.sparse()
	if len(segments) == 0 {
		return nil
	}
	q.wanted.watchErased(true)
	defer q.wanted.watchErased(false)
	// What was erased before is not seen any more.
	if err := q.flush(ctx); err != nil {
		return err
	}
	var batch []moving
	bytes, moved := 0, 0
	flush := func() error {
		moved += len(batch)
		err := q.moveBlobs(ctx, batch)
		batch, bytes = nil, 0
		return err
	}
	_, err := q.eachBlob(ctx, func(place, current journal.Place) error {
		if !segments[current.Segment] {
			return nil
		}
		batch = append(batch, moving{place: place, from: current})
		if bytes += int(current.Length); bytes < movedAtOnce && len(batch) < q.limits.entries/4 {
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
	if total-wanted < max(q.opts.segment, total/3) {
		return nil
	}
	sparse := make(map[uint32]bool)
	for segment, n := range size {
		if w := q.wanted.of(segment); segment < from.Segment && w > 0 && w < n/2 && !q.wanted.stuck[segment] {
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

// moveBlobs moves blobs to the end of the journal. Those that are damaged or cannot
// be read stay, and their segments with them: they are found out when they are handed
// out.
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
		m.blob, err = epoch.Read(m.from)
		if errors.Is(err, journal.ErrDamaged) || errors.Is(err, journal.ErrMissing) || errors.Is(err, journal.ErrUnreadable) {
			q.wanted.stuck[m.from.Segment] = true
			continue
		} else if err != nil {
			return err
		}
		op.entries += 2
		op.bytes += len(m.blob) + 64
	}
	op.write = func(b *batch) error {
		for _, m := range all {
			// A message may be found twice, if it went from one table to another.
			current, moved, err := movedTo(b, m.place)
			if err != nil {
				return err
			}
			if !moved {
				current = m.place
			}
			if m.blob == nil || current != m.from || !b.q.wanted.moves(m.place) {
				continue
			}
			b.want(m.from, -1)
			b.set(movedKey(m.place), encodeMoved(b.blob(m.blob)))
		}
		return nil
	}
	return q.changePlaces(ctx, op)
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
func (q *Queue) eachBlob(ctx context.Context, fn func(place, current journal.Place) error) (messages int, err error) {
	for _, table := range []byte{tableFresh, tableRetrying, tableKept, tableDead} {
		for from := newKey(table); from != nil; {
			var page []blobs
			if page, from, err = q.scanBlobs(ctx, from); err != nil {
				return messages, err
			}
			for _, l := range page {
				messages++
				for _, p := range l.places() {
					if err := fn(p, l.current(p)); err != nil {
						return messages, err
					}
				}
			}
		}
	}
	return messages, nil
}

// blobs are those of a message, and where they were moved.
type blobs struct {
	located
	moved map[journal.Place]journal.Place
}

func (b *blobs) current(p journal.Place) journal.Place {
	if to, ok := b.moved[p]; ok {
		return to
	}
	return p
}

// scanBlobs reads some records of a table from a key on, and returns the key
// after them if there are more.
func (q *Queue) scanBlobs(ctx context.Context, from key) (page []blobs, more key, err error) {
	const size = 1000
	err = q.view(ctx, func(tx *badger.Txn) error {
		it := tx.NewIterator(badger.IteratorOptions{Prefix: from[:1]})
		defer it.Close()
		for it.Seek(from); it.Valid(); it.Next() {
			if len(page) == size {
				more = it.Item().KeyCopy(nil)
				return nil
			}
			var l blobs
			err := it.Item().Value(func(value []byte) error {
				d := readRecord(value)
				for d.next() {
					d.located(&l.located)
				}
				return d.err
			})
			if err == nil {
				err = l.find(tx)
			}
			if err != nil {
				return fmt.Errorf("reading from table %c: %w", from[0], err)
			}
			page = append(page, l)
		}
		return nil
	})
	return page, more, err
}

// find finds where the blobs were moved.
func (b *blobs) find(tx *badger.Txn) error {
	for _, p := range b.places() {
		to, moved, err := movedTo(txGetter{tx}, p)
		if err != nil {
			return err
		}
		if moved && b.moved == nil {
			b.moved = make(map[journal.Place]journal.Place)
		}
		if moved {
			b.moved[p] = to
		}
	}
	return nil
}
