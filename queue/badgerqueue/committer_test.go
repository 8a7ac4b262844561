// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
	"github.com/caddy-webhook-inbox/inbox/queue/queuetest"
)

// commits counts the commits of a queue.
type commits struct {
	atomic.Int64
	messages atomic.Int64
}

func (c *commits) note(s CommitStats) {
	c.Add(1)
	c.messages.Add(int64(s.Messages))
}

func TestEveryCommitIsSynced(t *testing.T) {
	t.Parallel()
	var synced, commits atomic.Int64
	q := openTest(t, Options{
		sync: func(f *os.File) error {
			synced.Add(1)
			return f.Sync()
		},
		OnCommit: func(s CommitStats) { commits.Add(min(int64(s.Bytes), 1)) },
	})
	for range 10 {
		before, made := synced.Load(), commits.Load()
		give(t, q, "here", 1)
		must(t, q.flush(t.Context()))
		if made := commits.Load() - made; made == 0 || synced.Load()-before < made {
			t.Errorf("%d syncs for %d commits", synced.Load()-before, made)
		}
	}
}

func TestNoValueGoesToTheValueLog(t *testing.T) {
	t.Parallel()
	q := openTest(t, Options{tune: asShipped})
	if threshold := q.db.Opts().ValueThreshold; threshold <= maxChunk {
		t.Errorf("a chunk of %d bytes is over the threshold of %d", maxChunk, threshold)
	}
}

func TestPublishesThatWaitShareACommit(t *testing.T) {
	t.Parallel()
	var c commits
	held, hold := make(chan struct{}), make(chan struct{})
	var once sync.Once
	q := openTest(t, Options{OnCommit: c.note, commit: func(b *batch) error {
		once.Do(func() { close(held); <-hold }) // the first takes until all others wait
		return b.commit()
	}})
	const n = 200
	var all sync.WaitGroup
	send := func() { publish(t, q, queue.Accepted, queue.Publication{Message: sender.Message("here")}) }
	all.Go(send)
	<-held
	for range n - 1 {
		all.Go(send)
	}
	for waiting := 0; waiting < n-1; {
		q.committer.mu.Lock()
		waiting = len(q.committer.waiting)
		q.committer.mu.Unlock()
		time.Sleep(time.Millisecond)
	}
	close(hold)
	all.Wait()
	must(t, q.flush(t.Context()))
	if c.messages.Load() != n || c.Load() > 10 {
		t.Errorf("%d messages in %d commits", c.messages.Load(), c.Load())
	}
}

func TestALonePublishIsNotDelayed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		q := openTest(t, Options{Dir: dir})
		begun := time.Now()
		give(t, q, "here", 1)
		if took := time.Since(begun); took > 0 {
			t.Errorf("it waited for %v", took)
		}
	})
}

func TestSettlementsAreDurableWithin20ms(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var c commits
		q := openTest(t, Options{Dir: dir, OnCommit: c.note})
		give(t, q, "here", 3)
		synctest.Wait() // for what is done at the start
		before := c.Load()
		for range 3 {
			must(t, receive(t, q, "here").Lease.Ack(0))
		}
		time.Sleep(writeBehind - time.Millisecond)
		synctest.Wait()
		if n := c.Load() - before; n != 0 {
			t.Errorf("%d commits for settlements that nobody waits for", n)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if n := c.Load() - before; n != 1 {
			t.Errorf("%d commits after 20 ms, want 1", n)
		}
	})
}

func TestManySettlementsDoNotWait20ms(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var c commits
		q := openTest(t, Options{Dir: dir, OnCommit: c.note})
		give(t, q, "here", maxBehind)
		synctest.Wait() // for the last of these commits to be counted
		before := c.Load()
		for range maxBehind {
			must(t, receive(t, q, "here").Lease.Ack(0))
		}
		synctest.Wait()
		if n := c.Load() - before; n != 1 {
			t.Errorf("%d commits for %d settlements, want 1", n, maxBehind)
		}
	})
}

func TestOfIdenticalPublishesAtOnceOneIsAccepted(t *testing.T) {
	t.Parallel()
	q := openTest(t, Options{})
	key := []queue.Key{queuetest.Key("the same", time.Hour)}
	var accepted, duplicates atomic.Int64
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			r, err := q.Publish(t.Context(), queue.Publication{Message: sender.Message("here"), Keys: key})
			switch {
			case err != nil:
				t.Error(err)
			case r.Outcome == queue.Accepted:
				accepted.Add(1)
			case r.Outcome == queue.Duplicate:
				duplicates.Add(1)
			}
		})
	}
	all.Wait()
	if accepted.Load() != 1 || duplicates.Load() != 99 {
		t.Errorf("%d accepted, %d duplicates", accepted.Load(), duplicates.Load())
	}
}

func TestDuplicatesCostNoSync(t *testing.T) {
	t.Parallel()
	var synced atomic.Int64
	q := openTest(t, Options{commit: func(b *batch) error {
		synced.Add(1)
		return b.commit()
	}})
	key := []queue.Key{queuetest.Key("the same", time.Hour)}
	publish(t, q, queue.Accepted, queue.Publication{Message: sender.Message("here"), Keys: key})
	before := synced.Load()
	for range 10 {
		publish(t, q, queue.Duplicate, queue.Publication{Message: sender.Message("here"), Keys: key})
	}
	if n := synced.Load() - before; n != 0 {
		t.Errorf("%d syncs", n)
	}
}

// What is submitted while a batch is postponed must not be forgotten with it.
func TestAFullDiskKeepsTrackOfWhatWaits(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		q := openTest(t, Options{Dir: dir})
		must(t, q.flush(t.Context()))
		c := newCommitter(q) // nobody commits
		defer c.timer.Stop()
		settled := func() operation { return &settlement{q: q, handle: &handle{}, settle: ack{}} }
		cut := []operation{settled(), settled(), &change{finished: make(chan struct{})}}

		must(t, c.submitBehind(settled()))
		must(t, c.submit(&change{finished: make(chan struct{})}))
		c.postpone(cut, errDiskLow)
		if n := len(c.waiting); n != 4 || c.behind != 3 || !c.pressing {
			t.Errorf("%d operations wait, %d of them for nobody; pressing: %v", n, c.behind, c.pressing)
		}
		if err := cut[2].(*change).err; !errors.Is(err, queue.ErrFull) {
			t.Errorf("what somebody waited for got %v", err)
		}

		again := c.cut()
		if len(again) != 4 || c.behind != 0 {
			t.Errorf("%d operations are cut, and %d are left", len(again), c.behind)
		}
		c.postpone(again, errDiskLow)
		if n := len(c.waiting); n != 3 || c.behind != 3 || c.pressing {
			t.Errorf("%d operations wait, %d of them for nobody; pressing: %v", n, c.behind, c.pressing)
		}
	})
}
