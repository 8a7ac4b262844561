// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// recycled is a journal whose active segment was another before, with a few
// frames in it. It returns what it was then.
func recycled(t *testing.T) (b *book, old []written) {
	t.Helper()
	b = begin(t, t.TempDir(), little())
	for {
		b.fill(1, 700)
		for n := range b.Sizes() {
			if n == b.active.number || b.begin.Segment > n {
				continue
			}
			was, err := os.Stat(segmentName(b.dir, n))
			must(t, err)
			b.begin = b.Tail()
			b.fill(1, 700) // it says so
			old = old[:0]
			for _, f := range b.frames {
				if f.start.Segment == n {
					old = append(old, f)
				}
			}
			must(t, b.Drop([]uint32{n}))
			for n := b.active.number; n == b.active.number; {
				b.fill(1, 700)
			}
			if is, err := os.Stat(segmentName(b.dir, b.active.number)); err == nil && os.SameFile(was, is) {
				return b, old
			}
		}
		if len(b.frames) > 10_000 {
			t.Fatal("no segment became another")
		}
	}
}

// since returns the frames that a replay finds.
func (b *book) since() (frames []written) {
	for _, f := range b.frames {
		if !f.start.Before(b.begin) {
			frames = append(frames, f)
		}
	}
	return frames
}

func TestASegmentThatWasAnotherNeverShowsItsFrames(t *testing.T) {
	t.Parallel()
	b, old := recycled(t)
	name := segmentName(b.dir, b.active.number)
	data := files(t, b.dir)[filepath.Base(name)]
	last := old[len(old)-1]
	if !bytes.Contains(data, last.notes) {
		t.Fatal("there is nothing left of the old frames to be found")
	}
	for range 20 { // over all that is left of them
		holds(t, copied(t, b.dir), b.opts, b.since())
		b.fill(1, 300)
	}
	for p := range last.blobs {
		if _, err := b.Enter().Read(p); err == nil {
			t.Error("a blob of a segment that was dropped is read")
		}
	}
	must(t, b.Close())
	holds(t, b.dir, b.opts, b.since())
}

// The frame that is torn is followed by old ones.
func TestATornFrameBeforeOldOnes(t *testing.T) {
	t.Parallel()
	b, _ := recycled(t)
	before := files(t, b.dir)
	b.fill(1, 1000)
	torn := b.frames[len(b.frames)-1]
	after := files(t, b.dir)
	name := filepath.Base(segmentName(b.dir, torn.start.Segment))
	b.frames = b.frames[:len(b.frames)-1]
	for at := torn.start.Offset; at < torn.end; at += 7 {
		dir := t.TempDir()
		for n, data := range before {
			must(t, os.WriteFile(filepath.Join(dir, n), data, 0o600))
		}
		data := append(bytes.Clone(after[name][:at]), before[name][at:]...)
		must(t, os.WriteFile(filepath.Join(dir, name), data, 0o600))
		holds(t, dir, b.opts, b.since())
	}
}

// prepared is a journal that has the next segment ready.
func prepared(t *testing.T) *book {
	t.Helper()
	b := begin(t, t.TempDir(), little())
	for int64(b.Tail().Offset) <= b.opts.SegmentSize/2 {
		b.fill(1, 1000)
	}
	for deadline := time.Now().Add(20 * time.Second); !b.hasNext(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("none is prepared")
		}
	}
	return b
}

func TestASegmentThatWasBeingPreparedIsForgotten(t *testing.T) {
	t.Parallel()
	b := prepared(t)
	all := files(t, b.dir)
	active, next := filepath.Base(segmentName(b.dir, 1)), filepath.Base(segmentName(b.dir, 2))
	if len(all) != 2 || all[next] == nil {
		t.Fatalf("there are %d files", len(all))
	}
	for what, data := range map[string][]byte{
		"ready":                    all[next],
		"without a byte":           {},
		"with half a header":       all[next][:10],
		"with a header alone":      all[next][:headerSize],
		"zeros":                    make([]byte, len(all[next])),
		"a few zeros":              make([]byte, 100),
		"with the old header":      all[active],
		"with one of both headers": append(bytes.Clone(all[next][:headerSize/2]), all[active][headerSize/2:]...),
	} {
		c := &book{t: t, frames: b.frames, begin: b.begin}
		c.Journal = &Journal{dir: t.TempDir(), opts: b.opts} // to be opened
		must(t, os.WriteFile(filepath.Join(c.dir, active), all[active], 0o600))
		must(t, os.WriteFile(filepath.Join(c.dir, next), data, 0o600))
		done := holds(t, copied(t, c.dir), c.opts, c.frames)
		if done.Lost != 0 {
			t.Errorf("%s: %+v", what, done)
		}
		c.again()
		c.fill(50, 1000)
		holds(t, copied(t, c.dir), c.opts, c.frames)
	}
}

