// SPDX-License-Identifier: Apache-2.0

package queuetest_test

import (
	"sync"
	"testing"

	"github.com/caddy-webhook-inbox/inbox/queue"
	"github.com/caddy-webhook-inbox/inbox/queue/queuetest"
)

func TestMemoryKeepsTheContract(t *testing.T) {
	t.Parallel()
	queuetest.Run(t, memoryEngine(true))
}

func TestMemoryKeepsTheContractInRealTime(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a few seconds of real time")
	}
	t.Parallel()
	queuetest.Run(t, memoryEngine(false))
}

// memoryEngine keeps the queue of each directory in memory.
func memoryEngine(bubble bool) queuetest.Engine {
	var mu sync.Mutex
	disks := make(map[string]*queuetest.Memory)
	open := func(dir string, maxSize int64) queue.Queue {
		mu.Lock()
		defer mu.Unlock()
		q := disks[dir]
		if q == nil {
			q = queuetest.NewMemory()
			q.MaxSize = maxSize
		} else {
			q = q.Reopen()
		}
		disks[dir] = q
		return q
	}
	return queuetest.Engine{
		Open:        func(_ *testing.T, dir string) queue.Queue { return open(dir, 0) },
		OpenLimited: func(_ *testing.T, dir string, maxSize int64) queue.Queue { return open(dir, maxSize) },
		Crash:       func(_ *testing.T, q queue.Queue) { q.(*queuetest.Memory).Crash() },
		Bubble:      bubble,
	}
}
