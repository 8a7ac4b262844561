// SPDX-License-Identifier: Apache-2.0

// Package journal keeps bytes in a log that is durable frame by frame.
//
// A frame is what one commit writes, with one sync: blobs, which are read again
// by their places, and notes, which are read again only to replay what an index
// that is not synced itself may have lost. Frames are numbered, one after the
// other, and each says from where on a replay must begin that finds it last.
//
// The log is cut into segments, files of about 64 MiB. A segment is written from
// front to end, once, and dropped when nothing in it is wanted any more:
//
//	00000005.segment   frame frame frame frame frame frame
//	00000006.segment   frame frame frame 0000000000000
//	                                     ▲           ▲
//	                                     tail        filled
//
// What is written ahead of the tail are zeros: a sync that only overwrites need
// not wait for the file system's own journal, and takes half the time. For the
// same reason a segment that is dropped becomes the next one.
//
// After a crash, Open finds every frame whose Commit has returned. The last one
// may also be there, whole, though its Commit had not.
package journal

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

var (
	// ErrNoSpace: the disk has no room for the next frame. Nothing was written.
	ErrNoSpace = errors.New("no space for the journal")

	// ErrMissing: the segment of a place was dropped, or lost.
	ErrMissing = errors.New("segment is missing")

	// ErrDamaged: what is at a place is not what was written there.
	ErrDamaged = errors.New("damaged")

	// ErrNewer: a newer version wrote the journal.
	ErrNewer = errors.New("journal was written by a newer version")
)

// A Place is where a blob is.
type Place struct {
	Segment uint32
	Offset  uint32
	Length  uint32 // of the blob, in bytes
}

// A Position is where a frame begins. The zero Position is before all frames.
type Position struct {
	Segment uint32
	Offset  uint32
	Number  uint64 // of the frame before it
}

// Before reports whether p comes before q.
func (p Position) Before(q Position) bool {
	return p.Segment < q.Segment || p.Segment == q.Segment && p.Offset < q.Offset
}

// Options say how a journal is kept. The zero value has the defaults.
type Options struct {
	// SegmentSize is the size of a segment in bytes, about: a frame that is begun
	// is also ended there. Default: 64 MiB.
	SegmentSize int64

	// Runway is how many bytes are filled with zeros ahead of the tail.
	// Default: 4 MiB.
	Runway int64

	// Sync makes a file durable. Default: as the system can.
	Sync func(*os.File) error

	// ReadAt reads from a file. Default: (*os.File).ReadAt.
	ReadAt func(f *os.File, b []byte, at int64) (int, error)

	// Patience is how long the disk is asked again, until Start, for all that it cannot
	// read. Default: 10 s.
	Patience time.Duration

	// SetAside is told the name that a file has now whose segment was dropped without
	// having been read: see Drop. Default: nobody is told.
	SetAside func(name string)

	syncDir func(dir string) error // what tests change
}

func (o Options) withDefaults() Options {
	if o.SegmentSize == 0 {
		o.SegmentSize = 64 << 20
	}
	if o.Runway == 0 {
		o.Runway = 4 << 20
	}
	if o.Sync == nil {
		o.Sync = datasync
	}
	if o.ReadAt == nil {
		o.ReadAt = (*os.File).ReadAt
	}
	if o.Patience == 0 {
		o.Patience = 10 * time.Second
	}
	if o.SetAside == nil {
		o.SetAside = func(string) {}
	}
	if o.syncDir == nil {
		o.syncDir = syncDir
	}
	return o
}

// A Journal is a log in a directory, which it may share with files of others.
// One goroutine at a time may write; any number may read meanwhile.
type Journal struct {
	dir  string
	opts Options

	active  *segment // of the writer; nil before Start
	opening opening
	frame   Frame
	last    uint64 // the number of the last frame
	rotates bool

	mu       sync.Mutex
	segments map[uint32]*segment // that can be read, with the active one
	next     *segment            // prepared
	spare    *segment            // dropped, to become the next one
	newest   uint32              // the highest number so far
	oldest   *epoch              // of those that somebody reads in
	current  *epoch

	runway runway
}

