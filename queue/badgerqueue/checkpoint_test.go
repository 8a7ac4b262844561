// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue/badgerqueue/journal"
)

// tiny is a journal with segments of a size that a test soon fills.
const tiny = 256 << 10

func TestACheckpointSyncsTheLogsOfTheDatabase(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var synced []string
	m := newModel(t, Options{
		Dir: filepath.Join(t.TempDir(), "[any] name*"),
		sync: func(f *os.File) error {
			mu.Lock()
			defer mu.Unlock()
			synced = append(synced, filepath.Base(f.Name()))
			return f.Sync()
		},
	})
	m.change(10)
	mu.Lock()
	synced = nil
	mu.Unlock()
	must(t, m.checkpointer.sync())
	mu.Lock()
	defer mu.Unlock()
	for _, name := range logs(t, m.opts.Dir) {
		if !slices.Contains(synced, name) {
			t.Errorf("%s is not synced, but %v", name, synced)
		}
	}
	if !slices.Contains(synced, filepath.Base(m.opts.Dir)) || len(synced) < 2 {
		t.Errorf("synced is %v", synced)
	}
}

// A checkpoint that fails is none: what it could not sync is replayed. Nor is there
// another one, which might succeed only because the kernel tells of an error once.
func TestACheckpointThatFailsIsNone(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	m := newModel(t, Options{sync: func(f *os.File) error {
		if broken.Load() && !strings.HasSuffix(f.Name(), ".segment") {
			return errDisk
		}
		return f.Sync()
	}})
	m.change(10)
	before := m.checkpointer.begin()
	broken.Store(true)
	if err := m.checkpointer.make(t.Context()); !errors.Is(err, errDisk) {
		t.Errorf("got %v", err)
	}
	if got := m.checkpointer.begin(); got != before {
		t.Errorf("a replay would begin at %v, not at %v", got, before)
	}
	broken.Store(false)
	unavailable(t, "another checkpoint", m.checkpointer.make(t.Context()))
	if got := m.checkpointer.begin(); got != before {
		t.Errorf("a replay would begin at %v, not at %v", got, before)
	}
	unavailable(t, "Err", m.Err())
	m.copied(nil).check()
}

// However much is written, a restart reads only the end of it again.
func TestWhatARestartReplaysIsBounded(t *testing.T) {
	t.Parallel()
	const segment = 4 << 20
	m := newModel(t, Options{tune: asShipped, segment: segment})
	m.largest = 30 << 10
	for range 10 {
		m.change(300)
		for len(m.waiting) > 0 {
			m.ack()
		}
	}
	// The last checkpoint may be under way.
	deadline := time.Now().Add(10 * time.Second)
	for m.behind() > segment*checkpointEvery*2 && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	m.change(1) // its frame says where to begin
	c := m.copied(nil)
	must(t, c.Close())
	j, err := journal.Open(c.opts.Dir, c.opts.journalOptions())
	must(t, err)
	bytes := 0
	done, err := j.Replay(func(r journal.Replayed) error { bytes += len(r.Notes); return nil })
	must(t, err)
	must(t, j.Close())
	if done.Last < 100 {
		t.Errorf("there were only %d frames", done.Last)
	}
	if behind := m.behind(); behind > segment*checkpointEvery*2 {
		t.Errorf("%d bytes would be replayed", behind)
	}
}

// behind returns how many bytes a restart would replay.
func (m *model) behind() (n int64) {
	from, end := m.checkpointer.begin(), m.checkpointer.tail()
	for segment, size := range m.journal.Sizes() {
		switch {
		case segment == from.Segment && segment == end.Segment:
			n += int64(end.Offset - from.Offset)
		case segment == from.Segment:
			n += size - int64(from.Offset)
		case segment == end.Segment:
			n += int64(end.Offset)
		case segment > from.Segment:
			n += size
		}
	}
	return n
}

