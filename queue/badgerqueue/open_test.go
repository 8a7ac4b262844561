// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
	"go.uber.org/goleak"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

func TestMain(m *testing.M) {
	if os.Getenv(crashChild) != "" {
		os.Exit(runCrashChild())
	}
	if os.Getenv(visitChild) != "" {
		os.Exit(runVisitChild())
	}
	goleak.VerifyTestMain(m)
}

func TestADirectoryIsOpenOnce(t *testing.T) {
	t.Parallel()
	q := openTest(t, Options{})
	if _, err := Open(q.opts); !errors.Is(err, ErrLocked) {
		t.Errorf("got %v", err)
	}
	give(t, q, "here", 1) // and the first goes on
}

func TestADirectoryOfANewerVersionIsRefused(t *testing.T) {
	t.Parallel()
	q := openTest(t, Options{})
	give(t, q, "here", 1)
	must(t, q.Close())
	newer := q.state.state
	newer.schema = schemaVersion + 1
	edit(t, q.opts, func(tx *badger.Txn) error { return tx.Set(stateKey(), newer.encode()) })
	if _, err := Open(q.opts); !errors.Is(err, ErrNewer) {
		t.Errorf("got %v", err)
	}
	newer.schema = schemaVersion
	edit(t, q.opts, func(tx *badger.Txn) error { return tx.Set(stateKey(), newer.encode()) })
	receive(t, openTest(t, q.opts), "here")
}

func TestOptionsThatMakeNoSenseAreRefused(t *testing.T) {
	t.Parallel()
	for _, o := range []Options{{}, {Dir: t.TempDir(), MaxSize: -1}, {Dir: t.TempDir(), MinFreeSpace: -1}} {
		if q, err := Open(o); err == nil {
			t.Errorf("opened with %+v", o)
			must(t, q.Close())
		}
	}
}

func TestTheStateOfTheQueueSurvivesAReopen(t *testing.T) {
	t.Parallel()
	q := openTest(t, Options{})
	give(t, q, "here", 10)
	must(t, receive(t, q, "here").Lease.Ack(time.Hour))
	must(t, receive(t, q, "here").Lease.Bury("gone", queue.History{Attempts: 1}, time.Hour))
	must(t, receive(t, q, "here").Lease.Nack(time.Hour, queue.History{Attempts: 1}))
	must(t, receive(t, q, "here").Lease.Ack(0))
	before := stats(t, q, "here")
	q = reopen(t, q)
	if after := stats(t, q, "here"); after != before {
		t.Errorf("before %+v\nafter  %+v", before, after)
	}
}

func TestCloseIsQuickAndEndsThoseWhoWait(t *testing.T) {
	t.Parallel()
	q := openTest(t, Options{tune: asShipped})
	fill(t, q, 20_000)
	ended := make(chan error, 2)
	go func() {
		_, err := q.Receive(context.Background(), "elsewhere", time.Hour)
		ended <- err
	}()
	go func() {
		_, err := q.Probe(context.Background(), "elsewhere", queue.Pick{}, time.Hour)
		ended <- err
	}()
	time.Sleep(10 * time.Millisecond)
	begun := time.Now()
	must(t, q.Close())
	if took := time.Since(begun); took > 6*patience { // on a disk that is slow
		t.Errorf("it took %v", took)
	}
	for range 2 {
		if err := <-ended; !errors.Is(err, queue.ErrClosed) {
			t.Errorf("got %v", err)
		}
	}
}

func TestALogThatWasCutOffIsNoticed(t *testing.T) {
	t.Parallel()
	q := openTest(t, Options{})
	give(t, q, "here", 1)
	old := t.TempDir()
	copyFiles(t, q.opts.Dir, old)
	give(t, q, "here", 7)
	must(t, q.Close())

	// The database is of before, the count is of now.
	must(t, os.Rename(filepath.Join(q.opts.Dir, commitFileName), filepath.Join(old, commitFileName)))
	o := q.opts
	o.Dir = old
	cut := openTest(t, o)
	if lost := cut.Lost(); lost != 7 {
		t.Errorf("%d commits are said to be lost, want 7", lost)
	}
	give(t, cut, "here", 1)
	if again := reopen(t, cut); again.Lost() != 0 {
		t.Error("it is said twice")
	}
}

func TestATornCountOfCommitsIsNoAlarm(t *testing.T) {
	t.Parallel()
	q := openTest(t, Options{})
	give(t, q, "here", 3)
	must(t, q.Close())
	name := filepath.Join(q.opts.Dir, commitFileName)
	for _, torn := range [][]byte{nil, {1, 2, 3}, binary.BigEndian.AppendUint64(nil, 1<<40), make([]byte, 12)} {
		must(t, os.WriteFile(name, torn, 0o600))
		q = openTest(t, q.opts)
		if q.Lost() != 0 {
			t.Errorf("%x: %d commits are said to be lost", torn, q.Lost())
		}
		must(t, q.Close())
	}
}

// edit changes the database of a closed queue behind its back.
func edit(t testing.TB, o Options, change func(tx *badger.Txn) error) {
	t.Helper()
	db, err := badger.Open(o.badgerOptions())
	must(t, err)
	must(t, db.Update(change))
	must(t, db.Close())
}
