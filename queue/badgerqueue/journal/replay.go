// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// A Replayed is a frame that a replay has found.
type Replayed struct {
	Number uint64
	Notes  []byte // until the call returns
}

// A Replay is what became of one.
type Replay struct {
	Begin Position // where it began
	Lost  uint64   // frames that are missing before others that are there
}

// Replay calls apply with every frame from where the last one says, in order.
// Frames that are damaged are left out and counted; those behind them are found
// all the same. What follows the last whole frame counts for nothing: it was
// never committed.
//
// After it the segments without a frame are dropped.
func (j *Journal) Replay(apply func(Replayed) error) (done Replay, err error) {
	from, err := j.begin()
	if err != nil {
		return done, fmt.Errorf("replaying the journal: %w", err)
	}
	done.Begin = from
	var last uint64
	for _, number := range j.Segments() {
		if number < from.Segment {
			continue
		}
		start := int64(headerSize)
		if number == from.Segment {
			start = max(start, int64(from.Offset))
		}
		w := walker{s: j.segments[number], at: start}
		for w.next() {
			if w.head.number <= last {
				continue
			}
			if last > 0 {
				done.Lost += w.head.number - last - 1
			}
			last = w.head.number
			if err := apply(Replayed{w.head.number, w.payload[w.head.blobs:]}); err != nil {
				return done, fmt.Errorf("replaying frame %d: %w", w.head.number, err)
			}
		}
		if w.err != nil {
			return done, fmt.Errorf("replaying the journal: %w", w.err)
		}
	}
	return done, nil
}

// begin finds where a replay begins: the last frame says so. Segments without
// any frame are dropped.
func (j *Journal) begin() (Position, error) {
	numbers := j.Segments()
	for i := len(numbers) - 1; i >= 0; i-- {
		s := j.segments[numbers[i]]
		w := walker{s: s, at: headerSize}
		var last *frameHead
		for w.next() {
			head := w.head
			last = &head
		}
		if w.err != nil {
			return Position{}, w.err
		}
		if last != nil {
			return last.from, nil
		}
		delete(j.segments, s.number)
		if err := s.remove(); err != nil {
			return Position{}, err
		}
	}
	return Position{}, nil
}

// A walker reads the frames of a segment, one after the other. It skips what is
// damaged.
type walker struct {
	s       *segment
	at      int64
	head    frameHead
	payload []byte
	err     error

	window []byte
	base   int64
}

func (w *walker) next() bool {
	for w.err == nil {
		b := w.read(w.at, frameHeader)
		if len(b) < frameHeader {
			return false
		}
		head, ok := w.s.parseHead(b)
		if !ok {
			if !w.search() {
				return false
			}
			continue
		}
		b = w.read(w.at, frameHeader+head.blobs+head.notes)
		if int64(len(b)) < frameHeader+head.blobs+head.notes ||
			crc32.Update(w.s.salt, castagnoli, b[frameHeader:]) != head.sum {
			w.at += 8
			if !w.search() {
				return false
			}
			continue
		}
		w.head, w.payload = head, b[frameHeader:]
		w.at = head.end(w.at)
		return true
	}
	return false
}

// search goes on to the next header of a frame, if there is one.
func (w *walker) search() bool {
	for w.err == nil {
		b := w.read(w.at, frameHeader)
		if len(b) < frameHeader {
			return false
		}
		if _, ok := w.s.parseHead(b); ok {
			return true
		}
		w.at += 8
	}
	return false
}

const windowSize = 4 << 20

// read returns up to n bytes at an offset, fewer only at the end of the file.
func (w *walker) read(at, n int64) []byte {
	if at < w.base || at+n > w.base+int64(len(w.window)) {
		size := min(max(n, windowSize), max(w.s.filled-at, 0))
		w.base = at
		if int64(cap(w.window)) < size {
			w.window = make([]byte, size)
		}
		w.window = w.window[:size]
		read, err := w.s.file.ReadAt(w.window, at)
		w.window = w.window[:read]
		if err != nil && !errors.Is(err, io.EOF) {
			w.err = fmt.Errorf("reading %s: %w", w.s.name, err)
			return nil
		}
	}
	rest := w.window[at-w.base:]
	return rest[:min(n, int64(len(rest)))]
}
