// SPDX-License-Identifier: Apache-2.0

package queuetest

import (
	"sync"
	"testing"
	"testing/synctest"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

func TestMemoryKeepsTheContract(t *testing.T) {
	t.Parallel()
	Run(t, memoryEngine(true))
}

// Without a bubble the suite waits for real. One chapter shows that it works.
func TestMemorySettlesInRealTime(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a few seconds")
	}
	t.Parallel()
	chapter{"Settle", settlePromises()}.run(t, memoryEngine(false))
}

// memoryEngine keeps the queue of each directory in memory.
func memoryEngine(bubble bool) Engine {
	var mu sync.Mutex
	disks := make(map[string]*Memory)
	open := func(dir string, maxSize int64) queue.Queue {
		mu.Lock()
		defer mu.Unlock()
		q := disks[dir]
		if q == nil {
			q = NewMemory()
			q.MaxSize = maxSize
		} else {
			q = q.Reopen()
		}
		disks[dir] = q
		return q
	}
	return Engine{
		Open:        func(_ *testing.T, dir string) queue.Queue { return open(dir, 0) },
		OpenLimited: func(_ *testing.T, dir string, maxSize int64) queue.Queue { return open(dir, maxSize) },
		Crash:       func(_ *testing.T, q queue.Queue) { q.(*Memory).Crash() },
		Bubble:      bubble,
	}
}

// A crash may come between any two settlements, and leaves those before it.
func TestMemoryLeavesABeginningOfWhatWasNotDurable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const n = 5
		q := NewMemory()
		var sender Sender
		for range n {
			if _, err := q.Publish(t.Context(), queue.Publication{Message: sender.Message(here)}); err != nil {
				t.Fatal(err)
			}
		}
		for range n {
			d, err := q.Receive(t.Context(), here, lease1h)
			if err != nil {
				t.Fatal(err)
			}
			if err := d.Lease.Ack(0); err != nil {
				t.Fatal(err)
			}
		}
		q.Crash()
		if got := q.Forgettable(); got != n {
			t.Fatalf("%d changes are forgettable, want %d", got, n)
		}
		for durable := range n + 1 {
			all, err := q.ReopenWith(durable).Endpoints(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got := all[here].Waiting; got != int64(n-durable) {
				t.Errorf("%d wait after %d acks that are durable", got, durable)
			}
		}
	})
}
