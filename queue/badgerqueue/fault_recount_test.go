// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/dgraph-io/badger/v4"
)

// The journal has no whole frame any more, so all that was counted anew at the start
// is in the database alone. A power cut after it takes nothing of that away: what was
// missing is not missed again.
func TestFaultARecountIsDurableWithoutAFrame(t *testing.T) {
	t.Parallel()
	q := openTest(t, Options{tune: smaller, every: undisturbed})
	give(t, q, "here", 1)
	must(t, receive(t, q, "here").Lease.Ack(0))
	must(t, q.flush(t.Context()))
	must(t, q.view(context.Background(), func(*badger.Txn) error { return nil })) // the database has it
	old := filepath.Join(t.TempDir(), "old")
	must(t, os.Mkdir(old, 0o700))
	copyFiles(t, q.opts.Dir, old)
	give(t, q, "here", 7)
	must(t, q.Close())
	must(t, os.Rename(filepath.Join(q.opts.Dir, commitFileName), filepath.Join(old, commitFileName)))
	rob(t, old) // of all its frames

	var disk platter
	o := q.opts
	o.Dir, o.sync = old, disk.sync
	q = openTest(t, o)
	if n := q.Lost(); n != 7 {
		t.Errorf("%d commits are said to be lost, want 7", n)
	}
	for range 2 { // at the second start there is nothing to be counted
		for flushing(t, q.opts.Dir) {
			runtime.Gosched()
		}
		dir := t.TempDir()
		q.checkpointer.one.Lock() // it commits
		copyFiles(t, q.opts.Dir, dir)
		q.checkpointer.one.Unlock()
		disk.cut(t, dir, nothingLeft)
		o.Dir = dir
		q = openTest(t, o)
		if n := q.Lost(); n != 0 {
			t.Errorf("%d commits are said to be lost again", n)
		}
	}
}
