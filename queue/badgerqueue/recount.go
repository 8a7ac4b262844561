// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/dgraph-io/badger/v4"
)

// A recount is what is in the tables, counted anew.
type recount struct {
	wanted    map[uint32]int64     // by segment
	endpoints map[uint32]*counters // by number
}

// recount makes all counts what the tables have. It is called when commits were
// lost: what the database has of them, it may have without their counts, or the
// other way round. A count of wanted bytes that is too low would take messages
// away that are whole.
func (q *Queue) recount() error {
	r := recount{wanted: make(map[uint32]int64), endpoints: make(map[uint32]*counters)}
	w := q.db.NewWriteBatch()
	defer w.Cancel()
	// The database is not behind the journal for what is lost.
	err := w.Set(stateKey(), q.state.encode())
	if err != nil {
		return fmt.Errorf("counting what is left: %w", err)
	}
	err = q.view(context.Background(), func(tx *badger.Txn) error {
		for _, table := range []byte{tableFresh, tableRetrying, tableDead, tableKept} {
			if err := r.count(tx, table); err != nil {
				return err
			}
		}
		return r.write(tx, w)
	})
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		return fmt.Errorf("counting what is left: %w", err)
	}
	return nil
}

func (r *recount) count(tx *badger.Txn, table byte) error {
	it := tx.NewIterator(badger.IteratorOptions{Prefix: newKey(table), PrefetchValues: true, PrefetchSize: 100})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		n := endpointOf(it.Item().Key())
		c := r.endpoints[n]
		if c == nil {
			c = noCounters()
			r.endpoints[n] = c
		}
		seq := lastSeq(it.Item().Key())
		err := it.Item().Value(func(value []byte) error {
			w, err := decodeWaiting(value) // of the dead and kept, what they have in common
			if err != nil {
				return err
			}
			c.bytes += w.size
			switch table {
			case tableDead:
				c.dead++
			case tableKept:
				c.kept++
			case tableFresh:
				c.waiting++
				c.fresh = min(c.fresh, seq)
			default:
				c.waiting++
				c.retry, c.due = min(c.retry, seq), c.due.or(duePlace{w.due, seq})
			}
			if w.nacked {
				c.retrying++
			}
			for _, p := range w.places() {
				current, moved, err := movedTo(txGetter{tx}, p)
				if err != nil {
					return err
				}
				if moved {
					p = current
				}
				r.wanted[p.Segment] += int64(p.Length)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("reading from table %c: %w", table, err)
		}
	}
	return nil
}

// noCounters are those of an endpoint of which nothing was found yet.
func noCounters() *counters {
	return &counters{fresh: math.MaxUint64, retry: math.MaxUint64, due: duePlace{math.MaxUint64, math.MaxUint64}}
}

// write writes the counts in place of those that there are. The low-water marks of an
// endpoint go back to what waits: above it they would hide messages.
func (r *recount) write(tx *badger.Txn, w *badger.WriteBatch) error {
	for _, k := range keysOfTable(tx, tableSegments) {
		if _, ok := r.wanted[endpointOf(k)]; !ok {
			if err := w.Delete(k); err != nil {
				return err
			}
		}
	}
	for segment, n := range r.wanted {
		if err := w.Set(segmentKey(segment), binary.BigEndian.AppendUint64(nil, uint64(n))); err != nil {
			return err
		}
	}
	for _, k := range keysOfTable(tx, tableCounters) {
		value, _, err := get(tx, k)
		if err != nil {
			return err
		}
		c, err := decodeCounters(value)
		if err != nil {
			return err
		}
		counted := r.endpoints[endpointOf(k)]
		if counted == nil {
			counted = noCounters()
		}
		counted.fresh, counted.retry, counted.due = min(c.fresh, counted.fresh), min(c.retry, counted.retry), c.due.or(counted.due)
		if err := w.Set(k, counted.encode()); err != nil {
			return err
		}
	}
	return nil
}

func keysOfTable(tx *badger.Txn, table byte) (keys []key) {
	it := tx.NewIterator(badger.IteratorOptions{Prefix: newKey(table)})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		keys = append(keys, it.Item().KeyCopy(nil))
	}
	return keys
}
