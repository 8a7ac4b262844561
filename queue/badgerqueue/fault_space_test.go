// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// A process is started while the disk is low, as operators do, and finds the ballast
// of the one before: it is released in an emergency, counted as it is, and made anew.
func TestFaultTheBallastOfTheLastProcessIsReleased(t *testing.T) {
	t.Parallel()
	d := &fakeDisk{space: 2000 << 20}
	o := Options{MinFreeSpace: minFree, Logger: zap.NewNop(), disk: d}
	expect := func(s *space, mayWrite bool, held int64) {
		t.Helper()
		if got := s.mayWrite(); got != mayWrite || d.held() != held<<20 {
			t.Errorf("may write: %v, want %v; ballast of %d MiB, want %d", got, mayWrite, d.held()>>20, held)
		}
	}
	restarted := func() *space {
		t.Helper()
		s := newSpace(o)
		must(t, s.beforeOpen())
		return s
	}
	expect(restarted(), true, 64)
	d.set(400 << 20)
	s := restarted()
	expect(s, true, 64)
	d.set(180 << 20) // 116 beside the ballast
	expect(s, true, 0)

	d.set(2000 << 20)
	expect(restarted(), true, 64)
	d.set(180 << 20)
	s = restarted() // which releases it itself
	expect(s, true, 0)
	d.set(576 << 20)
	expect(s, true, 64)
}

// The size of the ballast is that of its blocks: one that was being made when the
// process was killed holds less than its length.
func TestFaultTheBallastIsMeasuredByItsBlocks(t *testing.T) {
	t.Parallel()
	d := localDisk{t.TempDir()}
	if got := d.reserved(); got != 0 {
		t.Errorf("without one, %d bytes are held", got)
	}
	must(t, os.WriteFile(filepath.Join(d.dir, ballastName), nil, 0o600))
	must(t, os.Truncate(filepath.Join(d.dir, ballastName), 8<<20))
	if got := d.reserved(); got != 0 {
		t.Errorf("a hole holds %d bytes", got)
	}
	must(t, d.reserve(4<<20))
	if got := d.reserved(); got < 4<<20 || got > 5<<20 {
		t.Errorf("4 MiB hold %d bytes", got)
	}
}

// A moodyDisk does not answer while it has an error.
type moodyDisk struct {
	fakeDisk
	err   atomic.Pointer[error]
	looks atomic.Int64
}

func (d *moodyDisk) free() (int64, error) {
	d.looks.Add(1)
	if err := d.err.Load(); err != nil {
		return 0, fmt.Errorf("statfs: %w", *err)
	}
	return d.fakeDisk.free()
}

// A disk that fails to say how much is free may say it the next time: until then
// nothing is accepted, and that is logged once. Only a directory that is gone is so
// for good.
func TestFaultADiskFailsToSayWhatIsFree(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		gone bool
	}{
		{syscall.EIO, false}, {syscall.ENOMEM, false}, {syscall.EINTR, false}, {syscall.EACCES, false},
		{syscall.ENOENT, true}, {syscall.ENOTDIR, true}, {syscall.ESTALE, true},
	} {
		t.Run(c.err.Error(), func(t *testing.T) {
			t.Parallel()
			d := &moodyDisk{fakeDisk: fakeDisk{space: 10 << 30}}
			core, log := observer.New(zap.ErrorLevel)
			o := Options{disk: d, Logger: zap.New(core)}
			o.every = intervals{disk: time.Hour, sweep: time.Hour, refresh: time.Hour, reclaim: time.Hour}
			q := openTest(t, o)
			give(t, q, "here", 1)
			d.err.Store(&c.err)
			for range 3 {
				refused(t, q, "while the disk does not answer")
			}
			if log.Len() != 1 {
				t.Errorf("logged: %v", log.All())
			}
			d.err.Store(nil)
			if c.gone {
				refused(t, q, "though there is a directory again")
				return
			}
			publishSoon(t, q)
			if got := receive(t, q, "here"); got.Message == nil {
				t.Error("nothing is delivered")
			}
			must(t, q.Err())
			d.set(1 << 20)
			refused(t, q, "on a full disk")
			d.err.Store(&c.err)
			refused(t, q, "on a full disk that does not answer")
			d.err.Store(nil)
			d.set(10 << 30)
			publishSoon(t, q)
		})
	}
}

