// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"
)

// Each bit of a small journal is flipped, one bit of each byte at a time.
func TestAFlippedBitIsNoticedAndCostsOneFrame(t *testing.T) {
	t.Parallel()
	b := begin(t, t.TempDir(), little())
	b.fill(3, 70)
	b.Rotate()
	b.fill(2, 70)
	dir := copied(t, b.dir)
	for i, f := range b.frames {
		name := segmentName(dir, f.start.Segment)
		for at := f.start.Offset; at < f.end; at++ {
			flip(t, name, at, int(at))
			j, all, done := replayed(t, dir, b.opts)
			if len(all) != len(b.frames)-1 {
				t.Fatalf("at %d of frame %d: replayed %v", at-f.start.Offset, f.number, all)
			}
			for k, other := range b.frames {
				if k == i {
					damagedOrRight(t, j, other)
					continue
				}
				readable(t, j, other)
			}
			lost, last := uint64(1), uint64(len(b.frames))
			if f.number == last {
				lost, last = 0, last-1 // it cannot be told from what was not committed
			}
			if done.Lost != lost || done.Last != last {
				t.Errorf("at %d of frame %d: %+v", at-f.start.Offset, f.number, done)
			}
			must(t, j.Close())
			flip(t, name, at, int(at))
		}
	}
	holds(t, dir, b.opts, b.frames)
}

// damagedOrRight checks that the blobs of a frame that has damage somewhere are
// what was written, or nothing.
func damagedOrRight(t *testing.T, j *Journal, f written) {
	t.Helper()
	e := j.Enter()
	defer e.Leave()
	for p, want := range f.blobs {
		data, err := e.Read(p)
		if err == nil && !bytes.Equal(data, want) || err != nil && !errors.Is(err, ErrDamaged) {
			t.Errorf("at %v there are %d bytes, %v", p, len(data), err)
		}
	}
}

// All that is in a segment hangs on its header, so that there are two of it.
func TestAFlippedBitInTheHeaderOfASegmentCostsNothing(t *testing.T) {
	t.Parallel()
	b := begin(t, t.TempDir(), little())
	b.fill(2, 70)
	b.Rotate()
	b.fill(2, 70)
	for segment := range uint32(2) {
		dir := copied(t, b.dir)
		name := segmentName(dir, segment+1)
		for at := range uint32(headerSize) {
			if at > headerLength && at < headerSize/2 || at > headerSize/2+headerLength {
				continue // there is nothing
			}
			flip(t, name, at, int(at))
			holds(t, dir, b.opts, b.frames)
			flip(t, name, at, int(at))
		}
	}
}

func TestASegmentWithoutAHeaderIsDamagedAndNotForgotten(t *testing.T) {
	t.Parallel()
	for _, how := range []struct {
		what string
		do   func(page []byte)
	}{
		{"flipped", func(page []byte) {
			for _, at := range headerCopies {
				page[at+20] ^= 1
			}
		}},
		{"zeroed", func(page []byte) { clear(page) }},
	} {
		for _, segment := range []uint32{1, 2} {
			b := begin(t, t.TempDir(), little())
			b.fill(2, 70)
			b.Rotate()
			b.fill(2, 70)
			must(t, b.Close())
			name := segmentName(b.dir, segment)
			data := files(t, b.dir)[filepath.Base(name)]
			how.do(data[:headerSize])
			must(t, os.WriteFile(name, data, 0o600))

			j, all, done := replayed(t, b.dir, b.opts)
			if len(all) != 2 || done.Lost == 0 {
				t.Errorf("%s: replayed %v, %+v", how.what, all, done)
			}
			for _, f := range b.frames {
				if f.start.Segment != segment {
					readable(t, j, f)
					continue
				}
				for p := range f.blobs {
					if _, err := j.Enter().Read(p); !errors.Is(err, ErrDamaged) {
						t.Errorf("%s: got %v", how.what, err)
					}
				}
			}
			must(t, j.Start(4))
			must(t, j.Close())
			if _, err := os.Stat(name); err != nil {
				t.Errorf("%s: it may be repaired, but is gone: %v", how.what, err)
			}
		}
	}
}

