// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"bytes"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

func TestAMessageIDIsAUUIDOfItsTime(t *testing.T) {
	t.Parallel()
	var ids messageIDs
	for _, now := range []time.Time{time.UnixMilli(0), time.Now(), time.UnixMilli(1<<48 - 2).Add(999_999)} {
		id := uuid.UUID(ids.next(now))
		seconds, nanos := id.Time().UnixTime()
		if at := time.Unix(seconds, nanos); id.Version() != 7 || id.Variant() != uuid.RFC4122 || at.UnixMilli() != now.UnixMilli() {
			t.Errorf("at %v: %v is a UUIDv%d, %v, of %v", now, id, id.Version(), id.Variant(), at)
		}
	}
}

// The order of ids is that in which they were made, also when the clock is set
// back, and within a millisecond.
func TestMessageIDsRise(t *testing.T) {
	t.Parallel()
	var ids messageIDs
	now := time.Now()
	var last queue.ID
	for i := range 10_000 {
		id := ids.next(now.Add(time.Duration(i%7) * -time.Hour))
		if bytes.Compare(last[:8], id[:8]) >= 0 {
			t.Fatalf("%v comes after %v", id, last)
		}
		last = id
	}
}

func TestMessageIDsAreUnique(t *testing.T) {
	t.Parallel()
	var ids messageIDs
	now := time.Now()
	var mu sync.Mutex
	seen, random := make(map[queue.ID]bool), make(map[[8]byte]bool)
	var makers sync.WaitGroup
	for range 4 {
		makers.Go(func() {
			for range 2000 {
				id := ids.next(now)
				mu.Lock()
				seen[id] = true
				random[[8]byte(id[8:])] = true
				mu.Unlock()
			}
		})
	}
	makers.Wait()
	if len(seen) != 8000 || len(random) != 8000 {
		t.Errorf("%d ids, %d of their random parts, of 8000", len(seen), len(random))
	}
}
