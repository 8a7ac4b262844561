// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"slices"
	"time"
)

// A retry is a message that is in w.
type retry struct {
	at    time.Time // of the monotonic clock; zero: now, and before all others
	place duePlace
}

func (r retry) compare(o retry) int {
	if c := r.at.Compare(o.at); c != 0 {
		return c
	}
	if r.place.before(o.place) {
		return -1
	}
	return 1
}

// mustLoadRetries reports whether what is on disk comes before what is in
// memory.
func (l *line) mustLoadRetries(now time.Time) bool {
	return l.more && !l.horizon.at.After(now) &&
		(len(l.retries) == 0 || l.horizon.compare(l.retries[0]) < 0)
}

// addRetry takes in a message that is in w now.
func (l *line) addRetry(r retry) {
	if l.held[r.place.seq] != nil {
		return // a probe was faster
	}
	i, _ := slices.BinarySearchFunc(l.retries, r, retry.compare)
	l.retries = slices.Insert(l.retries, i, r)
	if !l.loading {
		l.trim()
	}
}

// trim leaves the last of the retries to the disk.
func (l *line) trim() {
	for len(l.retries) > l.s.budgets.retries {
		dropped := l.retries[len(l.retries)-1]
		l.retries = l.retries[:len(l.retries)-1]
		if !l.more {
			l.more, l.horizon = true, dropped
			continue
		}
		if dropped.place.before(l.horizon.place) {
			l.horizon.place = dropped.place
		}
		if dropped.at.Before(l.horizon.at) {
			l.horizon.at = dropped.at
		}
	}
}