// drained is a queue that has segments of which nothing is wanted, and makes no
// checkpoint before its lock is given up.
func drained(t *testing.T, o Options) *model {
	t.Helper()
	o.segment = tiny
	m := newModel(t, o)
	m.checkpointer.one.Lock()
	for range 60 {
		m.publish(10 << 10)
	}
	for range 59 {
		m.ack()
	}
	m.change(3)
	return m
}

// With the segments goes what a replay would find in them: nothing that is there
// may hang on that, whatever a power cut leaves of the database.
func TestAPowerCutAroundADropLosesNothing(t *testing.T) {
	t.Parallel()
	var disk platter
	var before string // the frame that says where to begin
	var then *platter
	var hooked atomic.Bool
	var m *model
	m = drained(t, Options{tune: smaller, sync: disk.sync, commit: func(b *batch) error {
		if hooked.CompareAndSwap(true, false) {
			before, then = m.files(), disk.now()
		}
		return b.commit()
	}})
	segments, want := m.journal.Segments(), m.tables()
	hooked.Store(true)
	m.checkpointer.one.Unlock()
	must(t, m.checkpointer.make(t.Context()))
	if now := m.journal.Segments(); len(now) >= len(segments) {
		t.Fatalf("of %v there are still %v", segments, now)
	}
	for _, left := range powerCuts(t) {
		dir := t.TempDir()
		copyFiles(t, before, dir)
		then.cut(t, dir, left)
		c := m.openCopy(dir)
		sameTables(t, c.tables(), want)
		c.check()
	}
	for range 3 {
		m.copied(func(dir string) { disk.cut(t, dir, nothingLeft) }).check()
		m.change(20)
	}
}

// A checkpoint has what was there when it began, and no more.
func TestWhatComesDuringACheckpointIsReplayed(t *testing.T) {
	t.Parallel()
	var disk platter
	var during func()
	m := drained(t, Options{tune: smaller, sync: func(f *os.File) error {
		err := disk.sync(f)
		if filepath.Ext(f.Name()) == ".mem" && during != nil {
			do := during
			during = nil
			do()
		}
		return err
	}})
	first := m.journal.Segments()
	m.checkpointer.one.Unlock()
	must(t, m.checkpointer.make(t.Context()))
	m.checkpointer.one.Lock()
	m.change(5)
	during = func() {
		for len(m.journal.Segments()) < len(first) {
			m.publish(10 << 10)
			m.ack()
		}
		m.change(20)
	}
	m.checkpointer.one.Unlock()
	must(t, m.checkpointer.make(t.Context()))
	if during != nil {
		t.Fatal("nothing came")
	}
	m.copied(func(dir string) { disk.cut(t, dir, nothingLeft) }).check()
}

// Until a frame says where to begin, and is durable, a replay may need what is
// dropped.
func TestNothingIsDroppedIfTheFrameBeforeIsNotDurable(t *testing.T) {
	t.Parallel()
	disk := &failingDisk{}
	m := drained(t, Options{commit: disk.commit})
	before := m.journal.Segments()
	disk.broken.Store(true)
	m.checkpointer.one.Unlock()
	unavailable(t, "making a checkpoint", m.checkpointer.make(t.Context()))
	if after := m.journal.Segments(); !slices.Equal(after, before) {
		t.Errorf("of %v there are still %v", before, after)
	}
	c := m.copied(nil)
	c.check()
}

func TestWhatIsReadIsNotTakenAway(t *testing.T) {
	t.Parallel()
	m := drained(t, Options{})
	m.checkpointer.one.Unlock()
	must(t, m.viewBlobs(context.Background(), func(v view) error {
		page, _, err := m.scanBlobs(context.Background(), newKey(tableFresh))
		must(t, err)
		at := page[0].located
		for len(m.waiting) > 0 {
			m.ack()
		}
		m.flushed()
		must(t, m.rotate(t.Context()))
		must(t, m.checkpointer.make(t.Context()))
		if m.journal.Has(at.record.Segment) {
			t.Fatal("its segment was not dropped")
		}
		if _, err := v.readMessage(&at, true); err != nil {
			t.Errorf("in the view of before: %v", err)
		}
		return nil
	}))
}
