// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
)

// A frame in the file, little endian, at a multiple of 8:
//
//	 0  checksum of the rest of the header
//	 4  length of the blobs
//	 8  length of the notes
//	12  checksum of blobs and notes
//	16  number, 8 bytes
//	24  the position that a replay begins at: segment, offset, and in
//	    8 bytes the number of the frame before it
//	40  blobs, each with its length and its own checksum before it; notes
//
// The checksums are CRC-32C, and begin with the salt of the segment; that of the
// header with the offset of the frame too, so that a copy of it is none.
const frameHeader = 40

// Overhead is how many bytes a blob takes in the file beyond its own.
const Overhead = 8

// A Frame is being written.
type Frame struct {
	segment *segment
	start   int64
	lead    int    // bytes of the page that it begins in, which are not its own
	buf     []byte // these, the header and the blobs; whole pages of memory
	notes   []byte
	small   int // frames since the last large one
}

// Begin begins a frame of about size bytes. A frame that was begun before and
// not committed is gone. If it fails, of ErrNoSpace or else, nothing was written,
// and it can be tried again.
func (j *Journal) Begin(size int) (*Frame, error) {
	size += frameHeader + pageSize
	s := j.active
	if s.tail > headerSize && (j.rotates || s.tail+int64(size) > j.opts.SegmentSize) {
		j.rotates = false
		if err := j.nextSegment(); err != nil {
			return nil, fmt.Errorf("beginning a segment: %w", err)
		}
		s = j.active
	}
	// What is reserved here cannot be missing when it is written.
	if err := s.fill(s.tail + int64(size)); err != nil {
		return nil, err
	}
	f := &j.frame
	f.segment, f.start = s, s.tail
	f.lead = int(s.tail % pageSize)
	f.fit(f.lead + size)
	f.buf = append(f.buf[:0], s.last[:f.lead]...)
	f.buf = append(f.buf, zeroPage[:frameHeader]...)
	f.notes = f.notes[:0]
	return f, nil
}

// room lets n bytes more fit into the buffer.
func (f *Frame) room(n int) {
	if need := len(f.buf) + n; need > cap(f.buf) {
		f.buf = append(pages(max(need, 2*cap(f.buf))), f.buf...)
	}
}

// fit makes the memory fit a frame of n bytes, and the next ones: that of large ones
// is kept until there have been none for a while.
func (f *Frame) fit(n int) {
	f.small++
	if n > smallFrame {
		f.small = 0
	}
	if cap(f.buf) < n || cap(f.buf) > smallFrame && f.small > 100 {
		f.buf = pages(max(n, smallFrame/4))
	}
}

const smallFrame = 1 << 20

// Blob adds a blob, and returns where it can be read once the frame is
// committed.
func (f *Frame) Blob(data []byte) Place {
	p := Place{
		Segment: f.segment.number,
		Offset:  uint32(f.start + int64(len(f.buf)-f.lead)),
		Length:  uint32(len(data)),
	}
	f.room(Overhead + len(data))
	f.buf = binary.LittleEndian.AppendUint32(f.buf, p.Length)
	f.buf = binary.LittleEndian.AppendUint32(f.buf, crc32.Update(f.segment.salt, castagnoli, data))
	f.buf = append(f.buf, data...)
	return p
}

// Note adds to the notes, which a replay gets as one.
func (f *Frame) Note(data ...byte) { f.notes = append(f.notes, data...) }

// NoteText is Note for a string of bytes with its length before it.
func (f *Frame) NoteText(data []byte) {
	f.notes = binary.AppendUvarint(f.notes, uint64(len(data)))
	f.notes = append(f.notes, data...)
}

// NoteNumber is Note for a number.
func (f *Frame) NoteNumber(n uint64) { f.notes = binary.AppendUvarint(f.notes, n) }

// Size returns how many bytes the frame has so far; once it is committed, with the
// zeros to the end of the page.
func (f *Frame) Size() int { return len(f.buf) - f.lead + len(f.notes) }

// Commit makes the frame durable. Its number must be higher than all before. A
// replay that finds it last begins at from. If Commit fails, the frame may be
// found after a crash or not, and the journal must not be written any more.
func (j *Journal) Commit(f *Frame, number uint64, from Position) error {
	s := f.segment
	blobs := len(f.buf) - f.lead - frameHeader
	notes := len(f.notes)
	f.room(notes + pageSize)
	f.buf, f.notes = append(f.buf, f.notes...), f.notes[:0]
	frame := f.buf[f.lead:]
	h := frame[:frameHeader]
	binary.LittleEndian.PutUint32(h[4:], uint32(blobs))
	binary.LittleEndian.PutUint32(h[8:], uint32(notes))
	binary.LittleEndian.PutUint32(h[12:], crc32.Update(s.salt, castagnoli, frame[frameHeader:]))
	binary.LittleEndian.PutUint64(h[16:], number)
	binary.LittleEndian.PutUint32(h[24:], from.Segment)
	binary.LittleEndian.PutUint32(h[28:], from.Offset)
	binary.LittleEndian.PutUint64(h[32:], from.Number)
	binary.LittleEndian.PutUint32(h, s.headSum(f.start, h))

	// Whole pages are written, of the file and of memory.
	begin, end := f.start-int64(f.lead), align(f.start+int64(len(frame)), 8)
	f.buf = append(f.buf, zeroPage[:align(end, pageSize)-begin-int64(len(f.buf))]...)
	if err := s.fill(begin + int64(len(f.buf))); err != nil {
		return err
	}
	if _, err := s.writer().WriteAt(f.buf, begin); err != nil {
		return fmt.Errorf("writing to the journal: %w", err)
	}
	if err := j.opts.Sync(s.writer()); err != nil {
		return fmt.Errorf("syncing the journal: %w", err)
	}
	copy(s.last[:end%pageSize], f.buf[end-end%pageSize-begin:])
	s.tail = end
	j.last = number
	j.runway.advanced(s)
	return nil
}

