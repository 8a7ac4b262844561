// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// The disk reads nothing for a moment while the journal is opened. It is asked again
// for as long as somebody can be expected to wait, and nothing is missing.
func TestFaultAMomentWhileOpeningCostsNothing(t *testing.T) {
	t.Parallel()
	b := begin(t, t.TempDir(), little())
	b.fill(3, 3000)
	b.Rotate()
	b.fill(2, 5000)
	dir := copied(t, b.dir)
	for before := range 8 {
		t.Run(fmt.Sprintf("after %d reads", before), func(t *testing.T) {
			t.Parallel()
			disk := new(weakDisk)
			disk.fails = slices.Concat(make([]error, before), slices.Repeat([]error{syscall.EIO}, 10))
			o := b.opts
			o.ReadAt, o.Patience = disk.ReadAt, time.Minute
			if done := holds(t, copied(t, dir), o, b.frames); len(done.Unreadable) > 0 {
				t.Errorf("unreadable is said to be %v", done.Unreadable)
			}
		})
	}
}

// What is bad for good is waited for once, and not page by page; when the journal is
// open, not at all.
func TestFaultPatienceIsForAllOfAnOpening(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) { patienceIsForAll(t, dir) })
}

func patienceIsForAll(t *testing.T, dir string) {
	b := begin(t, dir, little())
	b.fill(3, 3000)
	b.Rotate()
	b.fill(5, 5000)
	const patience = 4 * readAgain
	fails := func(patience time.Duration) (opening, open int) {
		o := b.opts
		o.Patience = patience
		o.ReadAt = func(f *os.File, p []byte, at int64) (int, error) {
			if filepath.Base(f.Name()) != FileName(2) {
				return f.ReadAt(p, at)
			}
			opening++
			return 0, syscall.EIO
		}
		j, _, done := replayed(t, copied(t, b.dir), o)
		must(t, j.Start(done.Last))
		before := opening
		unreadableOrRight(t, j, b.frames[4])
		must(t, j.Close())
		return before, opening - before
	}
	hasty, open := fails(time.Nanosecond)
	patient, alike := fails(patience)
	if more := patient - hasty; more < 2 || more > int(patience/readAgain)+1 {
		t.Errorf("with patience, %d reads more failed", more)
	}
	if alike != open {
		t.Errorf("of an open journal, %d reads failed, without patience %d", alike, open)
	}
}

// unreadInSecond is a journal of two segments, of which a page of the second cannot be
// read in a copy.
func unreadInSecond(t *testing.T, page uint32) (b *book, o Options, dir string) {
	b = begin(t, t.TempDir(), little())
	b.fill(4, 5000)
	b.Rotate()
	b.fill(4, 5000)
	disk := new(weakDisk)
	disk.spoil(2, page)
	o = b.opts
	o.ReadAt = disk.ReadAt
	return b, o, copied(t, b.dir)
}

// A replay could not read a header, or a frame. When nothing is wanted of that segment
// any more, its file is not deleted, nor made the next segment: it is kept under another
// name, with all that was in it. Its number is never used again.
func TestFaultASegmentThatWasNotReadIsSetAside(t *testing.T) {
	t.Parallel()
	for name, page := range map[string]uint32{"its header": 0, "a frame": 2 * pageSize} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, o, dir := unreadInSecond(t, page)
			var told []string
			o.SetAside = func(name string) { told = append(told, name) }
			before := files(t, dir)

			again := &book{t: t, frames: b.frames, begin: b.begin}
			again.Journal, _, _ = replayed(t, dir, o)
			must(t, again.Start(again.lastNumber()))
			for range 2 { // now it is a busy time, in which segments are used again
				again.fill(1, 5000)
				again.Rotate()
			}
			must(t, again.Drop([]uint32{1, 2}))
			if want := []string{"00000002.segment.unreadable"}; !slices.Equal(told, want) {
				t.Errorf("told was %v, want %v", told, want)
			}
			must(t, again.Close())
			after := files(t, dir)
			if after[FileName(1)] != nil || after[FileName(2)] != nil {
				t.Error("segments are there that were dropped")
			}
			if !bytes.Equal(after["00000002.segment.unreadable"], before[FileName(2)]) {
				t.Error("what was set aside is not as it was")
			}

			for n := range after {
				if filepath.Ext(n) == suffix {
					must(t, os.Remove(filepath.Join(dir, n)))
				}
			}
			j, all, _ := replayed(t, dir, o)
			must(t, j.Start(100))
			if numbers := j.Segments(); len(all) > 0 || !slices.Equal(numbers, []uint32{3}) {
				t.Errorf("opened again there are the segments %v, with %d frames", numbers, len(all))
			}
		})
	}
}

