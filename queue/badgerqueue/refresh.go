// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// A key is known for as long as its message waits, but Badger drops it some time
// after its window. So the keys of messages that wait for long are written
// again from time to time.
const (
	refreshBefore = 12 * time.Hour // a key is dropped
	refreshFor    = 72 * time.Hour
)

// refresh writes the keys again that Badger would drop soon. It looks at
// messages that are old enough; those in r are in order of arrival.
func (q *Queue) refresh(ctx context.Context) error {
	var failed error
	for _, e := range q.scheduler.all() {
		if e.number.Load() == 0 {
			continue
		}
		for _, table := range []byte{tableFresh, tableRetrying} {
			if err := q.refreshTable(ctx, e, table); err != nil {
				err = fmt.Errorf("keeping the keys of waiting messages of endpoint %q: %w", e.name, err)
				if ctx.Err() != nil || q.Err() != nil || errors.Is(err, errDiskLow) {
					return err
				}
				failed = errors.Join(failed, err) // others' may go
			}
		}
	}
	return failed
}

func (q *Queue) refreshTable(ctx context.Context, e *endpoint, table byte) error {
	low := q.scheduler.statsOf(e)
	from := freshKey(e.number.Load(), low.fresh)
	if table == tableRetrying {
		from = retryKey(e.number.Load(), low.retry)
	}
	for from != nil {
		var seqs []uint64
		var err error
		if seqs, from, err = q.scanAgeing(ctx, from); err != nil {
			return err
		}
		if len(seqs) == 0 {
			continue
		}
		err = q.change(ctx, &change{
			entries: 8 * len(seqs),
			bytes:   1024 * len(seqs),
			write:   func(b *batch) error { return b.refresh(e, table, seqs) },
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// scanAgeing returns some messages whose keys Badger drops soon, and where to go
// on. A key outlives its message by more than a day if that was just published.
func (q *Queue) scanAgeing(ctx context.Context, from key) (seqs []uint64, more key, err error) {
	soon := time.Now().Add(refreshBefore).Unix()
	young := q.opts.Now().Add(-refreshBefore)
	err = q.view(ctx, func(tx *badger.Txn) error {
		it := tx.NewIterator(badger.IteratorOptions{Prefix: from[:5]})
		defer it.Close()
		for it.Seek(from); it.Valid(); it.Next() {
			if len(seqs) == page {
				more = it.Item().KeyCopy(nil)
				return nil
			}
			var w waitingRecord
			err := it.Item().Value(func(value []byte) (err error) {
				w, err = decodeWaiting(value)
				return err
			})
			if err != nil {
				return fmt.Errorf("reading from table %c: %w", from[0], err)
			}
			if from[0] == tableFresh && w.receivedAt.After(young) {
				return nil
			}
			if w.keysUntil != 0 && w.keysUntil < soon {
				seqs = append(seqs, lastSeq(it.Item().Key()))
			}
		}
		return nil
	})
	return seqs, more, err
}

func (b *batch) refresh(e *endpoint, table byte, seqs []uint64) error {
	n := e.number.Load()
	waiting, err := b.readWaiting(table, e, seqs)
	if err != nil {
		return err
	}
	for _, w := range waiting {
		m, err := b.view().readMessage(&w.record.located, false)
		if isBroken(err) {
			continue // it is found out when it is handed out
		}
		if err != nil {
			return err
		}
		until := w.record.keysUntil
		w.record.keysUntil = 0
		for _, k := range m.keys {
			held, mine, err := b.ownKey(n, k, w, until)
			if err != nil {
				return err
			}
			if !mine {
				continue
			}
			dropped, err := b.prolongKey(n, k, held)
			if err != nil {
				return err
			}
			if w.record.keysUntil == 0 || dropped < w.record.keysUntil {
				w.record.keysUntil = dropped
			}
		}
		b.set(prefix(table, n).seq(w.seq), w.record.encode())
	}
	return nil
}

// prolongKey makes Badger hold on to a key for some time from now at least, and
// returns for how long.
func (b *batch) prolongKey(n uint32, k queue.Key, held keyRecord) (until int64, err error) {
	_, expires, _, err := b.getEntry(dedupeKey(n, k))
	if err != nil {
		return 0, err
	}
	until = max(int64(expires), time.Now().Add(refreshFor+keyGrace).Unix())
	b.setUntil(dedupeKey(n, k), held.encode(), until)
	return until, nil
}

// ownKey returns the record of a key of the message, and whether the message
// holds it. One that Badger has dropped, because the queue was closed for long,
// is the message's too; one that was forgotten is not.
func (b *batch) ownKey(n uint32, k queue.Key, w waitingPlace, until int64) (held keyRecord, mine bool, err error) {
	held, ok, err := b.holder(n, k)
	if err != nil {
		return keyRecord{}, false, err
	}
	if dropped := until < time.Now().Unix(); !ok && dropped {
		return keyRecord{seq: w.seq, id: w.record.id, expiry: w.record.receivedAt.Add(k.Window)}, true, nil
	}
	return held, ok && held.id == w.record.id, nil
}