var zeroPage [pageSize + 8]byte

func align(n, to int64) int64 { return (n + to - 1) / to * to }

// A header of a frame, as it was read.
type frameHead struct {
	blobs, notes int64
	sum          uint32
	number       uint64
	from         Position
}

func (h *frameHead) end(start int64) int64 {
	return align(start+frameHeader+h.blobs+h.notes, 8)
}

// headSum is the checksum of the header of a frame at an offset.
func (s *segment) headSum(at int64, b []byte) uint32 {
	return crc32.Update(s.salt^uint32(at), castagnoli, b[4:frameHeader])
}

// mayBeHead reports whether a header may begin here, at a glance.
func (s *segment) mayBeHead(b []byte) bool {
	return binary.LittleEndian.Uint64(b[16:]) != 0 &&
		int64(binary.LittleEndian.Uint32(b[4:])) <= s.filled && int64(binary.LittleEndian.Uint32(b[8:])) <= s.filled
}

// parseHead reads a header at an offset; ok says whether it is one.
func (s *segment) parseHead(at int64, b []byte) (h frameHead, ok bool) {
	if len(b) < frameHeader || !s.mayBeHead(b) || s.headSum(at, b) != binary.LittleEndian.Uint32(b) {
		return h, false
	}
	return frameHead{
		blobs:  int64(binary.LittleEndian.Uint32(b[4:])),
		notes:  int64(binary.LittleEndian.Uint32(b[8:])),
		sum:    binary.LittleEndian.Uint32(b[12:]),
		number: binary.LittleEndian.Uint64(b[16:]),
		from: Position{
			Segment: binary.LittleEndian.Uint32(b[24:]),
			Offset:  binary.LittleEndian.Uint32(b[28:]),
			Number:  binary.LittleEndian.Uint64(b[32:]),
		},
	}, true
}

// Read returns the blob at a place: all of it, as it was written, or an error
// that is ErrMissing, ErrDamaged, ErrUnreadable, or says nothing of the blob.
func (e Epoch) Read(p Place) ([]byte, error) {
	s, err := e.holds(p)
	if err != nil {
		return nil, err
	}
	b := make([]byte, Overhead+int(p.Length))
	if err := s.read(p, b); err != nil {
		return nil, err
	}
	return b[Overhead:], nil
}

// Append is Read into the memory of dst, behind what is there. For that, dst needs
// room for Overhead bytes more than the blob has.
func (e Epoch) Append(dst []byte, p Place) ([]byte, error) {
	s, err := e.holds(p)
	if err != nil {
		return nil, err
	}
	at, n := len(dst), int(p.Length)
	dst = slices.Grow(dst, Overhead+n)
	b := dst[at : at+Overhead+n]
	if err := s.read(p, b); err != nil {
		return nil, err
	}
	copy(b, b[Overhead:])
	return dst[:at+n], nil
}

// holds returns the segment that is long enough for a blob to be at the place.
func (e Epoch) holds(p Place) (*segment, error) {
	s := e.segment(p.Segment)
	if s == nil {
		return nil, fmt.Errorf("segment %08x: %w", p.Segment, ErrMissing)
	}
	if err := s.header(); err != nil {
		return nil, err
	}
	if int64(p.Offset)+Overhead+int64(p.Length) > s.size() {
		return nil, s.cutOff(p)
	}
	return s, nil
}

// read reads the blob with its header.
func (s *segment) read(p Place, b []byte) error {
	if _, err := s.readAt(b, int64(p.Offset)); errors.Is(err, io.EOF) {
		return s.cutOff(p)
	} else if err != nil {
		return err
	}
	if binary.LittleEndian.Uint32(b) != p.Length ||
		binary.LittleEndian.Uint32(b[4:]) != crc32.Update(s.salt, castagnoli, b[Overhead:]) {
		return fmt.Errorf("segment %08x at %d: %w", p.Segment, p.Offset, ErrDamaged)
	}
	return nil
}

func (s *segment) cutOff(p Place) error {
	return fmt.Errorf("segment %08x is cut off before %d: %w", p.Segment, p.Offset, ErrDamaged)
}
