// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"fmt"
	"runtime/debug"
	"sync"

	"github.com/dgraph-io/badger/v4"
)

// A tableWriter is the only one that writes to the database. When that has failed
// once, nobody does again: Badger may have no memtable, and would end the process.
type tableWriter struct {
	q *Queue

	mu  sync.Mutex
	err error
}

// commit commits a transaction, or poisons the queue.
func (w *tableWriter) commit(tx *badger.Txn) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		if err := tx.Commit(); err != nil {
			w.err = w.q.poison(fmt.Errorf("writing to the database: %w", err))
		}
		w.q.spares.restore()
	}
	return w.err
}

// rescue is deferred by those who read from the database. Without a memtable, Badger
// panics there before the write that failed has returned. Everything that is
// acknowledged is in the journal, so that is no reason to end the process.
func (q *Queue) rescue(err *error) {
	if r := recover(); r != nil {
		*err = q.poison(fmt.Errorf("reading from the database: %v\n%s", r, debug.Stack()))
	}
}

// iterator returns an iterator of a transaction, nil with an error.
func (q *Queue) iterator(tx *badger.Txn, o badger.IteratorOptions) (it *badger.Iterator, err error) {
	defer q.rescue(&err)
	return tx.NewIterator(o), nil
}
