// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/caddy-webhook-inbox/inbox/queue"
	"github.com/caddy-webhook-inbox/inbox/queue/badgerqueue/journal"
	"github.com/caddy-webhook-inbox/inbox/queue/queuetest"
)

// small makes a database that opens fast and runs in a bubble.
func small(b *badger.Options) {
	*b = b.WithNumCompactors(0).WithNumLevelZeroTables(1000).WithNumLevelZeroTablesStall(2000).
		WithMemTableSize(8 << 20).WithValueLogFileSize(1 << 20)
}

// openTest opens a queue for a test, which closes it.
func openTest(t testing.TB, o Options) *Queue {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	if o.tune == nil {
		o.tune = small
	}
	if o.disk == nil {
		o.disk = endlessDisk{}
	}
	if o.patient == 0 {
		o.patient = time.Millisecond // in place of seconds with what is bad for good
	}
	q, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		wantedAreThere(t, q)
		if err := q.Close(); err != nil && !errors.Is(err, queue.ErrClosed) {
			t.Errorf("closing: %v", err)
		}
	})
	return q
}

// wantedAreThere checks, after each test, that what is counted as wanted of each
// segment is what the tables refer to: one byte too few, and messages would be
// dropped with their segment.
func wantedAreThere(t testing.TB, q *Queue) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	if q.use(ctx) != nil {
		return // it is closed, or broken
	}
	defer q.gate.leave()
	q.keeper.cancel() // it may be moving some
	<-q.keeper.ended
	referred := make(map[uint32]int64)
	_, err := q.eachBlob(context.Background(), func(_, current journal.Place) error {
		referred[current.Segment] += int64(current.Length)
		return nil
	})
	if errors.Is(err, errDiskLow) {
		return
	}
	must(t, err)
	q.wanted.mu.Lock()
	defer q.wanted.mu.Unlock()
	for s, n := range referred {
		if q.journal.Has(s) && q.wanted.bytes[s] != n {
			t.Errorf("of segment %d %d bytes are counted as wanted, the tables refer to %d", s, q.wanted.bytes[s], n)
		}
	}
	for s, n := range q.wanted.bytes {
		if referred[s] == 0 {
			t.Errorf("of segment %d %d bytes are counted as wanted, the tables refer to none", s, n)
		}
	}
}

// wantedAre checks how many messages the journal still has to have.
func wantedAre(t testing.TB, q *Queue, messages int) {
	t.Helper()
	n, err := q.eachBlob(context.Background(), func(_, _ journal.Place) error { return nil })
	must(t, err)
	if n != messages {
		t.Errorf("%d messages are wanted, want %d", n, messages)
	}
}

// endlessDisk is a disk that is never full.
type endlessDisk struct{}

func (endlessDisk) free() (int64, error) { return 1 << 50, nil }
func (endlessDisk) reserve(int64) error  { return nil }
func (endlessDisk) reserved() int64      { return 0 }

var errCrash = errors.New("the process was killed")

// crash leaves the directory of q as a kill of the process would have.
func crash(t testing.TB, q *Queue) {
	t.Helper()
	_ = q.poison(errCrash)
	for !q.committer.idle() || flushing(t, q.opts.Dir) {
		runtime.Gosched()
	}
	left := q.opts.Dir + ".left" // on the same disk
	must(t, os.Mkdir(left, 0o700))
	copyFiles(t, q.opts.Dir, left)
	shut(t, q)
	must(t, os.RemoveAll(q.opts.Dir))
	must(t, os.Rename(left, q.opts.Dir))
}

// flushing reports whether Badger is about to turn a log into a table, which a
// copy of the files would catch in the middle.
func flushing(t testing.TB, dir string) bool {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(dir, "*.mem"))
	must(t, err)
	return len(logs) > 1
}

func copyFiles(t testing.TB, from, to string) {
	t.Helper()
	files, err := os.ReadDir(from)
	must(t, err)
	for _, f := range files {
		if f.Name() == "LOCK" || f.Name() == ballastName {
			continue
		}
		copySparse(t, filepath.Join(from, f.Name()), filepath.Join(to, f.Name()))
	}
}

// copySparse copies a file that is mostly holes.
func copySparse(t testing.TB, from, to string) {
	t.Helper()
	src, err := os.Open(from)
	if errors.Is(err, os.ErrNotExist) {
		return // a segment was dropped meanwhile
	}
	must(t, err)
	defer func() { must(t, src.Close()) }()
	dst, err := os.Create(to)
	must(t, err)
	defer func() { must(t, dst.Close()) }()
	buffer := make([]byte, 64<<10)
	var at int64
	for {
		n, err := src.Read(buffer)
		for _, b := range buffer[:n] {
			if b != 0 {
				_, err := dst.WriteAt(buffer[:n], at)
				must(t, err)
				break
			}
		}
		at += int64(n)
		if errors.Is(err, io.EOF) {
			must(t, dst.Truncate(at))
			return
		}
		must(t, err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// give publishes n messages at endpoint.
func give(t testing.TB, q *Queue, endpoint string, n int) (given []*queue.Message) {
	t.Helper()
	for range n {
		m := sender.Message(endpoint)
		publish(t, q, queue.Accepted, queue.Publication{Message: m})
		given = append(given, m)
	}
	return given
}

// sender makes the messages of all tests, so that no two have the same id.
var sender queuetest.Sender

func publish(t testing.TB, q *Queue, want queue.Outcome, p queue.Publication) {
	t.Helper()
	r, err := q.Publish(t.Context(), p)
	must(t, err)
	if r.Outcome != want {
		t.Fatalf("outcome is %d, want %d", r.Outcome, want)
	}
}

// receive takes the next message of endpoint, which must be there.
func receive(t testing.TB, q *Queue, endpoint string) queue.Delivery {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	d, err := q.Receive(ctx, endpoint, time.Hour)
	must(t, err)
	return d
}

// nothing checks that no message of endpoint is ready.
func nothing(t testing.TB, q *Queue, endpoint string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if d, err := q.Receive(ctx, endpoint, time.Hour); err == nil {
		t.Fatalf("received %s, want nothing", d.Message.Request.Body)
	}
}

func stats(t testing.TB, q *Queue, endpoint string) queue.Stats {
	t.Helper()
	all, err := q.Endpoints(t.Context())
	must(t, err)
	return all[endpoint]
}

// reopen closes q and opens its directory with the same options.
func reopen(t testing.TB, q *Queue) *Queue {
	t.Helper()
	shut(t, q)
	return openTest(t, q.opts)
}

// shut closes q, and returns when its directory can be opened again. Close leaves that
// for later if the queue failed, or the disk is slow.
func shut(t testing.TB, q *Queue) {
	t.Helper()
	err := queue.ErrClosed
	q.closeOnce.Do(func() { err = q.shut() })
	must(t, err)
}

// rounds is how often a fault test does what it does: a few times, or with -tags
// faults as often as it takes hours.
func rounds(short, long int) int {
	if faultsAreLong {
		return long
	}
	return short
}
