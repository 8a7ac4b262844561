// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/caddy-webhook-inbox/inbox/queue"
	"github.com/caddy-webhook-inbox/inbox/queue/badgerqueue/journal"
)

// The process is killed, or the power is cut, before each frame of it.
func TestACrashWhileMessagesAreMovedLosesNone(t *testing.T) {
	t.Parallel()
	type crash struct {
		dir  string
		then *platter
	}
	var disk platter
	var crashes []crash
	var moving atomic.Bool
	var m *model
	m = newModel(t, Options{segment: tiny, tune: smaller, sync: disk.sync, commit: func(b *batch) error {
		if moving.Load() {
			crashes = append(crashes, crash{m.files(), disk.now()})
		}
		return b.commit()
	}})
	m.checkpointer.one.Lock()
	m.traffic(4, 10<<10)
	m.checkpointer.one.Unlock()
	must(t, m.checkpointer.make(t.Context()))
	moving.Store(true)
	m.reclaimed()
	m.traffic(2, 10)
	m.reclaimed()
	moving.Store(false)
	if len(crashes) < 10 {
		t.Fatalf("there were %d frames", len(crashes))
	}
	all, cuts := len(m.dead)+len(m.kept)+len(m.waiting), powerCuts(t)
	for i, c := range crashes {
		if i > 6 && i < len(crashes)-1 {
			continue
		}
		for how, left := range cuts {
			if i%2 == 1 && how != "nothing is left" {
				continue
			}
			dir := t.TempDir()
			copyFiles(t, c.dir, dir)
			c.then.cut(t, dir, left)
			o := m.opts
			o.Dir, o.commit, o.sync = dir, nil, nil
			q := openTest(t, o)
			if q.Lost() != 0 {
				t.Errorf("%d commits are said to be lost", q.Lost())
			}
			wantedAreThere(t, q)
			n, err := q.eachBlob(context.Background(), func(_, current journal.Place) error {
				e := q.journal.Enter()
				defer e.Leave()
				_, err := e.Read(current)
				return err
			})
			if err != nil || n > all+40 {
				t.Fatalf("of %d messages one cannot be read: %v", n, err)
			}
			must(t, q.Close())
		}
	}
	m.check()
}

// A message is settled when relocate looks for messages, and seen all the same.
func TestWhatIsBeingErasedIsNotMoved(t *testing.T) {
	t.Parallel()
	l := newLatch()
	m := newModel(t, Options{segment: tiny, commit: l.commit})
	held := m.hold()
	m.traffic(6, 10<<10)
	must(t, m.checkpointer.make(t.Context()))
	m.checkpointer.one.Lock() // no other commits are made
	defer m.checkpointer.one.Unlock()
	if !m.sparse()[held.Lease.(*lease).h.record.Segment] {
		t.Fatal("it would not be moved anyway")
	}
	t.Cleanup(l.open)
	for !m.committer.idle() {
		runtime.Gosched()
	}
	l.shut <- struct{}{}
	must(t, held.Lease.Ack(0))
	<-l.reached // it is applied, and not to be seen yet
	done := make(chan error, 1)
	go func() { done <- m.relocate(context.WithoutCancel(t.Context())) }()
	for waits := false; !waits; runtime.Gosched() { // it has seen what it sees
		m.committer.mu.Lock()
		waits = len(m.committer.waiting) > 0
		m.committer.mu.Unlock()
	}
	l.open()
	must(t, <-done)
	wantedAreThere(t, m.Queue)
}

// hold takes a message that the model then knows nothing of.
func (m *model) hold() queue.Delivery {
	m.t.Helper()
	m.publish(1000)
	d := m.take()
	delete(m.waiting, d.Message.ID)
	return d
}