// Open opens the journal in dir, which may have none yet. Before anything is
// written, Replay is to be called and then Start. Files that were set aside are left
// alone, and no segment gets the number of one.
func Open(dir string, o Options) (_ *Journal, err error) {
	j := &Journal{dir: dir, opts: o.withDefaults(), segments: make(map[uint32]*segment)}
	j.opening.patience = j.opts.Patience
	j.current = new(epoch)
	j.oldest = j.current
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("opening the journal: %w", err), j.closeFiles())
		}
	}()
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var unread []uint32
	for _, f := range files {
		if number, ok := unreadOf(f.Name()); ok {
			unread = append(unread, number)
		}
		segment, aside := strings.CutSuffix(f.Name(), asideSuffix)
		number, ok := numberOf(segment)
		if !ok {
			continue
		}
		j.newest = max(j.newest, number)
		if aside {
			continue
		}
		name := filepath.Join(dir, f.Name())
		s, err := j.openSegment(name, number)
		if errors.Is(err, errUnfinished) {
			// A crash came before it was used.
			if err := os.Remove(name); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		j.segments[number] = s
	}
	for _, number := range unread {
		if err := j.knowUnread(number); err != nil {
			return nil, err
		}
	}
	return j, nil
}

// Start makes the journal ready to be written, in a segment of its own.
// The number of its last frame is last: those that come have higher ones, and
// if the next is not one higher, what is between is missed by a replay.
func (j *Journal) Start(last uint64) error {
	j.opening.over.Store(true)
	if err := j.noteUnread(); err != nil {
		return fmt.Errorf("starting the journal: %w", err)
	}
	s, err := j.create(nil, firstRunway)
	if err != nil {
		return fmt.Errorf("starting the journal: %w", err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.active, j.last = s, last
	j.segments[s.number] = s
	j.runway.start(j)
	return nil
}

// After lets the segments that are created from now on have higher numbers than the
// given one, to which somebody still refers. It is there, or was lost: what is
// written next must not be taken for what was in it.
func (j *Journal) After(segment uint32) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.newest = max(j.newest, segment)
}

// Segments returns the numbers of the segments that can be read, in order. The
// last is the one being written.
func (j *Journal) Segments() []uint32 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.numbers()
}

func (j *Journal) numbers() []uint32 {
	numbers := make([]uint32, 0, len(j.segments))
	for n := range j.segments {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	return numbers
}

// Tail returns where the next frame begins, unless it begins a new segment. It
// is for the writer.
func (j *Journal) Tail() Position {
	return Position{j.active.number, uint32(j.active.tail), j.last}
}

// Rotate lets the next Begin begin a segment. It is for the writer.
func (j *Journal) Rotate() { j.rotates = true }

// Sizes returns how many bytes each segment has that can be read.
func (j *Journal) Sizes() map[uint32]int64 {
	j.mu.Lock()
	segments := maps.Clone(j.segments)
	j.mu.Unlock()
	sizes := make(map[uint32]int64, len(segments))
	for n, s := range segments {
		if size := s.size(); size != handedOver {
			sizes[n] = size
		}
	}
	return sizes
}

// Close ends what is prepared in the background and closes the files. Nobody
// may be reading or writing.
func (j *Journal) Close() error {
	j.runway.end()
	j.mu.Lock()
	defer j.mu.Unlock()
	err := j.discardPrepared()
	if err = errors.Join(err, j.closeFiles()); err != nil {
		return fmt.Errorf("closing the journal: %w", err)
	}
	return nil
}

func (j *Journal) discardPrepared() (err error) {
	for _, s := range []*segment{j.next, j.spare} {
		if s != nil {
			err = errors.Join(err, s.remove())
		}
	}
	j.next, j.spare = nil, nil
	return err
}

func (j *Journal) closeFiles() (err error) {
	for _, s := range j.segments {
		err = errors.Join(err, s.close())
	}
	return err
}
