// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"os"
	"testing"
)

// The index has lost more than it should: the replay begins with what it lacks, and
// counts what is there no more.
func TestFaultAnIndexIsBehindTheCheckpoint(t *testing.T) {
	t.Parallel()
	b := begin(t, t.TempDir(), little())
	b.fill(2, 70)
	b.Rotate()
	b.fill(3, 70)
	b.begin = b.Tail() // so that a replay begins with frame 6
	b.fill(2, 70)
	for _, c := range []struct {
		has   uint64
		gone  bool // the first segment
		first uint64
		lost  uint64
	}{
		{has: 7, first: 6},
		{has: 5, first: 6},
		{has: 4, first: 5},
		{has: 0, first: 1},
		{has: 2, gone: true, first: 3},
		{has: 0, gone: true, first: 3, lost: 2},
	} {
		dir := copied(t, b.dir)
		if c.gone {
			must(t, os.Remove(segmentName(dir, 1)))
		}
		j, err := Open(dir, b.opts)
		must(t, err)
		var all []uint64
		done, err := j.ReplayAfter(c.has, func(r Replayed) error {
			all = append(all, r.Number)
			return nil
		})
		must(t, err)
		if all[0] != c.first || all[len(all)-1] != 7 || done.Lost != c.lost {
			t.Errorf("%+v: replayed %v, %+v", c, all, done)
		}
		must(t, j.Close())
	}
}