// The last segment may have a single frame: damaged, it is as if it had none. But
// what is in it may be wanted.
func TestASegmentWithoutAWholeFrameIsNotForgotten(t *testing.T) {
	t.Parallel()
	b := begin(t, t.TempDir(), little())
	b.fill(2, 70)
	b.Rotate()
	last := b.commit([]byte("wanted"))
	must(t, b.Close())
	flip(t, segmentName(b.dir, 2), last.end-1, 0) // of the notes
	j, all, done := replayed(t, b.dir, b.opts)
	if len(all) != 2 || len(done.Empty) != 1 || done.Empty[0] != 2 {
		t.Errorf("replayed %v, %+v", all, done)
	}
	readable(t, j, last)
	must(t, j.Drop(done.Empty)) // if nothing is
	if _, err := os.Stat(segmentName(b.dir, 2)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
}

// The frames at the place where a replay begins are missed too.
func TestTheFirstFramesOfAReplayAreMissed(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]func(b *book, dir string){
		"the first is damaged": func(b *book, dir string) { flip(t, segmentName(dir, 1), b.begin.Offset+50, 0) },
		"the segment is gone":  func(_ *book, dir string) { must(t, os.Remove(segmentName(dir, 1))) },
	} {
		b := begin(t, t.TempDir(), little())
		b.fill(5, 70)
		b.begin = b.Tail()
		b.fill(1, 70)
		b.Rotate()
		b.fill(2, 70)
		dir := copied(t, b.dir)
		do(b, dir)
		if _, all, done := replayed(t, dir, b.opts); len(all) != 2 || done.Lost != 1 {
			t.Errorf("%s: replayed %v, %+v", name, all, done)
		}
	}
}

func TestASegmentThatIsCutOffIsDamagedThere(t *testing.T) {
	t.Parallel()
	b := begin(t, t.TempDir(), little())
	b.fill(3, 70)
	b.Rotate()
	b.fill(1, 70)
	dir := copied(t, b.dir)
	cut := b.frames[2]
	must(t, os.Truncate(segmentName(dir, 1), int64(cut.end)-20))
	if done := holds(t, dir, b.opts, b.frames, cut.number); done.Lost != 1 {
		t.Errorf("%+v", done)
	}
	j, _, _ := replayed(t, dir, b.opts)
	for p := range cut.blobs {
		if _, err := j.Enter().Read(p); err != nil && !errors.Is(err, ErrDamaged) {
			t.Errorf("got %v", err)
		}
	}
}

// The newest segment is lost, and somebody still refers to it.
func TestASegmentThatWasLostIsNotWrittenAgain(t *testing.T) {
	t.Parallel()
	b := begin(t, t.TempDir(), little())
	b.fill(1, 70)
	for lost := range b.frames[0].blobs {
		must(t, b.Close())
		must(t, os.Remove(filepath.Join(b.dir, FileName(lost.Segment))))
		j, _, _ := replayed(t, b.dir, b.opts)
		j.After(lost.Segment)
		j.After(0) // of somebody else
		must(t, j.Start(1))
		if n := j.Segments(); len(n) != 1 || n[0] != lost.Segment+1 {
			t.Errorf("the segments are %v", n)
		}
		if _, err := j.Enter().Read(lost); !errors.Is(err, ErrMissing) {
			t.Errorf("got %v", err)
		}
		must(t, j.Close())
		return
	}
	t.Fatal("it has no blob")
}

// versioned changes the version in the headers of a page.
func versioned(page []byte, version uint32) []byte {
	for _, at := range headerCopies {
		h := page[at:]
		binary.LittleEndian.PutUint32(h[8:], version)
		binary.LittleEndian.PutUint32(h[24:], crc32.Checksum(h[:24], castagnoli))
	}
	return page
}
