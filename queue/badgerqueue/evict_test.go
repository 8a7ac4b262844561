// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"sync"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// undisturbed keeps the keeper from doing anything by itself.
var undisturbed = intervals{disk: time.Hour, sweep: time.Hour, refresh: time.Hour, reclaim: time.Hour}

// A stoppedCommit holds the next commit up, so that a test says what comes into
// the batch after it.
type stoppedCommit struct {
	stop    chan struct{}
	stopped chan struct{}
	release chan struct{}
}

func newStoppedCommit() *stoppedCommit {
	return &stoppedCommit{make(chan struct{}, 1), make(chan struct{}), make(chan struct{})}
}

func (s *stoppedCommit) commit(b *batch) error {
	select {
	case <-s.stop:
		s.stopped <- struct{}{}
		<-s.release
	default:
	}
	return b.commit()
}

// gathered waits until n operations wait for the next batch.
func gathered(q *Queue, n int) {
	for {
		q.committer.mu.Lock()
		waiting := len(q.committer.waiting)
		q.committer.mu.Unlock()
		if waiting >= n {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func TestAMessageIsNotSweptAndEvictedInOneBatch(t *testing.T) {
	t.Parallel()
	var c clock
	s := newStoppedCommit()
	q := openTest(t, Options{Now: c.now, commit: s.commit, every: undisturbed})
	give(t, q, "here", 3)
	for _, keep := range []time.Duration{time.Minute, time.Hour, time.Hour} {
		must(t, receive(t, q, "here").Lease.Ack(keep))
	}
	must(t, q.flush(t.Context()))
	size := stats(t, q, "here").Bytes / 3
	q.SetLimits(4*size+size/2, 0)
	c.set(2 * time.Minute)

	var all sync.WaitGroup
	s.stop <- struct{}{}
	all.Go(func() { publish(t, q, queue.Accepted, queue.Publication{Message: sender.Message("other")}) })
	<-s.stopped
	all.Go(func() {
		if err := newSweeper(q).sweep(t.Context()); err != nil {
			t.Error(err)
		}
	})
	gathered(q, 1)
	for range 2 { // one has room where a message is swept, one needs more
		all.Go(func() { publish(t, q, queue.Accepted, queue.Publication{Message: sender.Message("here")}) })
	}
	gathered(q, 3)
	close(s.release)
	all.Wait()

	if got := stats(t, q, "here"); got.Kept != int64(count(t, q, tableKept)) || got.Waiting != 2 {
		t.Errorf("statistics are %+v with %d kept messages", got, count(t, q, tableKept))
	}
	messages, bytes := int64(count(t, q, tableFresh)+count(t, q, tableKept)), q.Disk().Bytes
	if bytes < (messages-1)*size || bytes > (messages+1)*size {
		t.Errorf("%d messages of about %d bytes are accounted with %d", messages, size, bytes)
	}
}

func TestEvictionBeginsWhereTheLastEnded(t *testing.T) {
	t.Parallel()
	var c clock
	q := openTest(t, Options{Now: c.now, every: undisturbed})
	keep := func(ttl time.Duration) (until uint64) {
		give(t, q, "here", 1)
		until = millis(c.now().Add(ttl))
		must(t, receive(t, q, "here").Lease.Ack(ttl))
		must(t, q.flush(t.Context()))
		return until
	}
	var full int64
	begins := func(what string, until uint64) {
		t.Helper()
		must(t, q.flush(t.Context()))
		mark := q.scheduler.statsOf(q.scheduler.lookUp("here")).keptFrom
		if got := timeOf(mark.due).Sub(timeOf(until)); got < 0 || got > time.Minute {
			t.Errorf("%s: the mark is off by %v", what, got)
		}
	}
	evict := func() { // by taking the place of one
		q.SetLimits(full, 0)
		give(t, q, "here", 1)
		must(t, receive(t, q, "here").Lease.Ack(0))
		must(t, q.flush(t.Context()))
		q.SetLimits(0, 0)
	}

	var until []uint64
	for i := range 5 {
		until = append(until, keep(time.Duration(i+1)*time.Hour))
	}
	full = stats(t, q, "here").Bytes + 50
	evict()
	begins("after an eviction", until[1])

	early := keep(30 * time.Minute)
	begins("after a message that is kept for a shorter time", early)
	full = stats(t, q, "here").Bytes + 50
	evict()
	begins("after that is evicted", until[1])

	c.set(2*time.Hour + time.Minute)
	must(t, newSweeper(q).sweep(t.Context()))
	if n := count(t, q, tableKept); n != 3 {
		t.Errorf("%d messages are kept, want 3", n)
	}
	evict() // nothing
	full = stats(t, q, "here").Bytes + 50
	evict()
	begins("after a sweep", until[3])

	c.set(-24 * time.Hour)
	early = keep(time.Hour)
	begins("after the clock was set back", early)
	c.set(24 * time.Hour)
	must(t, newSweeper(q).sweep(t.Context()))
	if n := count(t, q, tableKept); n != 2 {
		t.Errorf("%d messages are kept, want 2", n)
	}

	elsewhere := millis(c.now().Add(time.Hour / 2))
	give(t, q, "there", 1)
	must(t, receive(t, q, "there").Lease.Ack(time.Hour/2))
	_, err := q.Move(t.Context(), "there", "here")
	must(t, err)
	must(t, q.flush(t.Context()))
	if mark := q.scheduler.statsOf(q.scheduler.lookUp("here")).keptFrom; mark.due > elsewhere {
		t.Error("after a move, the mark is behind the message")
	}
}

func TestALargeEvictionFitsIntoTheTransaction(t *testing.T) {
	t.Parallel()
	q := openTest(t, Options{every: undisturbed})
	const n = 8000
	var all sync.WaitGroup
	for range n {
		all.Go(func() { publish(t, q, queue.Accepted, queue.Publication{Message: sender.Message("here")}) })
	}
	all.Wait()
	for range n {
		must(t, receive(t, q, "here").Lease.Ack(time.Hour))
	}
	must(t, q.flush(t.Context()))
	q.SetLimits(stats(t, q, "here").Bytes/n*100, 0)
	for range 10 { // each may evict a part
		for range 4 {
			all.Go(func() { _, _ = q.Publish(t.Context(), queue.Publication{Message: sender.Message("here")}) })
		}
		all.Wait()
	}
	must(t, q.Err())
	give(t, q, "here", 1)
	if kept := stats(t, q, "here").Kept; kept != int64(count(t, q, tableKept)) || kept > 100 {
		t.Errorf("%d messages are kept, and %d counted", count(t, q, tableKept), kept)
	}
}
