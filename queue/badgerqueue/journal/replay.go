// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"slices"
)

// A Replayed is a frame that a replay has found.
type Replayed struct {
	Number uint64
	Notes  []byte // until the call returns
}

// A Replay is what became of one.
type Replay struct {
	Begin Position // where it began, unless the index lacked more
	Lost  uint64   // frames that are missing before others that are there; at least
	Last  uint64   // the number of the last one that is there; 0 if none is
	Empty []uint32 // the segments behind it. If they have blobs, they are damaged, or the disk cannot read them

	Unreadable []Place // where the disk could not read what was to be looked at
	Hidden     uint64  // frames that may be there behind the last one; at most
}

// Replay calls apply with every frame from where the last one says, in order.
// Frames that are damaged are left out and counted; those behind them are found
// all the same, and so it is with what the disk cannot read. What follows the last
// whole frame counts for nothing: it was never committed, or cannot be told from
// what was not.
//
// What a replay has found is durable when it returns.
func (j *Journal) Replay(apply func(Replayed) error) (Replay, error) {
	return j.ReplayAfter(math.MaxUint64, apply)
}

// ReplayAfter is Replay for an index that has no frame with a higher number than
// has. If it should have more by now, the replay begins with the first frame that
// it lacks, as far as there is one: those that were dropped are counted as lost.
func (j *Journal) ReplayAfter(has uint64, apply func(Replayed) error) (done Replay, err error) {
	if err := j.findLast(&done); err != nil {
		return done, fmt.Errorf("replaying the journal: %w", err)
	}
	from := done.Begin
	if has < from.Number {
		from = Position{Number: has} // wherever that ends
	}
	last := from.Number
	for _, number := range j.Segments() {
		if number < from.Segment {
			continue
		}
		start := int64(headerSize)
		if number == from.Segment {
			start = max(start, int64(from.Offset))
		}
		w := walker{s: j.segments[number], at: start}
		if w.s.unread != nil {
			w.bad = []Place{{Segment: number, Length: uint32(w.s.filled)}}
		}
		for w.next() {
			if w.head.number <= last {
				continue
			}
			done.Lost += w.head.number - last - 1
			last = w.head.number
			if err := apply(Replayed{w.head.number, w.payload[w.head.blobs:]}); err != nil {
				return done, fmt.Errorf("replaying frame %d: %w", w.head.number, err)
			}
		}
		done.cannotRead(&w)
		if w.err != nil {
			return done, fmt.Errorf("replaying the journal: %w", w.err)
		}
	}
	return done, nil
}

// findLast finds the last frame, which says where a replay begins, and the
// segments behind it.
func (j *Journal) findLast(done *Replay) error {
	for _, number := range slices.Backward(j.Segments()) {
		s := j.segments[number]
		var last frameHead
		var at, end int64
		w := walker{s: s, at: headerSize}
		for w.next() {
			last, at, end = w.head, w.start, w.at
		}
		if w.err != nil {
			return w.err
		}
		if s.unread != nil {
			w.bad = []Place{{Segment: number, Length: uint32(s.filled)}}
		}
		done.cannotRead(&w)
		done.Hidden += mayHide(w.bad, end)
		if last.number > 0 {
			done.Begin, done.Last = last.from, last.number
			return j.keep(s, at, frameHeader+last.blobs+last.notes)
		}
		if s.damaged {
			done.Lost++ // it had one
		}
		done.Empty = append(done.Empty, number)
	}
	return nil
}

// keep writes the last frame once more. It may be there only as far as the
// kernel knows: the process died before its sync, or the disk failed with it,
// after which a sync would say that all is well.
func (j *Journal) keep(s *segment, at, size int64) error {
	frame := make([]byte, size)
	_, err := s.readAt(frame, at)
	if err == nil {
		_, err = s.file.WriteAt(frame, at)
	}
	if err == nil {
		err = j.opts.Sync(s.file)
	}
	if err != nil {
		return spaceError(fmt.Errorf("writing the last frame of %s: %w", s.name, err))
	}
	return nil
}

// A walker reads the frames of a segment, one after the other. It skips what is
// damaged: where the header of a frame is whole, to where that says that it
// ends, else to the next header.
type walker struct {
	s       *segment
	at      int64
	start   int64 // of the frame
	head    frameHead
	payload []byte
	err     error

	bad []Place // that could not be read

	window []byte
	base   int64
}

func (w *walker) next() bool {
	for !w.s.damaged {
		b := w.read(w.at, frameHeader)
		if len(b) < frameHeader {
			return false
		}
		head, ok := w.s.parseHead(w.at, b)
		if !ok {
			w.at += 8
			w.skip()
			continue
		}
		w.start, w.at = w.at, head.end(w.at)
		size := frameHeader + head.blobs + head.notes
		b = w.read(w.start, size)
		if w.err != nil {
			return false
		}
		if int64(len(b)) == size && crc32.Update(w.s.salt, castagnoli, b[frameHeader:]) == head.sum {
			w.head, w.payload = head, b[frameHeader:]
			return true
		}
	}
	return false
}

// skip goes on over what is plainly no header, which is most of a segment that
// was begun lately.
func (w *walker) skip() {
	if w.at < w.base || w.at > w.base+int64(len(w.window)) {
		return
	}
	for rest := w.window[w.at-w.base:]; len(rest) >= frameHeader && !w.s.mayBeHead(rest); rest = rest[8:] {
		w.at += 8
	}
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
		read, bad, err := w.s.readPages(w.window, at)
		w.window = w.window[:read]
		w.bad = append(w.bad, bad...)
		if err != nil && !errors.Is(err, io.EOF) {
			w.err = fmt.Errorf("reading %s: %w", w.s.name, err)
			return nil
		}
	}
	rest := w.window[at-w.base:]
	return rest[:min(n, int64(len(rest)))]
}