// With too little left for its own database the queue alone would fill the disk.
// Below 32 MiB nothing is written, however low the limit is; too low it cannot be.
func TestFaultAQueueLeavesRoomForItsDatabase(t *testing.T) {
	t.Parallel()
	for limit, refused := range map[int64]bool{1: true, LeastFreeSpace - 1: true, LeastFreeSpace: false, math.MaxInt64: false} {
		if _, err := (Options{Dir: "x", MinFreeSpace: limit}).withDefaults(); (err != nil) != refused {
			t.Errorf("with %d: %v", limit, err)
		}
	}
	d := &fakeDisk{space: 10 << 30}
	q := openTest(t, Options{disk: d})
	q.SetLimits(0, 1)
	for space, want := range map[int64]bool{32 << 20: true, 32<<20 - 1: false} {
		d.set(space)
		if got := q.space.mayWrite(); got != want {
			t.Errorf("with %d bytes: %v", space, got)
		}
	}
	d.set(10 << 30)
	q.SetLimits(0, math.MaxInt64)
	if q.space.mayWrite() || d.held() != 0 {
		t.Errorf("with a limit beyond every disk, a ballast of %d bytes", d.held())
	}
	q.SetLimits(0, 0)
}

// A compaction that began while there was room goes on for long, table by table. It
// stops while the disk is full, and goes on when it is not any more.
func TestFaultACompactionWaitsForRoom(t *testing.T) {
	t.Parallel()
	d := &moodyDisk{fakeDisk: fakeDisk{space: 10 << 30}}
	o := Options{disk: d, tune: compacting}
	o.every = intervals{disk: time.Hour, sweep: time.Hour, refresh: time.Hour, reclaim: time.Hour}
	q := openTest(t, o)
	writeTables(t, q, 2)
	tables := func() int {
		names, err := filesOf(q.opts.Dir, ".sst")
		must(t, err)
		return len(names)
	}
	before := tables()
	d.set(0)
	if q.space.mayWrite() {
		t.Error("the disk is not full")
	}
	looks := d.looks.Load()
	compacted := make(chan error, 1)
	go func() { compacted <- q.db.Flatten(1) }()
	for deadline := time.Now().Add(10 * time.Second); d.looks.Load() < looks+2; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) || len(compacted) > 0 {
			t.Fatalf("it was looked %d times, and the compaction is over: %v", d.looks.Load()-looks, len(compacted) > 0)
		}
	}
	if after := tables(); after != before {
		t.Errorf("there are %d tables on the full disk, of %d", after, before)
	}
	d.set(10 << 30)
	must(t, <-compacted)
	if l := q.db.Levels(); l[0].NumTables != 0 {
		t.Errorf("%d tables are left", l[0].NumTables)
	}
	publishSoon(t, q)
}

// compacting makes a database that is compacted only when it is told to.
func compacting(b *badger.Options) {
	small(b)
	*b = b.WithNumLevelZeroTables(1).WithBaseTableSize(1 << 20)
}

// writeTables fills tables with what cannot be compressed.
func writeTables(t *testing.T, q *Queue, n int) {
	t.Helper()
	random := rand.NewChaCha8([32]byte{})
	for i := 0; q.db.Levels()[0].NumTables < n; i++ {
		value := make([]byte, 100<<10)
		_, err := io.ReadFull(random, value)
		must(t, err)
		must(t, q.db.Update(func(tx *badger.Txn) error {
			return tx.Set(fmt.Appendf(newKey(tableFiller), "%d", i), value)
		}))
	}
	for flushing(t, q.opts.Dir) {
		time.Sleep(time.Millisecond)
	}
}
