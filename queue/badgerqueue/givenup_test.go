// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// publishing publishes a message, and tells how that ended.
func publishing(ctx context.Context, q *Queue, m *queue.Message) <-chan error {
	ended := make(chan error, 1)
	go func() {
		_, err := q.Publish(ctx, queue.Publication{Message: m})
		ended <- err
	}()
	return ended
}

// givesUp checks that a publish ends whose context is done.
func givesUp(t *testing.T, publishing <-chan error) {
	t.Helper()
	select {
	case err := <-publishing:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("publishing does not end")
	}
}

// waitingAre checks how many operations wait for the committer.
func waitingAre(t *testing.T, q *Queue, want int) {
	t.Helper()
	q.committer.mu.Lock()
	defer q.committer.mu.Unlock()
	if n := len(q.committer.waiting); n != want {
		t.Errorf("%d operations wait, want %d", n, want)
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
	written, waits := large(4<<20), large(4<<20)
	s.stop <- struct{}{}
	first := publishing(ctx, q, written)
	<-s.stopped
	second := publishing(ctx, q, waits)
	gathered(q, 1)
	cancel()
	givesUp(t, first)
	givesUp(t, second)
	waitingAre(t, q, 0)
	clear(written.Request.Body) // which the race detector sees if anybody still reads them
	clear(waits.Request.Body)
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
	given := publishing(ctx, q, large(5<<20))
	for making := false; !making; time.Sleep(time.Millisecond) {
		q.index.mu.Lock()
		making = q.index.asked > q.index.written
		q.index.mu.Unlock()
	}
	cancel()
	givesUp(t, given)
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
		given := publishing(ctx, q, large(700<<10))
		<-begun // the chunk is in a commit, so that other is behind it
		other := publishing(t.Context(), q, sender.Message("here"))
		gathered(q, 1)
		commits <- struct{}{}
		if seen = <-begun == 1; seen { // else the message is in the commit that other is in
			for !waits() {
				time.Sleep(time.Millisecond)
			}
		}
		cancel()
		givesUp(t, given)
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
	first, patient := sender.Message("here"), sender.Message("here")
	s.stop <- struct{}{}
	served := []<-chan error{publishing(t.Context(), q, first)}
	<-s.stopped
	served = append(served, publishing(t.Context(), q, patient))
	var given []<-chan error
	for range 98 {
		given = append(given, publishing(ctx, q, sender.Message("here")))
	}
	gathered(q, 99)
	cancel()
	for _, g := range given {
		givesUp(t, g)
	}
	waitingAre(t, q, 1)
	close(s.release)
	for _, ended := range served {
		must(t, <-ended)
	}
	for _, m := range []*queue.Message{first, patient} {
		if d := receive(t, q, "here"); d.Message.ID != m.ID {
			t.Errorf("received %s, want %s", d.Message.ID, m.ID)
		}
	}
	nothing(t, q, "here")
}
