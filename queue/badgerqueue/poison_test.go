// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
	"github.com/caddy-webhook-inbox/inbox/queue/queuetest"
)

var errDisk = errors.New("input/output error")

// A failing disk fails commits once it is broken, as a disk may: with the
// entries lost, or visible all the same.
type failingDisk struct {
	broken  atomic.Bool
	visible bool
}

func (d *failingDisk) commit(b *batch) error {
	if !d.broken.Load() {
		return b.commit()
	}
	if d.visible {
		return errors.Join(b.commit(), errDisk)
	}
	return errDisk
}

func TestAFailedCommitMakesTheQueueUnavailable(t *testing.T) {
	t.Parallel()
	for name, visible := range map[string]bool{"its entries are lost": false, "its entries are visible": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disk := &failingDisk{visible: visible}
			q := openTest(t, Options{commit: disk.commit})
			give(t, q, "here", 2)
			inFlight := receive(t, q, "here")
			waiting := make(chan error, 1)
			go func() {
				_, err := q.Receive(t.Context(), "elsewhere", time.Hour)
				waiting <- err
			}()

			disk.broken.Store(true)
			p := queue.Publication{Message: sender.Message("here"), Keys: []queue.Key{queuetest.Key("k", time.Hour)}}
			_, err := q.Publish(t.Context(), p)
			unavailable(t, "publishing", err)
			disk.broken.Store(false) // it recovers, but nobody knows what it forgot

			_, err = q.Publish(t.Context(), p)
			unavailable(t, "publishing again, which must not be called a duplicate", err)
			unavailable(t, "a receive that waited", <-waiting)
			_, err = q.Receive(t.Context(), "here", time.Hour)
			unavailable(t, "receiving", err)
			_, err = q.Probe(t.Context(), "here", queue.Pick{}, time.Hour)
			unavailable(t, "probing", err)
			unavailable(t, "acking", inFlight.Lease.Ack(0))
			unavailable(t, "making ready", q.MakeReady(t.Context(), "here", nil))
			unavailable(t, "noting an outage", q.SetOutage(t.Context(), "here", &queue.Outage{}))
			unavailable(t, "Err", q.Err())
			if !errors.Is(q.Err(), errDisk) {
				t.Errorf("Err does not say why: %v", q.Err())
			}

			q = reopen(t, q)
			must(t, q.Err())
			want := queue.Accepted
			if visible {
				want = queue.Duplicate // it was on the disk after all
			}
			publish(t, q, want, p)
			if s := stats(t, q, "here"); s.Waiting != 3 {
				t.Errorf("%d messages wait, want 3", s.Waiting)
			}
			for range 3 {
				must(t, receive(t, q, "here").Lease.Ack(0))
			}
			nothing(t, q, "here")
		})
	}
}

func TestASettlementThatFailsToCommitIsForgotten(t *testing.T) {
	t.Parallel()
	disk := &failingDisk{}
	q := openTest(t, Options{commit: disk.commit})
	m := give(t, q, "here", 1)[0]
	d := receive(t, q, "here")
	disk.broken.Store(true)
	must(t, d.Lease.Ack(0)) // it has taken note; the commit is to come
	_, err := q.Endpoints(t.Context())
	unavailable(t, "counting", err)
	disk.broken.Store(false)

	q = reopen(t, q)
	if d := receive(t, q, "here"); d.Message.ID != m.ID {
		t.Errorf("received %s, want %s", d.Message.ID, m.ID)
	}
}

func TestAPublishWhoseCallerGaveUpInTheCommitIsThereAsAWhole(t *testing.T) {
	t.Parallel()
	var once sync.Once
	begun, hold := make(chan struct{}), make(chan struct{})
	q := openTest(t, Options{commit: func(b *batch) error {
		once.Do(func() { close(begun) })
		<-hold
		return b.commit()
	}})
	ctx, cancel := context.WithCancel(t.Context())
	p := queue.Publication{Message: sender.Message("here"), Keys: []queue.Key{queuetest.Key("k", time.Hour)}}
	gone := make(chan error)
	go func() {
		_, err := q.Publish(ctx, p)
		gone <- err
	}()
	<-begun
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	close(hold)
	publish(t, q, queue.Duplicate, p)
	if d := receive(t, q, "here"); d.Message.ID != p.Message.ID {
		t.Errorf("received %s", d.Message.ID)
	}
}

// The database takes nothing any more, without an error, and then the queue fails for
// another reason. Who waits for the database is told: a publish, who wants to look at
// the tables, and who makes room.
func TestAQueueThatFailsLetsNobodyWaitForTheDatabase(t *testing.T) {
	t.Parallel()
	var commits atomic.Uint64
	q := openTest(t, Options{
		every: undisturbed,
		sync:  func(*os.File) error { return nil },
		commit: func(b *batch) error {
			commits.Add(1)
			return b.commit()
		},
	})
	q.writer.mu.Lock()
	defer q.writer.mu.Unlock()
	give(t, q, "here", 1)
	published, looked, made := make(chan error, 1), make(chan error, 1), make(chan error, 1)
	go func() { looked <- q.index.flush(context.Background()) }()
	go func() { made <- q.index.flushSurely() }()
	go func() {
		for n := 0; ; n++ {
			var keys []queue.Key // many, each of which is an entry
			for k := range 50 {
				keys = append(keys, queuetest.Key(fmt.Sprint(n, " ", k), time.Hour))
			}
			if _, err := q.Publish(context.Background(), queue.Publication{Message: sender.Message("here"), Keys: keys}); err != nil {
				published <- err
				return
			}
		}
	}()
	for waits := false; !waits; time.Sleep(time.Millisecond) {
		q.index.mu.Lock()
		waits = q.index.crowded() && commits.Load() > q.index.added
		q.index.mu.Unlock()
	}
	_ = q.poison(errDisk)
	for what, ended := range map[string]chan error{"a publish": published, "a look": looked, "making room": made} {
		select {
		case err := <-ended:
			unavailable(t, what, err)
		case <-time.After(10 * time.Second):
			t.Errorf("%s waits for ever", what)
		}
	}
}

func unavailable(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("%s: error is %v, want %v", what, err, queue.ErrUnavailable)
	}
}

// What fails before anything is written poisons nothing: the next try may well
// have the space, or the open files, that were missing.
func TestASegmentThatCannotBeBegunIsTriedAgain(t *testing.T) {
	t.Parallel()
	m := newModel(t, Options{segment: tiny})
	const failures = 20
	for n := range failures { // their names are taken
		must(t, os.Mkdir(filepath.Join(m.opts.Dir, fmt.Sprintf("%08x.segment", n+2)), 0o700))
	}
	refused := 0
	for range 100 {
		message := sender.Message("here")
		message.Request.Body = make([]byte, 10<<10)
		_, err := m.Publish(t.Context(), queue.Publication{Message: message})
		switch {
		case errors.Is(err, queue.ErrFull):
			t.Fatalf("%v, and there is space", err)
		case err != nil:
			refused++
		default:
			m.waiting[message.ID] = message
		}
	}
	if refused == 0 || refused > failures || len(m.journal.Segments()) < 3 {
		t.Errorf("%d messages were refused, in segments %v", refused, m.journal.Segments())
	}
	must(t, m.Err())
	for n := range failures {
		must(t, os.Remove(filepath.Join(m.opts.Dir, fmt.Sprintf("%08x.segment", n+2))))
	}
	m.copied(nil).check()
}