// Whatever a crash leaves of a segment that another becomes: it has its old name
// and the new header.
func TestASegmentThatWasBecomingAnotherIsForgotten(t *testing.T) {
	t.Parallel()
	b := begin(t, t.TempDir(), little())
	b.fill(60, 1000)
	b.begin = b.Tail()
	b.fill(1, 1000)
	dir := copied(t, b.dir) // where 1 is dropped, as of no use
	page := headerPage(b.active.number+1, [8]byte{1})
	data := files(t, dir)[filepath.Base(segmentName(dir, 1))]
	must(t, os.WriteFile(segmentName(dir, 1), append(page, data[headerSize:]...), 0o600))
	j, all, done := replayed(t, dir, b.opts)
	if len(all) != 1 || done.Lost != 0 || j.Has(1) {
		t.Errorf("replayed %v, %+v", all, done)
	}
}

// A segment must not be filled once it is another: that has frames there.
func TestWhatFillsASegmentLeavesItAloneWhenItIsAnother(t *testing.T) {
	t.Parallel()
	b := begin(t, t.TempDir(), little())
	b.fill(3, 1000)
	old := b.active
	filled := old.size()
	b.Rotate()
	b.fill(1, 10)
	next, err := b.create(old, 0)
	must(t, err)
	must(t, next.fill(2*filled))
	mark := bytes.Repeat([]byte{1}, pageSize)
	_, err = next.writer().WriteAt(mark, filled)
	must(t, err)
	must(t, old.fill(filled+pageSize)) // by somebody who was slow
	got := make([]byte, pageSize)
	_, err = next.file.ReadAt(got, filled)
	must(t, err)
	if !bytes.Equal(got, mark) {
		t.Error("it was filled over")
	}
	must(t, next.remove())
	b.mu.Lock()
	delete(b.segments, old.number)
	b.mu.Unlock()
}

func TestWhatWasKeptForABusyTimeIsGivenBack(t *testing.T) {
	t.Parallel()
	b := begin(t, t.TempDir(), little())
	b.fill(60, 1000)
	b.begin = b.Tail()
	b.fill(1, 1000)
	for int64(b.Tail().Offset) > b.opts.SegmentSize/2 && !b.hasNext() {
		time.Sleep(time.Millisecond) // or what is dropped is taken at once, to be the next one
	}
	b.runway.mu.Lock()
	b.runway.taken = time.Now().Add(time.Hour) // however long this takes
	b.runway.mu.Unlock()
	must(t, b.Drop([]uint32{1}))
	if _, err := os.Stat(segmentName(b.dir, 1)); err != nil {
		t.Fatalf("in a busy time it is not kept: %v", err)
	}
	must(t, b.Trim())
	if _, err := os.Stat(segmentName(b.dir, 1)); err != nil {
		t.Errorf("the time is still busy, but it was not kept: %v", err)
	}
	b.runway.mu.Lock()
	b.runway.taken = time.Now().Add(-busyFor)
	b.runway.mu.Unlock()
	must(t, b.Trim())
	if _, err := os.Stat(segmentName(b.dir, 1)); err == nil {
		t.Error("it is kept when the time is over")
	}
}

// Somebody adds up the sizes while a dropped segment gives its file to the next one.
func TestASegmentWithoutAFileHasNoSize(t *testing.T) {
	t.Parallel()
	b := begin(t, t.TempDir(), little())
	b.fill(1, 1000)
	b.Rotate()
	b.fill(1, 1000)
	b.segments[1].handOver()
	if sizes := b.Sizes(); len(sizes) != 1 || sizes[2] == 0 {
		t.Errorf("the sizes are %v, want that of segment 2", sizes)
	}
}
