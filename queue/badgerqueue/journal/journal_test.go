// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
)

func TestWhatWasCommittedIsReadAndReplayedInOrder(t *testing.T) {
	t.Parallel()
	b := begin(t, t.TempDir(), little())
	b.commit()
	b.commit([]byte("one"), nil, []byte("three"))
	b.fill(100, 3000) // across segments
	if n := len(b.Segments()); n < 5 {
		t.Fatalf("there are %d segments", n)
	}
	for _, f := range b.frames {
		readable(t, b.Journal, f)
	}
	holds(t, copied(t, b.dir), b.opts, b.frames) // the process was killed
	must(t, b.Close())
	holds(t, b.dir, b.opts, b.frames)
}

func TestAFrameLargerThanASegmentIsWhole(t *testing.T) {
	t.Parallel()
	b := begin(t, t.TempDir(), little())
	b.fill(2, 100)
	b.fill(2, 3<<20)
	b.fill(2, 100)
	for _, f := range b.frames {
		readable(t, b.Journal, f)
	}
	must(t, b.Close())
	holds(t, b.dir, b.opts, b.frames)
}

func TestAJournalGoesOnAfterItWasClosedOrNot(t *testing.T) {
	t.Parallel()
	b := begin(t, t.TempDir(), little())
	for range 5 {
		b.fill(7, 1000)
		must(t, b.Close())
		b.again()
		b.fill(7, 1000)
		b.dir = copied(t, b.dir)
		b.again()
	}
	holds(t, b.dir, b.opts, b.frames)
}

func TestAReplayBeginsWhereTheLastFrameSays(t *testing.T) {
	t.Parallel()
	for _, segment := range []bool{false, true} {
		b := begin(t, t.TempDir(), little())
		b.fill(30, 1000)
		if segment {
			b.Rotate()
		}
		b.begin = b.Tail()
		b.fill(3, 1000)
		j, all, done := replayed(t, copied(t, b.dir), b.opts)
		if len(all) != 3 || all[0].number != 31 || done.Lost != 0 || done.Begin != b.begin || done.Last != 33 {
			t.Errorf("replayed %v, %+v", all, done)
		}
		readable(t, j, b.frames[0]) // it is still there
	}
}

// Frames need not be numbered one after the other by the writer, if he says so.
func TestNumbersThatWereGivenUpAreNotMissed(t *testing.T) {
	t.Parallel()
	b := begin(t, t.TempDir(), little())
	b.fill(3, 100)
	must(t, b.Close())
	b.Journal, _, _ = replayed(t, b.dir, b.opts)
	must(t, b.Start(10))
	b.begin = b.Tail()
	b.frames = []written{{number: 10}}
	b.fill(2, 100)
	if done := holds(t, copied(t, b.dir), b.opts, b.frames[1:]); done.Lost != 0 {
		t.Errorf("%+v", done)
	}
}

func TestAFrameThatWasNotCommittedIsNotThere(t *testing.T) {
	t.Parallel()
	b := begin(t, t.TempDir(), little())
	b.fill(2, 100)
	f, err := b.Begin(1000)
	must(t, err)
	p := f.Blob([]byte("never committed"))
	b.fill(1, 10) // it begins anew
	holds(t, copied(t, b.dir), b.opts, b.frames)
	e := b.Enter()
	defer e.Leave()
	if data, err := e.Read(p); !errors.Is(err, ErrDamaged) {
		t.Errorf("read %q, %v", data, err)
	}
}

func TestWhatIsNowhereIsMissingOrDamaged(t *testing.T) {
	t.Parallel()
	b := begin(t, t.TempDir(), little())
	b.fill(1, 100)
	e := b.Enter()
	defer e.Leave()
	for _, c := range []struct {
		place Place
		want  error
	}{
		{Place{Segment: 2, Offset: headerSize, Length: 10}, ErrMissing},
		{Place{Segment: 1, Offset: headerSize, Length: 100}, ErrDamaged},
		{Place{Segment: 1, Offset: 0, Length: 10}, ErrDamaged},
		{Place{Segment: 1, Offset: 1 << 31, Length: 1 << 31}, ErrDamaged},
		{Place{Segment: 1, Offset: headerSize + frameHeader, Length: 1<<32 - 1}, ErrDamaged},
		{Place{Segment: 1, Offset: headerSize + frameHeader, Length: 99}, ErrDamaged},
		{Place{Segment: 1, Offset: 1<<32 - 1, Length: 0}, ErrDamaged},
	} {
		if data, err := e.Read(c.place); !errors.Is(err, c.want) {
			t.Errorf("at %v: %d bytes, %v", c.place, len(data), err)
		}
	}
}

// A directory may have any name, and files of others.
func TestADirectoryOfAnyName(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"[a]", "a*b?", `back\slash`, "ä ö"} {
		dir := filepath.Join(t.TempDir(), name)
		must(t, os.Mkdir(dir, 0o700))
		for _, other := range []string{"MANIFEST", "1.segment", "0000000g.segment", "000000001.segment"} {
			must(t, os.WriteFile(filepath.Join(dir, other), []byte("of others"), 0o600))
		}
		b := begin(t, dir, little())
		b.fill(3, 100)
		must(t, b.Close())
		holds(t, dir, b.opts, b.frames)
		if data, err := os.ReadFile(filepath.Join(dir, "1.segment")); string(data) != "of others" {
			t.Errorf("the file of another has %q, %v", data, err)
		}
	}
}

func TestAJournalOfANewerVersionIsLeftAlone(t *testing.T) {
	t.Parallel()
	b := begin(t, t.TempDir(), little())
	b.fill(1, 100)
	must(t, b.Close())
	name := segmentName(b.dir, 1)
	data := files(t, b.dir)[filepath.Base(name)]
	page := versioned(headerPage(1, [8]byte{}), formatVersion+1)
	must(t, os.WriteFile(name, slices.Concat(page, data[headerSize:]), 0o600))
	if _, err := Open(b.dir, b.opts); !errors.Is(err, ErrNewer) {
		t.Errorf("got %v", err)
	}
	if after := files(t, b.dir)[filepath.Base(name)]; len(after) != len(data) {
		t.Error("it was changed")
	}
}

func TestNoGoroutineOutlivesClose(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) { // it fails if one is left
		b := begin(t, dir, little())
		b.fill(50, 2000)
		must(t, b.Close())
	})
}

func TestManyFramesOfManySizes(t *testing.T) {
	t.Parallel()
	b := begin(t, t.TempDir(), little())
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		var blobs [][]byte
		for range random.IntN(4) {
			data := make([]byte, random.IntN(1<<random.IntN(14)))
			for i := range data {
				data[i] = byte(random.Uint32())
			}
			blobs = append(blobs, data)
		}
		b.commit(blobs...)
	}
	holds(t, copied(t, b.dir), b.opts, b.frames)
}
