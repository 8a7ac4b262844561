// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/caddy-webhook-inbox/inbox/queue"
	"github.com/caddy-webhook-inbox/inbox/queue/queuetest"
)

// asStarving, in the environment, makes a test the process that has no files left.
const asStarving = "WEBHOOK_INBOX_TEST_STARVING"

// starving runs a test in a process of its own, whose limits it may change, and which
// may be ended by what it finds. It reports false in the one that only looks on.
func starving(t *testing.T) bool {
	t.Helper()
	if os.Getenv(asStarving) != "" {
		return true
	}
	t.Parallel()
	c := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=60s")
	c.Env = append(os.Environ(), asStarving+"=1")
	out, err := c.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out[max(0, len(out)-4000):])
	}
	return false
}

// limitFiles lets the process open so many files more, and returns what undoes it.
func limitFiles(t *testing.T, more int) (undo func()) {
	t.Helper()
	var before syscall.Rlimit
	must(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before))
	var taken []*os.File
	for range more {
		f, err := os.Open(os.DevNull)
		must(t, err)
		taken = append(taken, f)
	}
	last, err := os.Open(os.DevNull) // the lowest number that is free
	must(t, err)
	limit := before
	limit.Cur = uint64(last.Fd())
	must(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit))
	for _, f := range append(taken, last) {
		must(t, f.Close())
	}
	return func() { must(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before)) }
}

// tinyMemtables are soon full.
func tinyMemtables(b *badger.Options) {
	small(b)
	*b = b.WithMemTableSize(1 << 20).WithValueThreshold(100 << 10)
}

