// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"context"
	"errors"
	"os"
	"runtime"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// drain delivers what waits, and then what would be handed out although nothing does.
func (s *soak) drain() {
	s.t.Helper()
	for {
		ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Millisecond)
		d, err := s.q.Receive(ctx, "here", time.Minute)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			if n := stats(s.t, s.q, "here"); n.Waiting == n.InFlight {
				break
			}
			continue
		}
		must(s.t, err)
		s.tried(d, 200)
		s.settle(d, d.History)
	}
	if got := stats(s.t, s.q, "here").Waiting; got != 0 && !s.forgetful {
		s.t.Errorf("drained, %d messages wait", got)
	}
}

// compact makes Badger compact all that it has, so that it drops what was deleted,
// and drops the segments that nothing is wanted of.
func (s *soak) compact() {
	s.t.Helper()
	must(s.t, s.q.flush(s.t.Context()))
	time.Sleep(2 * time.Millisecond) // what is kept is kept no longer
	must(s.t, newSweeper(s.q).sweep(s.t.Context()))
	before := len(s.q.journal.Segments())
	must(s.t, s.q.reclaim(s.t.Context()))
	s.dropped += before - len(s.q.journal.Segments())
	if s.turns%4 == 1 {
		must(s.t, s.q.fillMemtable(s.t.Context()))
		must(s.t, s.q.db.Flatten(1))
		s.compacted++
	}
}

// end ends the process, by a kill or in good order, and begins another.
func (s *soak) end(kill bool) {
	s.t.Helper()
	began, dir := time.Now(), s.q.opts.Dir
	if kill {
		crash(s.t, s.q)
		s.ledger.Fault(began, time.Now())
	} else {
		shut(s.t, s.q)
	}
	s.open(dir)
	if n := s.q.Lost(); n != 0 {
		s.t.Errorf("%d commits are said to be lost", n)
	}
}

// known checks that some of the keys from a number on are known.
func (s *soak) known(from int) {
	s.t.Helper()
	for n := from; n < s.published; n += max(1, s.size/200) {
		publish(s.t, s.q, queue.Duplicate, queue.Publication{Message: sender.Message("here"), Keys: keysOf(int64(n))})
	}
}

// measure notes how much memory and disk there is, and how much there may be.
func (s *soak) measure() {
	const mib = 1 << 20
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	var segments int64
	for _, n := range s.q.journal.Sizes() {
		segments += n
	}
	heap, journal, tables := float64(m.HeapInuse)/mib, float64(segments)/mib, float64(s.q.tableSize())/mib
	s.heap, s.segments, s.tables = max(s.heap, heap), max(s.segments, journal), max(s.tables, tables)
	keys := float64(s.published) / mib
	turn := float64(s.size) / mib
	if faultsAreLong { // else there are other tests in the heap
		s.ledger.Measured("MiB of heap", heap, 150+1500*turn+8*keys)
	}
	s.ledger.Measured("MiB of journal", journal, 16)
	s.ledger.Measured("MiB of tables", tables, 16+1000*turn+250*keys)
	s.ledger.Measured("messages wanted", float64(s.q.wanted.total()), 0)
	s.ledger.Measured("goroutines", float64(runtime.NumGoroutine()), 1000)
	if files, err := os.ReadDir("/proc/self/fd"); err == nil {
		// Every table is one, and one in a level that was just compacted is half full.
		perTable := float64(s.q.db.Opts().BaseTableSize) / mib
		s.ledger.Measured("open files", float64(len(files)), 200+2*tables/perTable)
	}
}
