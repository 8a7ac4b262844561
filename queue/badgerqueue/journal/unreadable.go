// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync/atomic"
	"syscall"
	"time"
)

// ErrUnreadable: the disk cannot read what is at a place. Unlike one that is damaged,
// it may be readable again.
var ErrUnreadable = errors.New("cannot be read from the disk")

// An opening is the time until Start, in which the disk is asked for longer: what
// cannot be read then is not replayed.
type opening struct {
	patience time.Duration // left for all that cannot be read
	over     atomic.Bool
}

// waits reports whether to ask the disk once more after a read that failed, which was
// begun at the given time. It returns in a moment.
func (o *opening) waits(begun time.Time) bool {
	if o == nil || o.over.Load() || o.patience <= 0 {
		return false
	}
	time.Sleep(min(o.patience, readAgain))
	o.patience -= time.Since(begun)
	return true
}

const (
	readAgain = 20 * time.Millisecond // after the disk has failed, before it is asked again
	hopeless  = time.Second           // for this long after it has failed twice, it is asked again at once
	patience  = 5                     // reads, if it is not the disk that fails
)

// passing reports whether a read failed for want of what may be there in a moment.
// That says nothing of what was to be read.
func passing(err error) bool {
	return slices.ContainsFunc([]error{syscall.EINTR, syscall.EAGAIN, syscall.ENOMEM, syscall.EMFILE, syscall.ENFILE},
		func(e error) bool { return errors.Is(err, e) })
}

// readAt is ReadAt of the file, which is tried again in a moment if it fails, and for
// longer while the journal is opened. An error of the disk is ErrUnreadable then.
func (s *segment) readAt(b []byte, at int64) (n int, err error) {
	for tried := 1; ; tried++ {
		begun := time.Now()
		n, err = s.readFile(s.file, b, at)
		switch {
		case err == nil || errors.Is(err, io.EOF):
			return n, err
		case unreadable(err) && s.opening.waits(begun):
		case unreadable(err) && tried < 2:
			if time.Since(time.Unix(0, s.failed.Load())) > hopeless {
				time.Sleep(readAgain)
			}
		case unreadable(err):
			s.failed.Store(time.Now().UnixNano())
			return n, s.unreadable(at+int64(n), err)
		case passing(err) && tried < patience:
			time.Sleep(readAgain)
		default:
			return n, fmt.Errorf("reading from the journal: %w", err)
		}
	}
}

// unreadable names the place and what the disk said, without the name of the file.
func (s *segment) unreadable(at int64, err error) error {
	if file := (*os.PathError)(nil); errors.As(err, &file) {
		err = file.Err
	}
	return fmt.Errorf("segment %08x at %d %w: %w", s.number, at, ErrUnreadable, err)
}

// header returns why there is none. One that could not be read is looked for again.
// Only those wait for the disk meanwhile who read from the segment too.
func (s *segment) header() error {
	if h := s.said(); h.unread == nil {
		return s.missing(h)
	}
	s.looking.Lock()
	defer s.looking.Unlock()
	if h := s.said(); h.unread == nil {
		return s.missing(h)
	}
	h, err := s.readHeader()
	if err != nil && !errors.Is(err, errUnfinished) {
		return err
	}
	s.mu.Lock()
	s.salted = h
	s.mu.Unlock()
	return s.missing(h)
}

// said returns what the header says, as far as it is known.
func (s *segment) said() salted {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.salted
}

func (s *segment) missing(h salted) error {
	switch {
	case h.unread != nil:
		return h.unread
	case h.damaged:
		return fmt.Errorf("segment %08x has no header: %w", s.number, ErrDamaged)
	default:
		return nil
	}
}

// readPages is readAt that leaves zeros where pages cannot be read, and returns these.
func (s *segment) readPages(b []byte, at int64) (n int, bad []Place, err error) {
	n, err = s.readAt(b, at)
	if !errors.Is(err, ErrUnreadable) {
		return n, nil, err
	}
	for err = nil; n < len(b) && err == nil; {
		start := at + int64(n)
		page := b[n:min(int64(len(b)), align(start+1, pageSize)-at)]
		var read int
		if read, err = s.readAt(page, start); errors.Is(err, ErrUnreadable) {
			clear(page)
			bad = addPlace(bad, Place{s.number, uint32(start), uint32(len(page))})
			read, err = len(page), nil
		}
		n += read
	}
	return n, bad, err
}

// addPlace adds a place to those before it, as one with the last if they touch.
func addPlace(all []Place, p Place) []Place {
	if n := len(all); n > 0 && all[n-1].Segment == p.Segment && all[n-1].Offset+all[n-1].Length == p.Offset {
		all[n-1].Length += p.Length
		return all
	}
	return append(all, p)
}

// cannotRead notes what a replay could not read of a segment, which from then on hides
// something, as far as anybody knows. It may come to some twice.
func (r *Replay) cannotRead(w *walker) {
	w.s.hides = w.s.hides || len(w.bad) > 0
	for _, p := range w.bad {
		known := slices.ContainsFunc(r.Unreadable, func(k Place) bool {
			return k.Segment == p.Segment && k.Offset <= p.Offset && p.Offset+p.Length <= k.Offset+k.Length
		})
		if !known {
			r.Unreadable = addPlace(r.Unreadable, p)
		}
	}
}

// mayHide counts the frames that may be at places behind an offset, at most.
func mayHide(bad []Place, behind int64) (frames uint64) {
	for _, p := range bad {
		if int64(p.Offset)+int64(p.Length) > behind {
			frames += uint64(p.Length)/frameHeader + 2 // with those that it has an end of
		}
	}
	return frames
}
