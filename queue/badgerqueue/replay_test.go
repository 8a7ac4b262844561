// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/caddy-webhook-inbox/inbox/queue"
	"github.com/caddy-webhook-inbox/inbox/queue/badgerqueue/journal"
	"github.com/caddy-webhook-inbox/inbox/queue/queuetest"
)

// A frame makes a batch durable. What comes after it, a restart does again.
func TestACrashBehindAFrameLosesNothing(t *testing.T) {
	t.Parallel()
	var fail, frame bool
	m := newModel(t, Options{commit: func(b *batch) error {
		switch {
		case !fail:
			return b.commit()
		case frame:
			return errors.Join(b.commit(), errCrash)
		default:
			return errCrash
		}
	}})
	for range 3 {
		for _, frame = range []bool{false, true} {
			m.change(30)
			message := sender.Message("here")
			p := queue.Publication{Message: message, Keys: keyOf(message.ID)}
			fail = true
			_, err := m.Publish(t.Context(), p)
			unavailable(t, "publishing", err)
			crash(t, m.Queue)
			fail = false
			m.Queue = openTest(t, m.opts)
			want := queue.Accepted
			if frame {
				want = queue.Duplicate
			}
			publish(t, m.Queue, want, p)
			m.waiting[message.ID] = message
			m.copied(nil).check()
		}
	}
}

// To replay more than is needed changes nothing: here each frame names any of
// those before as the one to begin at.
func TestAReplayFromAnOlderPlaceGivesTheSame(t *testing.T) {
	t.Parallel()
	random := seeded(t)
	var mu sync.Mutex
	var ends []journal.Position
	m := newModel(t, Options{commit: func(b *batch) error {
		mu.Lock()
		defer mu.Unlock()
		ends = append(ends, b.q.journal.Tail())
		return b.q.journal.Commit(b.frame, b.q.state.commits, ends[random.IntN(len(ends))])
	}})
	for range 10 {
		m.change(50)
		m.copied(nil).check()
	}
}

// bitOfLastFrame flips a bit of the notes of the last frame.
func bitOfLastFrame(t testing.TB, dir string, end journal.Position) {
	t.Helper()
	name := filepath.Join(dir, fmt.Sprintf("%08x.segment", end.Segment))
	data, err := os.ReadFile(name)
	must(t, err)
	at := int(end.Offset) - 1
	for data[at] == 0 {
		at--
	}
	data[at] ^= 1
	must(t, os.WriteFile(name, data, 0o600))
}

// The database may have the changes of a frame that is damaged. What comes after
// must not take the places of what is in it.
func TestWhatIsOfADamagedFrameIsNotWrittenOver(t *testing.T) {
	t.Parallel()
	m := newModel(t, Options{})
	m.change(30)
	known := m.publish(100) // in the last frame, with a new place, and
	first := give(t, m.Queue, "new endpoint", 1)[0]
	must(t, m.view(context.Background(), func(*badger.Txn) error { return nil }))
	dir := m.files()
	bitOfLastFrame(t, dir, m.checkpointer.tail())
	o := m.opts
	o.Dir = dir
	q := openTest(t, o)
	if q.Lost() != 1 {
		t.Errorf("%d commits are said to be lost", q.Lost())
	}
	second := give(t, q, "another endpoint", 1)[0]
	third := give(t, q, "new endpoint", 1)[0]
	for endpoint, want := range map[string][]*queue.Message{
		"new endpoint":     {first, third},
		"another endpoint": {second},
	} {
		for _, message := range want {
			if d := receive(t, q, endpoint); d.Message.ID != message.ID {
				t.Errorf("at %q, received %s, want %s", endpoint, d.Message.ID, message.ID)
			}
		}
		nothing(t, q, endpoint)
	}
	publish(t, q, queue.Duplicate, queue.Publication{Message: sender.Message("here"), Keys: keyOf(known.ID)})
	if s := stats(t, q, "new endpoint"); s.Waiting != 2 {
		t.Errorf("the statistics are %+v", s)
	}
}

// Where a frame is lost, the counts may be those of before it, and what the
// database has is after it.
func TestALossDoesNotTakeWhatIsWhole(t *testing.T) {
	t.Parallel()
	m := newModel(t, Options{segment: tiny})
	m.checkpointer.one.Lock()
	m.publish(1000)
	m.publish(1000)
	other, settled := m.take(), m.take()
	for range 30 {
		m.publish(20 << 10)
	}
	for range 30 {
		m.ack()
	}
	m.flushed()
	must(t, m.checkpointer.sync()) // so that a replay begins behind it
	m.publish(10)
	m.ack()
	m.flushed()
	must(t, settled.Lease.Ack(0))
	delete(m.waiting, settled.Message.ID)
	m.flushed()
	must(t, m.view(context.Background(), func(*badger.Txn) error { return nil }))
	dir := m.files()
	bitOfLastFrame(t, dir, m.checkpointer.tail())
	m.checkpointer.one.Unlock()

	// The database has it that one is settled. Its frame is lost.
	c := m.openCopy(dir)
	if c.Lost() != 1 {
		t.Errorf("%d commits are said to be lost", c.Lost())
	}
	wantedAreThere(t, c.Queue)
	if s := stats(t, c.Queue, "here"); s.Waiting != 1 || s.Bytes != other.Lease.(*lease).h.size {
		t.Errorf("the statistics are %+v", s)
	}
	must(t, c.rotate(t.Context()))
	must(t, c.checkpointer.make(t.Context()))
	if d := receive(t, c.Queue, "here"); d.Message.ID != other.Message.ID {
		t.Errorf("received %s", d.Message.ID)
	}
	must(t, c.Close())
	q := openTest(t, c.opts)
	if q.Lost() != 0 {
		t.Errorf("%d commits are said to be lost again", q.Lost())
	}
	wantedAreThere(t, q)
}