// A message is settled while relocate looks for messages, and so is found twice.
func TestAMessageThatGoesFromOneTableToAnotherIsMovedOnce(t *testing.T) {
	t.Parallel()
	for name, settle := range map[string]func(*model){
		"nacked": func(m *model) { m.nack() },
		"buried": func(m *model) { m.bury() },
		"kept":   func(m *model) { m.keep() },
		"acked":  func(m *model) { m.ack() },
		"redriven": func(m *model) {
			for id := range m.dead {
				m.redrive(id)
				return
			}
		},
		"discarded": func(m *model) {
			for id := range m.dead {
				m.discard(id)
				return
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newModel(t, Options{segment: tiny})
			m.traffic(6, 10<<10)
			var all []moving
			m.wanted.watchErased(true)
			defer m.wanted.watchErased(false)
			from := m.sparse()
			_, err := m.eachBlob(context.Background(), func(place, current journal.Place) error {
				if from[current.Segment] {
					all = append(all, moving{place: place, from: current})
				}
				return nil
			})
			must(t, err)
			settle(m)
			m.flushed()
			_, err = m.eachBlob(context.Background(), func(place, current journal.Place) error {
				if from[current.Segment] {
					all = append(all, moving{place: place, from: current})
				}
				return nil
			})
			must(t, err)
			must(t, m.moveBlobs(t.Context(), all[:len(all)/2+1]))
			must(t, m.moveBlobs(t.Context(), all[len(all)/2+1:]))
			wantedAreThere(t, m.Queue)
			m.copied(nil).check()
		})
	}
}

// Who moves must not stop looking at what is erased before his last batch is
// through.
func TestACancelledMoveOfBlobsHasEnded(t *testing.T) {
	t.Parallel()
	l := newLatch()
	m := newModel(t, Options{segment: tiny, commit: l.commit})
	held := m.hold()
	m.traffic(6, 10<<10)
	must(t, m.checkpointer.make(t.Context()))
	m.checkpointer.one.Lock() // no other commits are made
	defer m.checkpointer.one.Unlock()
	t.Cleanup(l.open)
	for !m.committer.idle() {
		runtime.Gosched()
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	l.shut <- struct{}{}
	go func() { done <- m.relocate(ctx) }()
	<-l.reached // with the first batch
	cancel()
	select {
	case err := <-done:
		t.Fatalf("it ended before its batch: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	must(t, held.Lease.Ack(0))
	l.open()
	if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	m.flushed()
	wantedAreThere(t, m.Queue)
}

// A batch that moves a blob for the second time must still be able to read it.
func TestABatchReadsWhatItMoves(t *testing.T) {
	t.Parallel()
	m := newModel(t, Options{segment: tiny})
	first := m.publish(1000)
	m.bury()
	m.traffic(6, 10<<10)
	m.reclaimed()
	if m.journal.Has(1) {
		t.Fatal("the first segment is still there")
	}
	record, err := m.located(first.ID)
	must(t, err)
	var at, to journal.Place
	_, err = m.eachBlob(context.Background(), func(place, current journal.Place) error {
		if place == record {
			at, to = place, current
		}
		return nil
	})
	must(t, err)
	if at == to {
		t.Fatal("it was not moved")
	}
	epoch := m.journal.Enter()
	blob, err := epoch.Read(to)
	must(t, err)
	epoch.Leave()
	var keys int
	must(t, m.Queue.change(t.Context(), &change{entries: 10, bytes: 8 << 10, write: func(b *batch) error {
		b.want(to, -1)
		b.set(movedKey(at), encodeMoved(b.blob(blob)))
		dead, err := b.readDead(m.scheduler.lookUp("here"), []queue.ID{first.ID}, false)
		keys = len(dead[0].held)
		return err
	}}))
	if keys != 1 {
		t.Errorf("of the dead letter, %d keys are found", keys)
	}
	m.copied(nil).check()
}

// located returns the place of a dead letter.
func (m *model) located(id queue.ID) (at journal.Place, err error) {
	err = m.view(context.Background(), func(tx *badger.Txn) error {
		value, _, err := get(tx, deadKey(m.scheduler.lookUp("here").number.Load(), id))
		if err != nil {
			return err
		}
		r, err := decodeSettled(value)
		at = r.record
		return err
	})
	return at, err
}
