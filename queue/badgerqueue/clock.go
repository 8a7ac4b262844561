// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import "time"

// A steadyClock is the wall clock as it was when the queue was opened, which goes on
// from there evenly. What is stored to be due goes by it: while the queue is open,
// nothing comes earlier or later because the clock was set, in memory or not.
type steadyClock struct {
	wall   time.Time
	opened time.Time // the same of the monotonic clock
	before uint64    // the version of what was last stored before
}

func newSteadyClock(now func() time.Time) steadyClock {
	return steadyClock{wall: now().Round(0), opened: time.Now()}
}

func (c steadyClock) now() time.Time { return c.wall.Add(time.Since(c.opened)) }

// at returns when something is due, by the monotonic clock, that was stored with a
// version to be due at some time, after a delay. The clock may have been set back
// between when it was stored and when the queue was opened: nothing waits for longer
// than its delay from then on.
func (c steadyClock) at(due time.Time, version uint64, delay time.Duration) time.Time {
	if last := c.wall.Add(delay); version <= c.before && due.After(last) {
		due = last
	}
	return c.opened.Add(due.Sub(c.wall))
}
