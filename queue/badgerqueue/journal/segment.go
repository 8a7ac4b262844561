// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
)

// A segment is a file of frames. Its first page says which one it is, and has a
// salt that goes into the checksums of its frames: neither what the file held
// before, when it was another segment, nor what somebody puts into a blob can
// pass for a frame. All that is in the segment hangs on the salt, so the page
// says it twice.
type segment struct {
	number uint32
	file   *os.File
	direct *os.File // the same, for writing whole pages; or nil
	name   string

	hides bool // what a replay could not read: it is never deleted
	noted bool // in a file beside it, for the next replay

	readFile func(f *os.File, b []byte, at int64) (int, error)
	failed   atomic.Int64 // when the disk could last not read from it
	opening  *opening     // nil if it was made since

	looking sync.Mutex // for the salt of one that could not be read
	salted             // guarded by mu while it is unread

	// Of the writer:
	tail int64          // the end of the last frame
	last [pageSize]byte // the page that it is in

	mu     sync.Mutex
	filled int64 // the file has this many bytes, all written
}

// salted is what the first page of a segment says.
type salted struct {
	salt    uint32 // the checksum of the salt, where all others begin
	damaged bool   // without its salt nothing in it can be told
	unread  error  // why it has none, if that is for the disk
}

const (
	suffix        = ".segment"
	pageSize      = 4096
	headerSize    = pageSize
	formatVersion = 1
	fillStep      = 1 << 20
	firstRunway   = 256 << 10 // of a segment that somebody waits for
)

var magic = [8]byte{'w', 'h', 'i', 'n', 'b', 'o', 'x', '\n'}

// errUnfinished: a segment that was being prepared.
var errUnfinished = errors.New("unfinished segment")

// headerCopies are where a header begins.
var headerCopies = [...]int{0, headerSize / 2}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// FileName returns the name that the file of a segment has in its directory.
func FileName(segment uint32) string { return fmt.Sprintf("%08x%s", segment, suffix) }

func segmentName(dir string, number uint32) string { return filepath.Join(dir, FileName(number)) }

func numberOf(name string) (uint32, bool) {
	text, ok := strings.CutSuffix(filepath.Base(name), suffix)
	number, err := strconv.ParseUint(text, 16, 32)
	return uint32(number), ok && err == nil && len(text) == 8
}

// headerPage is the first page of a segment, with the headers: the magic, the
// version, the number and the salt of the segment, and their checksum.
func headerPage(number uint32, salt [8]byte) []byte {
	h := make([]byte, 0, headerLength)
	h = append(h, magic[:]...)
	h = binary.LittleEndian.AppendUint32(h, formatVersion)
	h = binary.LittleEndian.AppendUint32(h, number)
	h = append(h, salt[:]...)
	h = binary.LittleEndian.AppendUint32(h, crc32.Checksum(h, castagnoli))
	page := make([]byte, headerSize)
	for _, at := range headerCopies {
		copy(page[at:], h)
	}
	return page
}

const headerLength = 28

