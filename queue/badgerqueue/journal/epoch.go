// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"errors"
	"fmt"
)

// An epoch is the time between two drops. A segment that is dropped can be read
// for as long as there are readers of its epoch, or of one before.
type epoch struct {
	readers int
	dropped []*segment // when it ended
	next    *epoch
}

// An Epoch keeps the segments that can be read when it begins.
type Epoch struct {
	j *Journal
	e *epoch
}

// Enter begins an epoch, which wants a Leave.
func (j *Journal) Enter() Epoch {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.current.readers++
	return Epoch{j, j.current}
}

// Leave ends it.
func (e Epoch) Leave() {
	e.j.mu.Lock()
	e.e.readers--
	dead := e.j.passed()
	e.j.mu.Unlock()
	// What cannot be removed now is dropped when the journal is next opened.
	_ = e.j.dispose(dead)
}

// Has reports whether a segment can be read in the epoch.
func (e Epoch) Has(number uint32) bool { return e.segment(number) != nil }

func (e Epoch) segment(number uint32) *segment {
	e.j.mu.Lock()
	defer e.j.mu.Unlock()
	if s := e.j.segments[number]; s != nil {
		return s
	}
	for passed := e.e; passed != e.j.current; passed = passed.next {
		for _, s := range passed.dropped {
			if s.number == number {
				return s
			}
		}
	}
	return nil
}

// Has reports whether a segment was not dropped.
func (j *Journal) Has(number uint32) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.segments[number] != nil
}

// Drop drops segments that nothing is wanted of any more, also not by a replay. If a
// replay could not read all of one, nobody knows what that has: its file is not
// deleted, but set aside, under another name.
func (j *Journal) Drop(numbers []uint32) error {
	j.mu.Lock()
	for _, n := range numbers {
		s := j.segments[n]
		if s == nil || s == j.active {
			continue
		}
		delete(j.segments, n)
		j.current.dropped = append(j.current.dropped, s)
	}
	ended := j.current
	j.current = new(epoch)
	ended.next = j.current
	dead := j.passed()
	j.mu.Unlock()
	if err := j.dispose(dead); err != nil {
		return fmt.Errorf("dropping segments: %w", err)
	}
	return nil
}

// passed returns the segments whose last readers have left.
func (j *Journal) passed() (dead []*segment) {
	for j.oldest != j.current && j.oldest.readers == 0 {
		dead = append(dead, j.oldest.dropped...)
		j.oldest = j.oldest.next
	}
	return dead
}

// dispose removes segments, or keeps one to become the next.
func (j *Journal) dispose(dead []*segment) (err error) {
	for _, s := range dead {
		if s.hides {
			err = errors.Join(err, j.setAside(s))
			continue
		}
		large := s.size() >= j.opts.SegmentSize/2
		j.mu.Lock()
		keep := large && j.spare == nil && j.runway.busy()
		if keep {
			j.spare = s
		}
		j.mu.Unlock()
		if !keep {
			err = errors.Join(err, s.remove())
		}
	}
	return err
}
