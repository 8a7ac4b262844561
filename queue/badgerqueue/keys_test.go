// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"bytes"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
	"github.com/caddy-webhook-inbox/inbox/queue/badgerqueue/journal"
)

func TestKeysSortAsTheirNumbersDo(t *testing.T) {
	t.Parallel()
	inOrder := [][]key{
		{freshKey(1, 255), freshKey(1, 256), freshKey(1, 1<<40), freshKey(2, 1), freshKey(256, 0)},
		{dueKey(1, duePlace{0, 9}), dueKey(1, duePlace{1, 5}), dueKey(1, duePlace{1, 6}), dueKey(1, duePlace{1 << 40, 0})},
		{keptKey(3, duePlace{5, 1}), keptKey(3, duePlace{6, 0})},
		{segmentKey(1), segmentKey(256)},
		{movedKey(journal.Place{Segment: 1, Offset: 300}), movedKey(journal.Place{Segment: 256, Offset: 2})},
		{deadKey(1, queue.ID{1}), deadKey(1, queue.ID{1, 15: 1}), deadKey(1, queue.ID{2})},
	}
	for _, keys := range inOrder {
		for i := 1; i < len(keys); i++ {
			if bytes.Compare(keys[i-1], keys[i]) >= 0 {
				t.Errorf("table %c: %x is not before %x", keys[0][0], keys[i-1], keys[i])
			}
		}
	}
}

func TestNumbersAreReadBackFromKeys(t *testing.T) {
	t.Parallel()
	p := duePlace{1 << 41, 1 << 50}
	if got := placeOf(dueKey(7, p)); got != p {
		t.Errorf("place is %v, want %v", got, p)
	}
	if n := endpointOf(dueKey(7, p)); n != 7 {
		t.Errorf("endpoint is %d", n)
	}
	if seq := lastSeq(freshKey(7, 99)); seq != 99 {
		t.Errorf("seq is %d", seq)
	}
	at := time.UnixMilli(1750000000123)
	if got := timeOf(millis(at)); !got.Equal(at) {
		t.Errorf("time is %v, want %v", got, at)
	}
	if millis(time.Time{}) == 0 {
		t.Error("a time before 1970 is 0, which means ready")
	}
}

func TestNoTextOfASenderIsInAKey(t *testing.T) {
	t.Parallel()
	k := queue.Key{Kind: queue.KeyID, Hash: [32]byte{0: 1, 20: 2}}
	if got := dedupeKey(1, k); len(got) != 1+4+1+dedupeHashSize {
		t.Errorf("a key of %d bytes", len(got))
	}
}
