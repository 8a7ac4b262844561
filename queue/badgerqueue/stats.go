// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"context"
	"fmt"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// Endpoints implements [queue.Admin].
func (q *Queue) Endpoints(ctx context.Context) (map[string]queue.Stats, error) {
	if err := q.use(ctx); err != nil {
		return nil, err
	}
	defer q.gate.leave()

	all := make(map[string]queue.Stats)
	look := func(fn func(*badger.Txn) error) error { return q.view(ctx, fn) }
	if !q.space.mayWrite() {
		look = q.glance
	}
	err := look(func(tx *badger.Txn) error {
		for _, e := range q.scheduler.statistics() {
			present, err := e.present(tx, q.opts.Now())
			if err != nil {
				return err
			}
			if !present {
				continue
			}
			s := e.stats
			if s.Waiting > 0 {
				if s.Oldest, err = e.oldest(tx); err != nil {
					return err
				}
			}
			all[e.name] = s
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("counting messages: %w", err)
	}
	return all, nil
}

// statistics is what memory knows of an endpoint.
type statistics struct {
	name     string
	number   uint32
	counters counters
	lowest   uint64 // of r
	stats    queue.Stats
}

func (s *scheduler) statistics() []statistics {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []statistics
	for name, e := range s.endpoints {
		n := e.number.Load()
		if n == 0 {
			continue
		}
		c := e.stats
		all = append(all, statistics{
			name:     name,
			number:   n,
			counters: c,
			lowest:   e.line.lowest(),
			stats: queue.Stats{
				Waiting:  c.waiting,
				Retrying: c.retrying,
				InFlight: int64(e.line.inFlight()),
				Dead:     c.dead,
				Kept:     c.kept,
				Bytes:    c.bytes,
			},
		})
	}
	return all
}

// present reports whether there is anything of the endpoint.
func (s *statistics) present(tx *badger.Txn, now time.Time) (bool, error) {
	if !s.counters.empty() {
		return true, nil
	}
	if _, outage, err := get(tx, outageKey(s.number)); err != nil || outage {
		return outage, err
	}
	return hasKeys(tx, s.number, now)
}

// mostKeys bounds how many keys are looked at to find one that is known.
const mostKeys = 1000

// hasKeys reports whether any key of the endpoint is in its window. Where very
// many are over and not dropped yet, it takes it that one is not.
func hasKeys(tx *badger.Txn, number uint32, now time.Time) (bool, error) {
	it := tx.NewIterator(badger.IteratorOptions{Prefix: prefix(tableKeys, number)})
	defer it.Close()
	seen := 0
	for it.Rewind(); it.Valid(); it.Next() {
		if seen++; seen > mostKeys {
			return true, nil
		}
		var held keyRecord
		err := it.Item().Value(func(value []byte) (err error) {
			held, err = decodeKey(value)
			return err
		})
		if err != nil {
			return false, fmt.Errorf("reading a key: %w", err)
		}
		if now.Before(held.expiry) {
			return true, nil
		}
	}
	return false, nil
}

// oldest returns when the first message that waits was received.
func (s *statistics) oldest(tx *badger.Txn) (time.Time, error) {
	fresh, err := firstReceived(tx, tableFresh, s.number, s.lowest)
	if err != nil {
		return time.Time{}, err
	}
	retrying, err := firstReceived(tx, tableRetrying, s.number, s.counters.retry)
	if err != nil {
		return time.Time{}, err
	}
	if fresh.IsZero() || !retrying.IsZero() && retrying.Before(fresh) {
		return retrying, nil
	}
	return fresh, nil
}

func firstReceived(tx *badger.Txn, table byte, number uint32, low uint64) (time.Time, error) {
	it := tx.NewIterator(badger.IteratorOptions{Prefix: prefix(table, number)})
	defer it.Close()
	it.Seek(prefix(table, number).seq(low))
	if !it.Valid() {
		return time.Time{}, nil
	}
	var w waitingRecord
	err := it.Item().Value(func(value []byte) (err error) {
		w, err = decodeWaiting(value)
		return err
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("reading from table %c: %w", table, err)
	}
	return w.receivedAt, nil
}