// A replay could not read a frame, and the journal is opened once more before the
// segment is dropped, by a process whose replay begins behind it: also that one sets it
// aside, also if a crash comes before the note of it is removed. The note is gone then.
func TestFaultASegmentThatWasNotReadIsSetAsideAfterARestart(t *testing.T) {
	t.Parallel()
	b, o, dir := unreadInSecond(t, 2*pageSize)
	before := files(t, dir)
	again := &book{t: t, frames: b.frames}
	again.Journal, _, _ = replayed(t, dir, o)
	must(t, again.Start(b.lastNumber()))
	again.begin = again.Tail()
	again.fill(1, 5000)
	must(t, again.Close())
	const note = "00000002.segment.unread"
	noted := files(t, dir)[note]
	if noted == nil {
		t.Fatal("nothing notes that it was not read")
	}

	var told []string
	o.ReadAt, o.SetAside = nil, func(name string) { told = append(told, name) }
	open := func() *Journal {
		j, all, done := replayed(t, dir, o)
		if len(all) != 1 {
			t.Errorf("%d frames were replayed, want the last", len(all))
		}
		must(t, j.Start(done.Last))
		return j
	}
	j := open()
	must(t, j.Drop([]uint32{1, 2}))
	must(t, j.Close())
	if want := []string{"00000002.segment.unreadable"}; !slices.Equal(told, want) {
		t.Errorf("told was %v, want %v", told, want)
	}
	after := files(t, dir)
	if !bytes.Equal(after["00000002.segment.unreadable"], before[FileName(2)]) {
		t.Error("what was set aside is not as it was")
	}
	if after[note] != nil {
		t.Error("the note is left behind")
	}
	must(t, os.WriteFile(filepath.Join(dir, note), noted, 0o600)) // as a crash leaves it
	must(t, open().Close())
	if files(t, dir)[note] != nil {
		t.Error("the note is left behind after a crash")
	}
}

// A segment cannot be set aside, because its name is taken. It stays where it is.
func TestFaultNothingThatWasSetAsideIsOverwritten(t *testing.T) {
	t.Parallel()
	b := begin(t, t.TempDir(), little())
	b.fill(2, 3000)
	disk := new(weakDisk)
	disk.spoil(1, 0)
	o := b.opts
	o.ReadAt = disk.ReadAt
	dir := copied(t, b.dir)
	const taken = "00000001.segment.unreadable"
	must(t, os.WriteFile(filepath.Join(dir, taken), []byte("of before"), 0o600))
	before := files(t, dir)
	j, _, done := replayed(t, dir, o)
	if err := j.Drop(done.Empty); !errors.Is(err, os.ErrExist) {
		t.Errorf("dropped with %v", err)
	}
	for name, data := range files(t, dir) {
		if !bytes.Equal(data, before[name]) {
			t.Errorf("%s is not as it was", name)
		}
	}
}

// A header that cannot be read is looked for again, which the disk may take its time
// for. Nobody else waits for that: neither who writes nor who looks at all segments.
func TestFaultALookForAHeaderHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	b := begin(t, t.TempDir(), little())
	b.fill(3, 3000)
	b.Rotate()
	b.fill(2, 5000)
	disk := new(weakDisk)
	disk.spoil(1, 0)
	o := b.opts
	var hangs atomic.Bool
	hanging, release := make(chan struct{}, 100), make(chan struct{})
	o.ReadAt = func(f *os.File, p []byte, at int64) (int, error) {
		if hangs.Load() && at < headerSize {
			hanging <- struct{}{}
			<-release
		}
		return disk.ReadAt(f, p, at)
	}
	j, _, done := replayed(t, copied(t, b.dir), o)
	must(t, j.Start(done.Last))
	hangs.Store(true)
	read := make(chan struct{})
	go func() {
		unreadableOrRight(t, j, b.frames[0])
		close(read)
	}()
	<-hanging
	others := make(chan error, 1)
	go func() {
		j.Sizes()
		j.Enter().Leave()
		others <- j.Drop([]uint32{1})
	}()
	select {
	case err := <-others:
		must(t, err)
	case <-time.After(10 * time.Second):
		t.Error("all wait for one read")
	}
	close(release)
	<-read
}
