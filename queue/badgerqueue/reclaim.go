// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"go.uber.org/zap"
)

// A reclaimer gives room back to the disk after a backlog was delivered. Badger
// does that by itself while messages come in, but deletions alone compact
// nothing: what was erased would stay until the next burst.
type reclaimer struct {
	erased  atomic.Int64 // bytes, since the last time
	written atomic.Int64 // bytes, since the last look
}

// It is worth it from worthReclaiming on. Above maxReclaimed it would take long,
// in which Badger compacts nothing else; there the next messages have to do it.
// More than quiet bytes written since the last look is too busy a time. A
// message takes about indexSize bytes of the tables.
const (
	indexSize       = 256
	worthReclaiming = 8 << 20
	maxReclaimed    = 1 << 30
	quiet           = 1 << 20
)

func (r *reclaimer) due(onDisk int64) bool {
	erased := r.erased.Load()
	return r.written.Swap(0) < quiet &&
		erased >= worthReclaiming && erased >= onDisk/2 && onDisk <= maxReclaimed
}

// reclaim gives back what the journal and the database need no longer.
func (q *Queue) reclaim(ctx context.Context) error {
	// What cannot be moved stays where it is. The rest does not hang on it.
	stays := q.relocate(ctx)
	if ctx.Err() != nil || q.Err() != nil {
		return stays
	}
	return errors.Join(stays, q.giveRoom(ctx))
}

func (q *Queue) giveRoom(ctx context.Context) error {
	if err := q.rotate(ctx); err != nil {
		return err
	}
	if err := q.checkpointer.make(ctx); err != nil {
		return err
	}
	err := q.change(ctx, &change{write: func(b *batch) error { return b.q.journal.Trim() }})
	if err != nil {
		return fmt.Errorf("trimming the journal: %w", err)
	}
	return q.compact(ctx)
}

// worthRotating is how much of a segment must be written, to leave it for a new
// one when nothing in it is wanted: 4 MiB.
const worthRotating = 1. / 16

// rotate lets the segment be dropped that is being written, if nothing in it is
// wanted.
func (q *Queue) rotate(ctx context.Context) error {
	tail := q.checkpointer.tail()
	if float64(tail.Offset) < worthRotating*float64(q.opts.segment) || len(q.wanted.unwanted([]uint32{tail.Segment})) == 0 {
		return nil
	}
	err := q.change(ctx, &change{write: func(b *batch) error {
		b.q.journal.Rotate()
		return nil
	}})
	if err != nil {
		return err
	}
	return q.change(ctx, &change{write: (*batch).force})
}

// compact compacts the database if that is worth it.
func (q *Queue) compact(ctx context.Context) error {
	before := q.tableSize()
	if !q.reclaimer.due(before) || !q.compactable() {
		return nil
	}
	q.reclaimer.erased.Store(0)
	if err := q.fillMemtable(ctx); err != nil {
		return err
	}
	if err := q.db.Flatten(1); err != nil {
		return fmt.Errorf("compacting: %w", err)
	}
	q.reclaimer.written.Store(0)
	q.log.Info("gave room back to the disk", zap.Int64("before_mib", before>>20), zap.Int64("after_mib", q.tableSize()>>20))
	return nil
}

// compactable reports whether Flatten would do anything. A few tables on level
// zero, all that there is, it leaves alone: eight of 32 MiB at most.
func (q *Queue) compactable() bool {
	used := 0
	for _, l := range q.db.Levels() {
		if l.Size > 0 {
			used++
		}
		if l.Level == 0 && l.NumTables > q.db.Opts().NumLevelZeroTables {
			return true
		}
	}
	return used > 1
}

// tableSize is the size of all tables on disk. The rest is logs of fixed size.
func (q *Queue) tableSize() (size int64) {
	for _, l := range q.db.Levels() {
		size += l.Size
	}
	return size
}

// fillMemtable writes until Badger flushes what it has in memory, which is
// mostly the deletions. There is no other way to make it. The journal need not
// know of that.
func (q *Queue) fillMemtable(ctx context.Context) error {
	filler := make([]byte, 256<<10) // compresses to nothing
	for range q.db.Opts().MemTableSize/int64(len(filler)) + 2 {
		if !q.space.mayWrite() {
			return nil
		}
		if err := errors.Join(q.fill(filler), ctx.Err()); err != nil {
			return fmt.Errorf("filling the memtable: %w", err)
		}
	}
	return q.fill(nil)
}

// fill writes a value that nobody reads, or erases it.
func (q *Queue) fill(value []byte) (err error) {
	tx := q.db.NewTransaction(true)
	defer tx.Discard()
	if value == nil {
		err = tx.Delete(newKey(tableFiller))
	} else {
		err = tx.Set(newKey(tableFiller), value)
	}
	if err != nil {
		return err
	}
	return q.writer.commit(tx)
}