// openSegment opens a segment to read it.
func (j *Journal) openSegment(name string, number uint32) (*segment, error) {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	s := &segment{number: number, name: name, file: f, readFile: j.opts.ReadAt, opening: &j.opening}
	info, err := f.Stat()
	if err == nil {
		s.filled = info.Size()
		s.salted, err = s.readHeader()
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return s, nil
}

func (s *segment) readHeader() (salted, error) {
	start := make([]byte, 2*headerSize)
	n, bad, err := s.readPages(start, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return salted{}, err
	}
	another := false
	for _, at := range headerCopies {
		h := start[at : at+headerLength]
		whole := crc32.Checksum(h[:24], castagnoli) == binary.LittleEndian.Uint32(h[24:])
		version := binary.LittleEndian.Uint32(h[8:])
		switch {
		case !whole || [8]byte(h[:8]) != magic:
		case binary.LittleEndian.Uint32(h[12:]) != s.number:
			another = true
		case version > formatVersion:
			return salted{}, fmt.Errorf("%w: %s has version %d", ErrNewer, filepath.Base(s.name), version)
		default:
			return salted{salt: crc32.Checksum(h[16:24], castagnoli)}, nil
		}
	}
	if len(bad) > 0 {
		return salted{damaged: true, unread: s.unreadable(int64(bad[0].Offset), syscall.EIO)}, nil
	}
	// What a crash leaves of a new segment has nothing in it yet, and of one that
	// was another before, the header of that.
	if another || n <= headerSize || bytes.Equal(start, make([]byte, len(start))) {
		return salted{damaged: true}, errUnfinished
	}
	return salted{damaged: true}, nil
}

// create makes the next segment, out of old if that is not nil. It is durable,
// and filled for so many bytes.
func (j *Journal) create(old *segment, runway int64) (_ *segment, err error) {
	j.mu.Lock()
	j.newest++
	number := j.newest
	j.mu.Unlock()
	s := &segment{number: number, name: segmentName(j.dir, number), readFile: j.opts.ReadAt}
	if old != nil {
		s.file, s.direct, s.filled = old.handOver()
		err = os.Rename(old.name, s.name)
	} else {
		s.file, err = os.OpenFile(s.name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	}
	if err != nil {
		if old != nil {
			err = errors.Join(err, old.remove())
		}
		return nil, spaceError(err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(spaceError(err), s.remove())
		}
	}()
	var salt [8]byte
	_, _ = rand.Read(salt[:]) // it never fails
	s.salt = crc32.Checksum(salt[:], castagnoli)
	s.tail = headerSize
	if _, err := s.file.WriteAt(headerPage(number, salt), 0); err != nil {
		return nil, err
	}
	s.filled = max(s.filled, headerSize)
	if s.direct == nil {
		s.direct = openDirect(s.name)
	}
	filled := min(headerSize+runway, j.opts.SegmentSize)
	err = s.fill(filled)
	if errors.Is(err, syscall.EINVAL) && s.direct != nil {
		// Some file systems open a file for direct writes, and then refuse them.
		err, s.direct = s.direct.Close(), nil
		err = errors.Join(err, s.fill(filled))
	}
	if err != nil {
		return nil, err
	}
	if err := j.opts.Sync(s.file); err != nil {
		return nil, fmt.Errorf("syncing %s: %w", s.name, err)
	}
	if err := j.opts.syncDir(j.dir); err != nil {
		return nil, err
	}
	return s, nil
}

// handedOver is how many bytes are filled of a segment whose file is another's.
const handedOver = math.MaxInt64

// handOver gives the file to the segment that it becomes. Nothing more is filled
// here: it would be frames of that one.
func (s *segment) handOver() (file, direct *os.File, filled int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	filled, s.filled = s.filled/pageSize*pageSize, handedOver
	return s.file, s.direct, filled
}

// writer is the file to write whole pages to.
func (s *segment) writer() *os.File {
	if s.direct != nil {
		return s.direct
	}
	return s.file
}

// zeros are never written to.
var zeros = pages(fillStep)[:fillStep]

// fill writes zeros up to an offset, and on to the end of a page.
func (s *segment) fill(to int64) error {
	to = align(to, pageSize)
	for {
		s.mu.Lock()
		n := min(to-s.filled, fillStep)
		if n <= 0 {
			s.mu.Unlock()
			return nil
		}
		_, err := s.writer().WriteAt(zeros[:n], s.filled)
		if err == nil {
			s.filled += n
		}
		s.mu.Unlock()
		if err != nil {
			return spaceError(fmt.Errorf("filling %s: %w", s.name, err))
		}
	}
}

func (s *segment) size() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.filled
}

// close closes the files of the segment.
func (s *segment) close() error {
	err := s.file.Close()
	if s.direct != nil {
		err = errors.Join(err, s.direct.Close())
	}
	return err
}

// remove closes and deletes the segment.
func (s *segment) remove() error {
	err := s.close()
	if e := os.Remove(s.name); e != nil && !errors.Is(e, os.ErrNotExist) {
		err = errors.Join(err, e)
	}
	return err
}

func spaceError(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	return err
}

// syncDir makes names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("syncing %s: %w", dir, err)
	}
	return nil
}
