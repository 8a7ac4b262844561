// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"context"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// The keys of a message with a long window and a short one, whichever comes
// first.
var unequal = [][]queue.Key{
	{{Kind: queue.KeyID, Window: 30 * 24 * time.Hour}, {Kind: queue.KeyContent, Window: time.Minute}},
	{{Kind: queue.KeyContent, Window: time.Minute}, {Kind: queue.KeyID, Window: 30 * 24 * time.Hour}},
}

// droppedAt returns when Badger drops a key of the first endpoint.
func droppedAt(t *testing.T, q *Queue, k queue.Key) (unix int64) {
	t.Helper()
	must(t, q.view(context.Background(), func(tx *badger.Txn) error {
		item, err := tx.Get(dedupeKey(1, k))
		if err == nil {
			unix = int64(item.ExpiresAt())
		}
		return err
	}))
	return unix
}

// checkKeysUntil checks that the message that waits knows which of its keys
// Badger drops first.
func checkKeysUntil(t *testing.T, q *Queue, seq uint64, keys []queue.Key) {
	t.Helper()
	first := min(droppedAt(t, q, keys[0]), droppedAt(t, q, keys[1]))
	must(t, q.view(context.Background(), func(tx *badger.Txn) error {
		value, _, err := get(tx, freshKey(1, seq))
		if err != nil {
			return err
		}
		w, err := decodeWaiting(value)
		if w.keysUntil != first {
			t.Errorf("the first of the keys is dropped at %d, the message says %d", first, w.keysUntil)
		}
		return err
	}))
}

func TestKeepingAKeyDoesNotShortenIt(t *testing.T) {
	t.Parallel()
	for _, keys := range unequal {
		q := openTest(t, Options{every: still})
		publish(t, q, queue.Accepted, queue.Publication{Message: sender.Message("here"), Keys: keys})
		var before []int64
		for _, k := range keys {
			before = append(before, droppedAt(t, q, k))
		}
		e := q.scheduler.lookUp("here")
		must(t, q.change(t.Context(), &change{write: func(b *batch) error { return b.refresh(e, tableFresh, []uint64{1}) }}))
		for i, k := range keys {
			if after := droppedAt(t, q, k); after < before[i] {
				t.Errorf("a key with a window of %v is dropped %d s earlier", k.Window, before[i]-after)
			}
		}
		checkKeysUntil(t, q, 1, keys)
	}
}

func TestTheKeysOfARedrivenMessageAreKeptFromTheFirstThatIsDropped(t *testing.T) {
	t.Parallel()
	for _, keys := range unequal {
		q := openTest(t, Options{every: still})
		m := sender.Message("here")
		publish(t, q, queue.Accepted, queue.Publication{Message: m, Keys: keys})
		must(t, receive(t, q, "here").Lease.Bury("gone", queue.History{}, 0))
		must(t, q.Redrive(t.Context(), "here", m.ID))
		checkKeysUntil(t, q, 2, keys)
	}
}