// crowd publishes from several goroutines until each got an error or has published so
// many, and returns what was accepted.
func crowd(t *testing.T, q *Queue, name string, each int) (accepted map[queue.ID]bool, refused []error) {
	var mu sync.Mutex
	var senders sync.WaitGroup
	accepted = make(map[queue.ID]bool)
	for s := range 16 {
		senders.Go(func() {
			for n := range each {
				m := sender.Message("here")
				key := queuetest.Key(fmt.Sprint(name, s, "-", n), time.Hour)
				r, err := q.Publish(t.Context(), queue.Publication{Message: m, Keys: []queue.Key{key}})
				mu.Lock()
				switch {
				case err != nil:
					refused = append(refused, err)
				case r.Outcome != queue.Accepted:
					t.Errorf("outcome is %d", r.Outcome)
				default:
					accepted[m.ID] = true
				}
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	senders.Wait()
	return accepted, refused
}

// sameWait checks that exactly these messages wait.
func sameWait(t *testing.T, q *Queue, want map[queue.ID]bool) {
	t.Helper()
	if s := stats(t, q, "here"); s.Waiting != int64(len(want)) {
		t.Errorf("%d messages wait, want %d", s.Waiting, len(want))
	}
	for range len(want) {
		d := receive(t, q, "here")
		if !want[d.Message.ID] {
			t.Fatalf("received %s, which was not accepted or was received before", d.Message.ID)
		}
		delete(want, d.Message.ID)
		must(t, d.Lease.Ack(0))
	}
	nothing(t, q, "here")
}

// rotations counts the memtables that were begun.
func rotations(t *testing.T, q *Queue) (newest int) {
	t.Helper()
	for _, name := range logs(t, q.opts.Dir) {
		var n int
		_, err := fmt.Sscanf(strings.TrimSuffix(name, ".mem"), "%d", &n)
		must(t, err)
		newest = max(newest, n)
	}
	return newest
}

// No file can be opened any more while messages come in, and Badger begins new
// memtables. It does so with the files that were held for that. When they are used
// up, messages are refused as on a full disk, until files can be opened again.
func TestFaultNoFileCanBeOpened(t *testing.T) {
	if !starving(t) {
		return
	}
	q := openTest(t, Options{tune: tinyMemtables, sync: func(*os.File) error { return nil }})
	accepted, refused := crowd(t, q, "before", 100)
	if len(refused) > 0 {
		t.Fatal(refused[0])
	}
	before := rotations(t, q)
	undo := limitFiles(t, 0)
	during, refused := crowd(t, q, "during", 20_000)
	if err := q.Err(); err != nil || len(refused) == 0 {
		t.Fatalf("%d messages were accepted, and then: %v", len(during), err)
	}
	for _, err := range refused {
		if !errors.Is(err, errDiskLow) {
			t.Errorf("refused with %v", err)
		}
	}
	undo()
	if n := rotations(t, q) - before; n < 2 {
		t.Errorf("Badger began %d memtables meanwhile", n)
	}
	after := make(map[queue.ID]bool)
	for deadline := time.Now().Add(10 * time.Second); len(after) < 16*100 && time.Now().Before(deadline); {
		more, _ := crowd(t, q, fmt.Sprint("after", len(after)), 100)
		for id := range more {
			after[id] = true
		}
	}
	must(t, q.Err())
	for _, those := range []map[queue.ID]bool{during, after} {
		for id := range those {
			accepted[id] = true
		}
	}
	t.Logf("%d were accepted while no file could be opened", len(during))
	q = reopen(t, q)
	sameWait(t, q, accepted)
}

// Somebody else takes the files that are held for Badger just when it is to open one.
// The queue is unavailable then, and says so; the process lives, and nothing that was
// accepted is lost. That is so whoever makes Badger begin a memtable.
func TestFaultTheLastFileIsTaken(t *testing.T) {
	if !starving(t) {
		return
	}
	t.Run("while messages come in", func(t *testing.T) {
		q := openTest(t, Options{tune: tinyMemtables, sync: func(*os.File) error { return nil }})
		accepted, _ := crowd(t, q, "before", 100)
		q.spares.end()
		undo := limitFiles(t, 0)
		during, _ := crowd(t, q, "during", 20_000)
		unavailable(t, "Err", q.Err())
		_, err := q.Endpoints(t.Context())
		unavailable(t, "counting", err)
		undo()
		for id := range during {
			accepted[id] = true
		}
		q = reopen(t, q)
		// What was under way when it failed may be there, too, though it was refused.
		for range stats(t, q, "here").Waiting {
			d := receive(t, q, "here")
			delete(accepted, d.Message.ID)
			must(t, d.Lease.Ack(0))
		}
		if len(accepted) > 0 {
			t.Errorf("%d messages are lost", len(accepted))
		}
	})
	t.Run("while room is given back", func(t *testing.T) {
		q := openTest(t, Options{})
		given := give(t, q, "here", 10)
		q.spares.end()
		undo := limitFiles(t, 0)
		unavailable(t, "filling the memtable", q.fillMemtable(t.Context()))
		unavailable(t, "Err", q.Err())
		_, err := q.Publish(t.Context(), queue.Publication{Message: sender.Message("here")})
		unavailable(t, "publishing", err)
		unavailable(t, "looking at the tables", q.glance(func(tx *badger.Txn) error {
			_, _, err := get(tx, stateKey())
			return err
		}))
		_, _, _, err = q.index.get(newKey(tableFiller))
		unavailable(t, "getting a key", err)
		undo()
		q = reopen(t, q)
		accepted := make(map[queue.ID]bool)
		for _, m := range given {
			accepted[m.ID] = true
		}
		sameWait(t, q, accepted)
	})
}

// A queue is opened with no file to spare, one, two, and so on. The process lives and
// says why it cannot, until there are enough, and what was in the queue is there.
func TestFaultTooFewFilesToOpenAQueue(t *testing.T) {
	if !starving(t) {
		return
	}
	for name, n := range map[string]int{"anew": 0, "with a table": 100} {
		t.Run(name, func(t *testing.T) {
			o := Options{Dir: t.TempDir(), tune: small, disk: endlessDisk{}}
			q := openTest(t, o)
			give(t, q, "here", n)
			must(t, q.Close())
			if n == 0 {
				must(t, os.RemoveAll(o.Dir))
			}
			for files, err := 0, error(syscall.EMFILE); err != nil; files++ {
				undo := limitFiles(t, files)
				q, err = Open(o)
				undo()
				if err == nil && files < filesToOpen {
					t.Errorf("it was opened with %d files", files)
				}
				if err != nil && (files > 2*filesToOpen || !errors.Is(err, syscall.EMFILE)) {
					t.Fatalf("with %d files: %v", files, err)
				}
			}
			if s := stats(t, q, "here"); s.Waiting != int64(n) {
				t.Errorf("%d messages wait, want %d", s.Waiting, n)
			}
			must(t, q.Close())
		})
	}
}
