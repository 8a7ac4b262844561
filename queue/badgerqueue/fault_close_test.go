// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// A queue is closed while the disk is full. Badger would write a table then, and be
// killed by a signal, so the database stays open until there is room. The caller does
// not wait for that, and nothing is lost.
func TestFaultAQueueIsClosedOnAFullDisk(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		d := &fakeDisk{space: 10 << 30}
		q := openTest(t, Options{Dir: dir, disk: d})
		given := give(t, q, "here", 100)
		written := writtenBy(q)
		d.set(1 << 20)
		began := time.Now()
		must(t, q.Close())
		if took := time.Since(began); took > 2*patience {
			t.Errorf("it took %v", took)
		}
		if writtenBy(q) != written {
			t.Error("the database was written to")
		}
		if _, err := Open(q.opts); !errors.Is(err, ErrDiskFull) {
			t.Errorf("opening it again on a full disk: %v", err)
		}
		time.Sleep(time.Minute)
		if q.db.IsClosed() {
			t.Error("the database was closed on a full disk")
		}

		d.set(10 << 30)
		time.Sleep(2 * time.Second)
		again := openTest(t, q.opts)
		for _, m := range given {
			d := receive(t, again, "here")
			if d.Message.ID != m.ID {
				t.Errorf("received %s, want %s", d.Message.ID, m.ID)
			}
			must(t, d.Lease.Ack(0))
		}
		nothing(t, again, "here")
	})
}

// A disk that is full for a moment between two looks does not end the queue, and
// nobody who looks at the tables then makes Badger write.
func TestFaultTablesAreNotReadOnAFullDisk(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		d := &fakeDisk{space: 10 << 30}
		q := openTest(t, Options{Dir: dir, disk: d})
		give(t, q, "here", 10)
		written := writtenBy(q)
		d.set(1 << 20)
		for range 3 {
			if err := q.index.flush(context.Background()); !errors.Is(err, queue.ErrFull) {
				t.Errorf("flushing on a full disk: %v", err)
			}
			if s := stats(t, q, "here"); s.Waiting != 10 {
				t.Errorf("%d messages wait", s.Waiting)
			}
		}
		if writtenBy(q) != written {
			t.Error("the database was written to")
		}
		waited := make(chan error, 1)
		go func() { waited <- q.index.flushSurely() }()
		time.Sleep(time.Minute)
		select {
		case err := <-waited:
			t.Errorf("it did not wait for room: %v", err)
		default:
		}
		d.set(10 << 30)
		must(t, <-waited)
		must(t, q.Err())
		for range 10 {
			must(t, receive(t, q, "here").Lease.Ack(0))
		}
	})
}

func writtenBy(q *Queue) uint64 {
	q.index.mu.Lock()
	defer q.index.mu.Unlock()
	return q.index.written
}
