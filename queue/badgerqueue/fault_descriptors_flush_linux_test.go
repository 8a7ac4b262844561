// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4/table"

	"github.com/caddy-webhook-inbox/inbox/queue"
	"github.com/caddy-webhook-inbox/inbox/queue/queuetest"
)

// While Badger can open no file, it cannot write its memtables as tables either, and
// nothing else is the matter. It does so when it can.
func TestFaultNoTableCanBeOpened(t *testing.T) {
	if !starving(t) {
		return
	}
	var q *Queue
	undo := func() {}
	for q == nil || !q.flushes.failed.Load() { // it may have got a file that is held for its log
		undo()
		q = openTest(t, Options{})
		give(t, q, "here", 10)
		before := q.db.Levels()[0].NumTables
		undo = limitFiles(t, 0)
		must(t, q.fillMemtable(t.Context()))
		comes(t, "Badger fails", func() bool { return q.flushes.failed.Load() || q.db.Levels()[0].NumTables > before })
	}
	must(t, q.Err())
	give(t, q, "here", 1)
	undo()
	comes(t, "Badger succeeds", func() bool { return !flushing(t, q.opts.Dir) })
	if s := stats(t, q, "here"); s.Waiting != 11 {
		t.Errorf("%d messages wait", s.Waiting)
	}
}

// A table that has to take the place of one that Badger listed and deleted cannot be
// written at first. It is when that is possible, though Badger says nothing then.
func TestFaultATableCannotStandInAtOnce(t *testing.T) {
	if !starving(t) {
		return
	}
	const often = 10 * time.Millisecond
	q := openTest(t, Options{every: intervals{disk: often, sweep: time.Hour, refresh: time.Hour, reclaim: time.Hour}})
	give(t, q, "here", 10)
	list(t, q.opts.Dir, "\x0a\x04\x08\x63\x30\x01") // one, 99, with Snappy
	undo := limitFiles(t, 0)
	q.couldNotFlush(errDisk)
	name := table.NewFilename(99, q.opts.Dir)
	if _, err := os.Stat(name); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is there: %v", err)
	}
	undo()
	comes(t, "it is there", func() bool {
		_, err := os.Stat(name)
		return err == nil
	})
	must(t, q.Err())
}

// Badger closes its list of tables to replace it by a shorter one. If that fails, it
// can write no table any more. The queue is unavailable then, and says why.
func TestFaultTheListOfTablesIsClosed(t *testing.T) {
	t.Parallel()
	q := openTest(t, Options{})
	given := give(t, q, "here", 10)
	log := q.db.Opts().Logger
	log.Errorf(flushFailed+": %v, retrying", &fs.PathError{Op: "write", Path: "MANIFEST", Err: errDisk})
	must(t, q.Err())
	log.Errorf(flushFailed+": %v, retrying", &fs.PathError{Op: "write", Path: "MANIFEST", Err: os.ErrClosed})
	unavailable(t, "Err", q.Err())
	q = reopen(t, q)
	for _, m := range given {
		if d := receive(t, q, "here"); d.Message.ID != m.ID {
			t.Errorf("received %s, want %s", d.Message.ID, m.ID)
		}
	}
}

// What could not be written to the database is still seen by a batch that was begun
// before that: it does not accept a duplicate, which would be delivered too.
func TestFaultWhatCouldNotBeWrittenIsSeen(t *testing.T) {
	t.Parallel()
	q := openTest(t, Options{})
	key := queuetest.Key("k", time.Hour)
	publish(t, q, queue.Accepted, queue.Publication{Message: sender.Message("here"), Keys: []queue.Key{key}})
	q.writer.mu.Lock()
	q.writer.err = errDisk
	q.writer.mu.Unlock()
	if err := q.index.flush(context.Background()); !errors.Is(err, errDisk) {
		t.Fatalf("the database is written: %v", err)
	}
	b, err := q.newBatch(1, 0)
	must(t, err)
	defer b.close()
	found, err := b.lookUp(q.scheduler.endpoint("here"), []queue.Key{key})
	if must(t, err); !found.known {
		t.Error("a duplicate is not known")
	}
	_ = q.poison(errDisk)
}

func comes(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// A replay writes so much to the database that Badger begins a memtable, for which it
// gets the files that are held open. They are held again when the queue is open.
func TestAReplayLeavesSpareFiles(t *testing.T) {
	t.Parallel()
	p := newPast(t, seeded(t))
	p.opts.tune, p.opts.segment = small, 0 // without a checkpoint
	q := p.open()
	crowd(t, q, "key", 400)
	p.opts.Dir, p.opts.tune = p.kill(q), tinyMemtables
	removeLogs(t, p.opts.Dir)
	q = p.open()
	if n := rotations(t, q); n < 2 {
		t.Fatalf("the newest memtable is %d: none was begun", n)
	}
	q.spares.mu.Lock()
	defer q.spares.mu.Unlock()
	if n := len(q.spares.files); n != spareFiles {
		t.Errorf("%d files are held open", n)
	}
}