func TestALossIsSaidOnceAlsoIfTheProcessIsKilled(t *testing.T) {
	t.Parallel()
	m := newModel(t, Options{})
	m.change(30)
	dir := m.files()
	bitOfLastFrame(t, dir, m.checkpointer.tail())
	o := m.opts
	o.Dir = dir
	q := openTest(t, o)
	if q.Lost() != 1 {
		t.Errorf("%d commits are said to be lost", q.Lost())
	}
	for range 3 {
		give(t, q, "here", 2)
		crash(t, q)
		q = openTest(t, o)
		if q.Lost() != 0 {
			t.Errorf("%d commits are said to be lost again", q.Lost())
		}
	}
}

func TestAFrameInTheMiddleThatIsDamagedIsSaidToBeLost(t *testing.T) {
	t.Parallel()
	var ends []journal.Position
	m := newModel(t, Options{commit: func(b *batch) error {
		err := b.commit()
		ends = append(ends, b.q.journal.Tail())
		return err
	}})
	lost := m.publish(300)
	m.flushed()
	at := len(ends) - 1
	m.change(30)
	dir := m.files()
	for _, name := range logs(t, dir) {
		must(t, os.Remove(filepath.Join(dir, name))) // after a power cut
	}
	bitOfLastFrame(t, dir, ends[at])
	o := m.opts
	o.Dir, o.commit = dir, nil
	q := openTest(t, o)
	if q.Lost() != 1 {
		t.Errorf("%d commits are said to be lost", q.Lost())
	}
	wantedAreThere(t, q)
	publish(t, q, queue.Accepted, queue.Publication{Message: sender.Message("here"), Keys: keyOf(lost.ID)})
}

// A body may be in frames of its own, which came before a crash, or did not.
func TestACrashBetweenTheChunksOfABodyLeavesNothing(t *testing.T) {
	t.Parallel()
	var dirs []string
	var m *model
	m = newModel(t, Options{segment: 4 << 20, commit: func(b *batch) error {
		dirs = append(dirs, m.files())
		return b.commit()
	}})
	m.largest = 100
	m.change(10)
	dirs = nil
	copyOf := func(dir string) *model {
		c := m.openCopy(dir)
		nothingPinned(t, c.Queue)
		return c
	}
	message := m.publish(4 << 20)
	if len(dirs) < 3 {
		t.Fatalf("it took %d frames", len(dirs))
	}
	delete(m.waiting, message.ID)
	for _, dir := range dirs {
		copyOf(dir).check()
	}
	m.waiting[message.ID] = message
	m.copied(nil).check()
}

func TestANoteThatIsNotKnownIsOfANewerVersion(t *testing.T) {
	t.Parallel()
	q := openTest(t, Options{commit: func(b *batch) error {
		b.frame.Note('?')
		return b.commit()
	}})
	give(t, q, "here", 1)
	crash(t, q)
	o := q.opts
	o.commit = nil
	if _, err := Open(o); !errors.Is(err, errNewerRecord) {
		t.Errorf("got %v", err)
	}
}

func FuzzReplayNotes(f *testing.F) {
	q := openTest(f, Options{every: undisturbed})
	publish(f, q, queue.Accepted, queue.Publication{
		Message: sender.Message("here"),
		Keys:    []queue.Key{queuetest.Key("k", time.Hour)},
	})
	must(f, q.Close())
	j, err := journal.Open(q.opts.Dir, q.opts.journalOptions())
	must(f, err)
	_, err = j.Replay(func(r journal.Replayed) error { f.Add(bytes.Clone(r.Notes)); return nil })
	must(f, errors.Join(err, j.Close()))
	f.Add([]byte{noteSet, 1, 'z', 255, 255, 255, 255, 255, 255, 255, 255, 255, 1})
	f.Add([]byte{noteDelete, 0})
	f.Add(slices.Repeat([]byte{noteDelete, 1, 'z'}, 100))
	dir := f.TempDir()
	db, err := badger.Open(q.opts.badgerOptions().WithDir(dir).WithValueDir(dir))
	must(f, err)
	f.Cleanup(func() { must(f, db.Close()) })
	f.Fuzz(func(t *testing.T, notes []byte) {
		w := db.NewWriteBatch()
		defer w.Cancel()
		_ = replayNotes(w, notes) // it must not panic, nor ask for endless memory
	})
}
