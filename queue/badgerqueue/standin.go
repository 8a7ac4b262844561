// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/badger/v4/y"
	"go.uber.org/zap"
)

// When Badger has written what is in memory as a table, it lists it, and syncs the
// list. If that sync fails, it deletes the table, and writes another one. But the
// first stays on the list, and with a table that is missing there Badger does not
// open the database again. So one without a message takes its place.

// flushFailed is how Badger says that it could not write a table, before it tries
// again.
const flushFailed = "error flushing memtable to disk"

// tableFlushes are what is known of how Badger writes memtables as tables.
type tableFlushes struct {
	failed atomic.Bool // once

	mu   sync.Mutex
	owed bool // tables are still to be put in the place of others
}

// couldNotFlush is told why Badger could not write a table, which it tries again for
// ever. If its list of tables is closed, because it failed to replace that by a
// shorter one, all tries are in vain: the queue would stand still without a word.
func (q *Queue) couldNotFlush(cause error) {
	q.flushes.failed.Store(true)
	q.flushes.mu.Lock()
	q.flushes.owed = true
	q.flushes.mu.Unlock()
	q.standIn()
	if q.opened.Load() && errors.Is(cause, os.ErrClosed) {
		_ = q.poison(fmt.Errorf("the database cannot list its tables any more, Caddy has to be restarted: %w", cause))
	}
}

// standIn does what is owed. What caused that may keep it from being done at once,
// and be gone when Badger tries again, which says nothing then.
func (q *Queue) standIn() {
	q.flushes.mu.Lock()
	defer q.flushes.mu.Unlock()
	if !q.flushes.owed {
		return
	}
	err := standIn(q.opts.badgerOptions())
	if err != nil {
		q.log.Error("the database may not open again until this is done", zap.Error(err))
	}
	q.flushes.owed = err != nil
}

// standIn puts a table in the place of each that was listed when it was to be
// written, and deleted because the sync of the list failed. Those of a compaction
// are not meant: what they replaced is off the list.
func standIn(b badger.Options) error {
	tables, err := listTables(b)
	if err != nil {
		return err
	}
	for id, t := range tables {
		name := table.NewFilename(id, b.Dir)
		if _, err := os.Stat(name); !errors.Is(err, os.ErrNotExist) {
			continue
		}
		alone, err := listedAlone(b.Dir, id)
		if err == nil && alone {
			err = writeStandIn(name, t.Compression)
		}
		if err != nil {
			return fmt.Errorf("replacing %s: %w", filepath.Base(name), err)
		}
	}
	return nil
}

// writeStandIn writes a table with the deletion of a key that never was.
func writeStandIn(name string, c options.CompressionType) error {
	b := table.NewTableBuilder(table.Options{Compression: c, BlockSize: 4 << 10, TableSize: 4 << 10, BloomFalsePositive: 0.01})
	defer b.Close()
	const deletion = 1 // Badger's mark
	b.Add(y.KeyWithTs(newKey(tableFiller), 1), y.ValueStruct{Meta: deletion}, 0)
	t, err := table.CreateTable(name, b)
	if err != nil {
		return err
	}
	return t.Close(-1)
}

// listedAlone reports whether the list has a change that adds the table and does
// nothing else. After eight bytes, each change has its length and a checksum before
// it, and is a message of Protocol Buffers.
func listedAlone(dir string, id uint64) (bool, error) {
	list, err := os.ReadFile(filepath.Join(dir, badger.ManifestFilename))
	if err != nil {
		return false, err
	}
	for rest := list[min(8, len(list)):]; len(rest) >= 8; {
		n := int64(binary.BigEndian.Uint32(rest))
		if rest = rest[8:]; n > int64(len(rest)) {
			break // it is being written
		}
		if only, ok := onlyAddition(rest[:n]); ok && only == id {
			return true, nil
		}
		rest = rest[n:]
	}
	return false, nil
}

// onlyAddition returns the table that a change adds, if it consists of that.
func onlyAddition(change []byte) (id uint64, ok bool) {
	const part, partID, partDeletes = 1<<3 | 2, 1 << 3, 2 << 3 // fields with their types
	tag, n := binary.Uvarint(change)
	if n <= 0 || tag != part {
		return 0, false
	}
	size, m := binary.Uvarint(change[n:])
	if m <= 0 || size != uint64(len(change)-n-m) {
		return 0, false // there are more
	}
	for rest := change[n+m:]; len(rest) > 0; {
		tag, n := binary.Uvarint(rest)
		if n <= 0 {
			return 0, false
		}
		value, m := binary.Uvarint(rest[n:])
		if m <= 0 || tag == partDeletes && value != 0 {
			return 0, false
		}
		if tag == partID {
			id, ok = value, true
		}
		rest = rest[n+m:]
	}
	return id, ok
}
