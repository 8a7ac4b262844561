// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/caddy-webhook-inbox/inbox/queue"
	"github.com/caddy-webhook-inbox/inbox/queue/queuetest"
)

func large(size int) *queue.Message {
	m := sender.Message("here")
	m.Request.Body = make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(m.Request.Body) // it never fails
	return m
}

func TestBodiesOfAnySizeArriveAsTheyWereSent(t *testing.T) {
	t.Parallel()
	q := openTest(t, Options{tune: asShipped})
	sizes := []int{0, 1, maxChunk/8*7 - 100, maxChunk / 8 * 7, maxChunk - 1, maxChunk, maxChunk + 1, 3 * maxChunk, 8 << 20, 8<<20 + 1}
	var given []*queue.Message
	for _, size := range sizes {
		m := large(size)
		publish(t, q, queue.Accepted, queue.Publication{Message: m})
		given = append(given, m)
	}
	q = reopen(t, q)
	for i, m := range given {
		d := receive(t, q, "here")
		if d.Message.ID != m.ID || !bytes.Equal(d.Message.Request.Body, m.Request.Body) {
			t.Errorf("the body of %d bytes arrived as %d others", sizes[i], len(d.Message.Request.Body))
		}
		must(t, d.Lease.Ack(0))
	}
	if s := stats(t, q, "here"); s.Bytes != 0 {
		t.Errorf("%d bytes are left", s.Bytes)
	}
	must(t, q.flush(t.Context()))
	if n := q.wanted.total(); n != 0 {
		t.Errorf("%d bytes of the journal are still wanted", n)
	}
}

func TestALargeDuplicateLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	q := openTest(t, Options{})
	keys := []queue.Key{queuetest.Key("k", time.Hour)}
	publish(t, q, queue.Accepted, queue.Publication{Message: large(100), Keys: keys})
	before := q.wanted.total()
	publish(t, q, queue.Duplicate, queue.Publication{Message: large(4 << 20), Keys: keys})
	nothingPinned(t, q)
	if n := q.wanted.total(); n != before {
		t.Errorf("%d bytes are wanted, want %d", n, before)
	}
}

func TestALargeMessageThatIsRefusedLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	q := openTest(t, Options{})
	_, err := q.Publish(t.Context(), queue.Publication{Message: large(4 << 20), MaxSize: 1 << 20})
	if !errors.Is(err, queue.ErrFull) {
		t.Errorf("got %v", err)
	}
	nothingPinned(t, q)
	if n := q.wanted.total(); n != 0 {
		t.Errorf("%d bytes are wanted", n)
	}
}

func TestABodyWithoutAMessageIsWantedByNobody(t *testing.T) {
	t.Parallel()
	disk := &failingDisk{}
	n := 0
	q := openTest(t, Options{tune: small, commit: func(b *batch) error {
		n++
		disk.broken.Store(n == 4) // some chunks are there, the message is not
		return disk.commit(b)
	}})
	publish(t, q, queue.Accepted, queue.Publication{Message: large(100)})
	before := q.wanted.total()
	_, err := q.Publish(t.Context(), queue.Publication{Message: large(8 << 20)})
	unavailable(t, "publishing", err)
	shut(t, q)

	o := q.opts
	o.commit = nil
	q = openTest(t, o)
	nothingPinned(t, q)
	if n := q.wanted.total(); n != before {
		t.Errorf("%d bytes are wanted, want %d", n, before)
	}
	receive(t, q, "here")
}

func TestABodyWithADamagedChunkIsBuried(t *testing.T) {
	t.Parallel()
	q := openTest(t, Options{})
	m := large(2 << 20)
	publish(t, q, queue.Accepted, queue.Publication{Message: m})
	must(t, q.Close())
	damage(t, q.opts.Dir, m.Request.Body[maxChunk+100:][:64])
	q = openTest(t, q.opts)
	nothing(t, q, "here")
	if s := stats(t, q, "here"); s.Dead != 1 || s.Waiting != 0 {
		t.Errorf("statistics are %+v", s)
	}
}

// A sync hangs while chunks of a body are written, and others wait behind them. Their
// publishes end with their contexts, let go of the bodies, and leave nothing behind when
// the disk goes on.
func TestALargePublishEndsWhileTheDiskHangs(t *testing.T) {
	t.Parallel()
	s := newStoppedCommit()
	q := openTest(t, Options{commit: s.commit, every: undisturbed})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	publish := func() []byte {
		m := large(4 << 20)
		go func() {
			_, err := q.Publish(ctx, queue.Publication{Message: m})
			ended <- err
		}()
		return m.Request.Body
	}
	s.stop <- struct{}{}
	written := publish()
	<-s.stopped
	waits := publish()
	gathered(q, 1)
	cancel()
	for range 2 {
		select {
		case err := <-ended:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("publishing does not end")
		}
	}
	q.committer.mu.Lock()
	if n := len(q.committer.waiting); n != 0 {
		t.Errorf("%d operations wait, and nobody for them", n)
	}
	q.committer.mu.Unlock()
	clear(written) // which the race detector sees if anybody still reads them
	clear(waits)
	close(s.release)
	m := give(t, q, "here", 1)[0]
	nothingPinned(t, q)
	if d := receive(t, q, "here"); d.Message.ID != m.ID {
		t.Errorf("received %s", d.Message.ID)
	}
	nothing(t, q, "here")
	wantedAre(t, q, 1)
}

