// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"encoding/binary"
	"hash/crc32"
	"os"
	"runtime"
	"testing"
)

// FuzzReplay replays segments with anything in them. The checksums of what may
// be frames are made right, so that it gets further than to them.
func FuzzReplay(f *testing.F) {
	frame := func(blobs, notes uint32, rest ...byte) []byte {
		h := make([]byte, frameHeader)
		binary.LittleEndian.PutUint32(h[4:], blobs)
		binary.LittleEndian.PutUint32(h[8:], notes)
		binary.LittleEndian.PutUint64(h[16:], 1)
		return append(h, rest...)
	}
	f.Add([]byte{}, uint32(0), false)
	f.Add(frame(0, 0), uint32(0), true)
	f.Add(frame(0, 5, []byte("notes")...), uint32(0), true)
	f.Add(frame(1<<32-1, 0), uint32(0), true)
	f.Add(frame(1<<31, 1<<31), uint32(8), true)
	f.Add(frame(4000, 1<<32-1), uint32(headerSize), true)
	f.Add(append(frame(8, 8, make([]byte, 16)...), frame(0, 1, 7)...), uint32(0), true)
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, content []byte, from uint32, right bool) {
		salt := [8]byte{1, 2, 3}
		if right {
			makeRight(content, crc32.Checksum(salt[:], castagnoli))
		}
		file := append(headerPage(1, salt), content...)
		name := segmentName(dir, 1)
		must(t, os.WriteFile(name, file, 0o600))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		j, err := Open(dir, Options{Sync: unsynced, SegmentSize: 1 << 20})
		must(t, err)
		last := uint64(0)
		done, err := j.Replay(func(r Replayed) error {
			if r.Number <= last {
				t.Errorf("frame %d comes after %d", r.Number, last)
			}
			last = r.Number
			if len(r.Notes) > len(content) {
				t.Errorf("frame %d has %d bytes of notes", r.Number, len(r.Notes))
			}
			return nil
		})
		must(t, err)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20+16*uint64(len(file)) {
			t.Errorf("%d bytes of memory were used for a file of %d", n, len(file))
		}
		e := j.Enter()
		if data, err := e.Read(Place{1, from, from}); err == nil && len(data) > len(file) {
			t.Errorf("read %d bytes", len(data))
		}
		e.Leave()
		must(t, j.Start(last))
		b := &book{Journal: j, t: t, frames: []written{{number: max(last, done.Begin.Number)}}, begin: j.Tail()}
		if b.frames[0].number < 1<<60 {
			b.fill(1, 10)
		}
		must(t, j.Close())
		for _, n := range j.numbers() {
			must(t, os.Remove(segmentName(dir, n)))
		}
	})
}

// makeRight makes the checksums right of what could be frames, one after the
// other.
func makeRight(content []byte, salt uint32) {
	s := segment{salted: salted{salt: salt}}
	for at := 0; at+frameHeader <= len(content); {
		h := content[at:]
		size := int64(binary.LittleEndian.Uint32(h[4:])) + int64(binary.LittleEndian.Uint32(h[8:]))
		payload := h[frameHeader:min(int64(len(h)), frameHeader+size)]
		binary.LittleEndian.PutUint32(h[12:], crc32.Update(salt, castagnoli, payload))
		binary.LittleEndian.PutUint32(h, s.headSum(int64(headerSize+at), h))
		at += int(align(frameHeader+min(size, int64(len(content))), 8))
	}
}
