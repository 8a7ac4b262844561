// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

func TestADrainedBacklogGivesItsRoomBack(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it takes some seconds")
	}
	every := intervals{disk: time.Second, sweep: time.Hour, refresh: time.Hour, reclaim: 500 * time.Millisecond}
	q := openTest(t, Options{every: every, tune: func(b *badger.Options) {
		small(b)
		b.NumLevelZeroTables = 4
	}})
	const n = 900
	for range n {
		publish(t, q, queue.Accepted, queue.Publication{Message: large(100 << 10)})
	}
	full := q.Disk().SizeOnDisk
	for range n {
		must(t, receive(t, q, "here").Lease.Ack(0))
	}
	var left int64
	for range 100 {
		if left = q.Disk().SizeOnDisk; left < full/4 {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Errorf("of %d MiB on disk %d are left", full>>20, left>>20)
}
