// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"errors"
	"os"
	"sync"
	"time"
)

// A runway fills the file ahead of the writer, and prepares the next segment,
// in the background. Whatever it has not done in time, or cannot do, the writer
// does for itself.
type runway struct {
	j    *Journal
	wake chan struct{} // holds one token
	done sync.WaitGroup

	making sync.Mutex // held while a segment is made

	mu     sync.Mutex
	target *segment
	tail   int64
	taken  time.Time // when the last segment was begun
}

func (r *runway) start(j *Journal) {
	r.j = j
	r.wake = make(chan struct{}, 1)
	r.target, r.tail = j.active, j.active.tail
	r.done.Go(func() {
		for range r.wake {
			r.clear()
		}
	})
}

func (r *runway) end() {
	if r.wake == nil {
		return
	}
	close(r.wake)
	r.done.Wait()
	r.wake = nil
}

// advanced is told where the writer is.
func (r *runway) advanced(s *segment) {
	r.mu.Lock()
	r.target, r.tail = s, s.tail
	r.mu.Unlock()
	if r.wantsFill(s, s.tail) || r.wantsNext(s.tail) {
		select {
		case r.wake <- struct{}{}:
		default: // it has not looked since the last time
		}
	}
}

func (r *runway) wantsFill(s *segment, tail int64) bool {
	filled := s.size()
	return filled-tail < r.j.opts.Runway/2 && filled < r.j.opts.SegmentSize
}

func (r *runway) wantsNext(tail int64) bool {
	return tail > r.j.opts.SegmentSize/2 && !r.j.hasNext()
}

func (r *runway) clear() {
	r.mu.Lock()
	s, tail := r.target, r.tail
	r.mu.Unlock()
	if r.wantsFill(s, tail) {
		if err := s.fill(min(tail+r.j.opts.Runway, r.j.opts.SegmentSize)); err != nil {
			return
		}
		// An error of a sync is told once to each who has the file open. The
		// writer's must not be told here.
		if f, err := os.OpenFile(s.name, os.O_RDWR, 0); err == nil {
			_ = errors.Join(r.j.opts.Sync(f), f.Close())
		}
	}
	if r.wantsNext(tail) {
		r.making.Lock()
		defer r.making.Unlock()
		if !r.j.hasNext() {
			if next, err := r.j.create(r.j.takeSpare(), r.j.opts.Runway); err == nil {
				r.j.setNext(next)
			}
		}
	}
}

func (j *Journal) hasNext() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.next != nil
}

func (j *Journal) setNext(s *segment) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.next = s
}

func (j *Journal) takeSpare() *segment {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := j.spare
	j.spare = nil
	return s
}

// nextSegment makes the next segment the active one.
func (j *Journal) nextSegment() error {
	j.runway.making.Lock()
	defer j.runway.making.Unlock()
	j.mu.Lock()
	next := j.next
	j.next = nil
	j.mu.Unlock()
	if next == nil {
		var err error
		if next, err = j.create(j.takeSpare(), firstRunway); err != nil {
			return err
		}
	}
	j.mu.Lock()
	j.active = next
	j.segments[next.number] = next
	j.mu.Unlock()

	r := &j.runway
	r.mu.Lock()
	defer r.mu.Unlock()
	r.target, r.tail, r.taken = next, next.tail, time.Now()
	return nil
}

// busyFor is how long a segment that was dropped is kept to be the next one.
const busyFor = 5 * time.Second

func (r *runway) busy() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.taken.IsZero() && time.Since(r.taken) < busyFor
}

// Trim gives back what was kept for a busy time, once that is over. It is for
// the writer.
func (j *Journal) Trim() error {
	if j.runway.busy() {
		return nil
	}
	var err error
	if s := j.takeSpare(); s != nil {
		err = s.remove()
	}
	return errors.Join(err, j.active.trim(j.active.tail+j.opts.Runway))
}

// trim gives back what is filled beyond an offset, if that is much.
func (s *segment) trim(to int64) error {
	to = align(to, pageSize)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.filled < to+worthTrimming {
		return nil
	}
	if err := s.file.Truncate(to); err != nil {
		return err
	}
	s.filled = to
	return nil
}

const worthTrimming = 8 << 20
