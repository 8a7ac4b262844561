// SPDX-License-Identifier: Apache-2.0

package queuetest

import (
	"sync"
	"testing"

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
