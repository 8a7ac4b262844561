// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// After a power cut the last frame of the journal cannot be read, and nobody knows of
// it. The next message is accepted, and the power is cut again, before the database is
// synced. When the old frame can be read again, it does not take the place of the new
// one.
func TestFaultAFrameThatIsReadableAgainHidesNone(t *testing.T) {
	t.Parallel()
	p := newPast(t, seeded(t))
	q := p.open()
	given := giveLong(t, q, "here", 3, 9000)
	disk := newWeakDisk()
	o := p.opts
	o.Dir, o.readAt = p.kill(q), disk.ReadAt
	o.sync = func(f *os.File) error {
		if filepath.Ext(f.Name()) != ".segment" {
			time.Sleep(200 * time.Millisecond) // the disk is slow with the database
		}
		return nil
	}
	cutOff(t, o.Dir)
	disk.spoilMessage(t, o.Dir, given[2])
	q = openTest(t, o)
	next := giveLong(t, q, "here", 1, 9000)[0]

	o.Dir = t.TempDir()
	copyFiles(t, q.opts.Dir, o.Dir)
	must(t, q.Close())
	cutOff(t, o.Dir)
	disk.heal()
	q = openTest(t, o)
	delivers(t, q, "here", given[0], given[1], next)
}

// cutOff takes away what is not synced but the journal: nothing tells how many
// commits there were.
func cutOff(t testing.TB, dir string) {
	t.Helper()
	removeLogs(t, dir)
	must(t, os.Remove(filepath.Join(dir, commitFileName)))
}
