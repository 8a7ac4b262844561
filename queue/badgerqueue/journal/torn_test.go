// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// A crash may leave any part of the frame that was being written: here it is cut
// off at each byte, before what the file had there.
func TestATornFrameIsNotThereAndTakesNoOther(t *testing.T) {
	t.Parallel()
	before := map[string]func(old []byte) []byte{
		"over zeros":        func(old []byte) []byte { return make([]byte, len(old)) },
		"over ones":         func(old []byte) []byte { return bytes.Repeat([]byte{0xff}, len(old)) },
		"at the file's end": func([]byte) []byte { return nil },
	}
	b := begin(t, t.TempDir(), little())
	b.fill(3, 500)
	last := b.commit([]byte("of the last frame"), bytes.Repeat([]byte("more"), 20))
	whole := files(t, b.dir)
	name := filepath.Base(segmentName(b.dir, last.start.Segment))
	data := whole[name]
	for how, old := range before {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			o := little()
			dir := t.TempDir()
			for at := int(last.start.Offset); at < int(last.end); at++ {
				torn := slices.Concat(data[:at], old(data[at:]))
				if len(torn) == len(data) && bytes.Equal(torn[at:last.end], data[at:last.end]) {
					continue // it is whole
				}
				must(t, os.WriteFile(filepath.Join(dir, name), torn, 0o600))
				j, all, done := replayed(t, dir, o)
				if len(all) != 3 || done.Last != 3 || done.Lost != 0 || len(done.Empty) != 0 {
					t.Fatalf("torn at %d: replayed %v, %+v", at, all, done)
				}
				for _, f := range b.frames[:3] {
					readable(t, j, f)
				}
				must(t, j.Close())
			}
			must(t, os.WriteFile(filepath.Join(dir, name), data[:last.end], 0o600))
			holds(t, dir, o, b.frames)
		})
	}
}

// After a torn frame the journal goes on: what is committed then is found, and
// what is left of the torn one is not.
func TestAJournalGoesOnBehindATornFrame(t *testing.T) {
	t.Parallel()
	b := begin(t, t.TempDir(), little())
	b.fill(3, 500)
	last := b.commit([]byte("of the last frame"))
	must(t, b.Close())
	name := segmentName(b.dir, last.start.Segment)
	for _, cut := range []uint32{1, last.end - last.start.Offset - 1} {
		c := &book{t: t, frames: slices.Clone(b.frames[:3]), begin: b.begin}
		c.Journal = &Journal{dir: copied(t, b.dir), opts: b.opts} // to be opened
		must(t, os.Truncate(filepath.Join(c.dir, filepath.Base(name)), int64(last.start.Offset+cut)))
		c.again()
		c.fill(3, 500)
		holds(t, copied(t, c.dir), c.opts, c.frames)
	}
}

// What a body has is never taken for a frame: not a frame of the same segment,
// byte for byte, nor one by somebody who knows all but the salt, also if it is
// where a frame could begin and what it is in is torn.
func TestAFrameWithinABodyIsNone(t *testing.T) {
	t.Parallel()
	type forger func(own []byte, at uint32) []byte
	for what, forge := range map[string]forger{
		"a copy":            func(own []byte, _ uint32) []byte { return own },
		"a header":          func(own []byte, _ uint32) []byte { return own[:frameHeader] },
		"without a salt":    func(_ []byte, at uint32) []byte { return forged(0, at) },
		"with another salt": func(_ []byte, at uint32) []byte { return forged(12345, at) },
	} {
		for shift := range uint32(8) {
			b := begin(t, t.TempDir(), little())
			b.fill(2, 100)
			genuine := b.frames[1]
			own := files(t, b.dir)[filepath.Base(segmentName(b.dir, 1))][genuine.start.Offset:genuine.end]
			at := b.Tail().Offset + frameHeader + Overhead + shift
			outer := b.commit(slices.Concat(make([]byte, shift), forge(own, at), make([]byte, 64)))
			b.fill(1, 100)
			holds(t, copied(t, b.dir), b.opts, b.frames)

			for _, torn := range []uint32{outer.start.Offset, at + 60, outer.end - 1} {
				dir := copied(t, b.dir)
				flip(t, segmentName(dir, 1), torn, 3)
				if done := holds(t, dir, b.opts, b.frames, outer.number); done.Lost != 1 {
					t.Errorf("%s: %d frames are said to be lost, want 1", what, done.Lost)
				}
			}
		}
	}
}

// forged is a frame at an offset, with notes and a salt.
func forged(salt, at uint32) []byte {
	notes := "the notes of somebody else"
	f := append(make([]byte, frameHeader), notes...)
	binary.LittleEndian.PutUint32(f[8:], uint32(len(notes)))
	binary.LittleEndian.PutUint32(f[12:], crc32.Update(salt, castagnoli, f[frameHeader:]))
	binary.LittleEndian.PutUint64(f[16:], 1<<40)
	s := segment{salted: salted{salt: salt}}
	binary.LittleEndian.PutUint32(f, s.headSum(int64(at), f))
	return f
}

// flip flips a bit of a file.
func flip(t testing.TB, name string, at uint32, bit int) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	must(t, err)
	var b [1]byte
	_, err = f.ReadAt(b[:], int64(at))
	must(t, err)
	b[0] ^= 1 << (bit & 7)
	_, err = f.WriteAt(b[:], int64(at))
	must(t, errors.Join(err, f.Close()))
}

// A copy of a frame is none either where the next one would begin.
func TestACopyOfAFrameBehindTheLastIsNone(t *testing.T) {
	t.Parallel()
	b := begin(t, t.TempDir(), little())
	b.fill(3, 100)
	must(t, b.Close())
	name := segmentName(b.dir, 1)
	data := files(t, b.dir)[filepath.Base(name)]
	first, last := b.frames[0], b.frames[2]
	copy(data[align(int64(last.end), 8):], data[first.start.Offset:first.end])
	must(t, os.WriteFile(name, data, 0o600))
	if done := holds(t, b.dir, b.opts, b.frames); done.Last != 3 {
		t.Errorf("%+v", done)
	}
}