// Room is being made for a large body, and the database takes nothing any more. Who gives
// the publish up is let go, and leaves nothing behind when the database goes on.
func TestALargePublishEndsWhileRoomIsMade(t *testing.T) {
	t.Parallel()
	q := openTest(t, Options{MaxSize: 6 << 20, every: undisturbed})
	publish(t, q, queue.Accepted, queue.Publication{Message: large(3 << 20)})
	must(t, receive(t, q, "here").Lease.Ack(time.Hour))
	must(t, q.flush(t.Context()))
	q.writer.mu.Lock()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := q.Publish(ctx, queue.Publication{Message: large(5 << 20)})
		ended <- err
	}()
	for making := false; !making; time.Sleep(time.Millisecond) {
		q.index.mu.Lock()
		making = q.index.asked > q.index.written
		q.index.mu.Unlock()
	}
	cancel()
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("publishing does not end")
	}
	q.writer.mu.Unlock()
	nothingPinned(t, q)
	nothing(t, q, "here")
}

// Who gives up when the chunks of a body are durable and their message still waits
// leaves no chunk that is wanted.
func TestChunksOfAMessageThatIsGivenUpAreNotKept(t *testing.T) {
	t.Parallel()
	begun, commits, over := make(chan int), make(chan struct{}), make(chan struct{})
	q := openTest(t, Options{every: undisturbed, commit: func(b *batch) error {
		select {
		case begun <- b.messages:
			<-commits
		case <-over:
		}
		return b.commit()
	}})
	publish := func(ctx context.Context, m *queue.Message) <-chan error {
		ended := make(chan error, 1)
		go func() {
			_, err := q.Publish(ctx, queue.Publication{Message: m})
			ended <- err
		}()
		return ended
	}
	waits := func() bool {
		q.committer.mu.Lock()
		defer q.committer.mu.Unlock()
		return slices.ContainsFunc(q.committer.waiting, func(op operation) bool {
			p, ok := op.(*publication)
			return ok && len(p.body) > 0
		})
	}
	for seen := false; !seen; {
		ctx, cancel := context.WithCancel(t.Context())
		given := publish(ctx, large(700<<10))
		<-begun // the chunk is in a commit, so that other is behind it
		other := publish(t.Context(), sender.Message("here"))
		gathered(q, 1)
		commits <- struct{}{}
		if seen = <-begun == 1; seen { // else the message is in the commit that other is in
			for !waits() {
				time.Sleep(time.Millisecond)
			}
		}
		cancel()
		if err := <-given; !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v", err)
		}
		commits <- struct{}{}
		must(t, <-other)
	}
	close(over)
	must(t, q.flush(t.Context()))
	nothingPinned(t, q)
}

// A sync hangs, and those who give up meanwhile leave nothing in memory and nothing in
// the queue. Those who wait on are served.
func TestAPublishThatIsGivenUpIsNotKept(t *testing.T) {
	t.Parallel()
	s := newStoppedCommit()
	q := openTest(t, Options{commit: s.commit, every: undisturbed})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 100)
	publish := func(ctx context.Context, m *queue.Message) {
		_, err := q.Publish(ctx, queue.Publication{Message: m})
		ended <- err
	}
	first, patient := sender.Message("here"), sender.Message("here")
	s.stop <- struct{}{}
	go publish(t.Context(), first)
	<-s.stopped
	go publish(t.Context(), patient)
	for range 98 {
		go publish(ctx, sender.Message("here"))
	}
	gathered(q, 99)
	cancel()
	for range 98 {
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	}
	q.committer.mu.Lock()
	if n := len(q.committer.waiting); n != 1 {
		t.Errorf("%d operations wait, want 1", n)
	}
	q.committer.mu.Unlock()
	close(s.release)
	for range 2 {
		must(t, <-ended)
	}
	for _, m := range []*queue.Message{first, patient} {
		if d := receive(t, q, "here"); d.Message.ID != m.ID {
			t.Errorf("received %s, want %s", d.Message.ID, m.ID)
		}
	}
	nothing(t, q, "here")
}

// nothingPinned checks that no chunk waits for its message.
func nothingPinned(t testing.TB, q *Queue) {
	t.Helper()
	must(t, q.flush(t.Context()))
	q.wanted.mu.Lock()
	defer q.wanted.mu.Unlock()
	if n := len(q.wanted.pinned); n != 0 {
		t.Errorf("chunks in %d segments are pinned", n)
	}
}

// count returns how many keys a table has.
func count(t testing.TB, q *Queue, table byte) (n int) {
	t.Helper()
	must(t, q.view(context.Background(), func(tx *badger.Txn) error {
		n = countIn(tx, table)
		return nil
	}))
	return n
}

func countIn(tx *badger.Txn, table byte) (n int) {
	it := tx.NewIterator(badger.IteratorOptions{Prefix: newKey(table)})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		n++
	}
	return n
}
