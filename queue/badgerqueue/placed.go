// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"context"
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// placed is where a message is in a table, and the keys that it was published
// with: they move together, so that a message is never without them.
type placed struct {
	key  key
	keys []queue.Key
}

// weight bounds the entries that it takes to move it.
func (p *placed) weight() int { return 6 + 2*len(p.keys) }

// scanPlaced returns the next places in an endpoint's table from a key on, about
// n, and the key after them if there are more. What it reads of a message does
// not change.
func (q *Queue) scanPlaced(ctx context.Context, from key, n int) (places []placed, more key, err error) {
	err = q.viewBlobs(ctx, func(v view) error {
		it := v.tx.NewIterator(badger.IteratorOptions{Prefix: from[:5]})
		defer it.Close()
		weight := 0
		for it.Seek(from); it.Valid(); it.Next() {
			p := placed{key: it.Item().KeyCopy(nil)}
			if weight >= n*6 {
				more = p.key
				return nil
			}
			value, err := it.Item().ValueCopy(nil)
			if err != nil {
				return fmt.Errorf("reading from table %c: %w", from[0], err)
			}
			if p.keys, err = v.keysAt(from[0], value); err != nil {
				return err
			}
			weight += p.weight()
			places = append(places, p)
		}
		return nil
	})
	return places, more, err
}

// keysAt returns the keys of the message that waits, or is dead, at a place.
// One that cannot be read has none: they move last.
func (v view) keysAt(table byte, value []byte) ([]queue.Key, error) {
	var at located
	switch table {
	case tableFresh, tableRetrying:
		w, err := decodeWaiting(value)
		if err != nil {
			return nil, fmt.Errorf("reading from table %c: %w", table, err)
		}
		if w.keysUntil == 0 {
			return nil, nil
		}
		at = w.located
	case tableDead:
		r, err := decodeSettled(value)
		if err != nil {
			return nil, fmt.Errorf("reading from table %c: %w", table, err)
		}
		at = r.located
	default:
		return nil, nil
	}
	m, err := v.readMessage(&at, false)
	if isBroken(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return m.keys, nil
}
