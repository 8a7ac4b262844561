// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// A written is a frame that was committed, and what it has.
type written struct {
	number uint64
	start  Position
	end    uint32 // of what it has, without what follows up to the next
	notes  []byte
	blobs  map[Place][]byte
}

// A book is a journal in a test, and all that was committed to it.
type book struct {
	*Journal
	t      testing.TB
	frames []written
	begin  Position // of replays, as it is told with each frame
}

// unsynced is for tests that lose nothing but what they take away themselves.
func unsynced(*os.File) error { return nil }

// little makes segments of a size that a test can look at byte by byte.
func little() Options {
	return Options{
		SegmentSize: 32 << 10,
		Runway:      8 << 10,
		Sync:        unsynced,
		Patience:    time.Millisecond, // with what is bad for good
		syncDir:     func(string) error { return nil },
	}
}

// begin opens a journal that is new.
func begin(t testing.TB, dir string, o Options) *book {
	t.Helper()
	j, _, _ := replayed(t, dir, o)
	must(t, j.Start(0))
	b := &book{Journal: j, t: t}
	b.begin = j.Tail()
	return b
}

// again opens the directory of a journal, and goes on.
func (b *book) again() {
	b.t.Helper()
	b.Journal, _, _ = replayed(b.t, b.dir, b.opts)
	must(b.t, b.Start(b.lastNumber()))
}

func (b *book) lastNumber() uint64 {
	if len(b.frames) == 0 {
		return 0
	}
	return b.frames[len(b.frames)-1].number
}

// commit commits a frame with blobs, and notes that tell it from all others.
func (b *book) commit(blobs ...[]byte) written {
	b.t.Helper()
	w, err := b.try(blobs...)
	must(b.t, err)
	return w
}

func (b *book) try(blobs ...[]byte) (written, error) {
	size := 64
	for _, data := range blobs {
		size += len(data) + Overhead
	}
	f, err := b.Begin(size)
	if err != nil {
		return written{}, err
	}
	w := written{number: b.lastNumber() + 1, start: b.Tail(), blobs: make(map[Place][]byte)}
	for _, data := range blobs {
		w.blobs[f.Blob(data)] = data
	}
	w.notes = fmt.Appendf(nil, "the notes of %d", w.number)
	f.Note(w.notes...)
	w.end = w.start.Offset + uint32(f.Size())
	if err := b.Commit(f, w.number, b.begin); err != nil {
		return written{}, err
	}
	b.frames = append(b.frames, w)
	return w, nil
}

// fill commits n frames of one blob of so many bytes each.
func (b *book) fill(n, size int) {
	b.t.Helper()
	for range n {
		b.commit(bytes.Repeat([]byte{byte(b.lastNumber() + 1)}, size))
	}
}

// A found is a frame that a replay found.
type found struct {
	number uint64
	notes  string
}

// replayed opens a directory, and replays it.
func replayed(t testing.TB, dir string, o Options) (*Journal, []found, Replay) {
	t.Helper()
	j, err := Open(dir, o)
	must(t, err)
	t.Cleanup(func() { _ = j.Close() }) // some are closed before
	var all []found
	done, err := j.Replay(func(r Replayed) error {
		all = append(all, found{r.Number, string(r.Notes)})
		return nil
	})
	must(t, err)
	return j, all, done
}

// holds checks that a directory has all frames that were committed, but for
// those that are left out, and that no byte of them is wrong.
func holds(t testing.TB, dir string, o Options, frames []written, without ...uint64) Replay {
	t.Helper()
	j, all, done := replayed(t, dir, o)
	var want []found
	for _, f := range frames {
		if !slices.Contains(without, f.number) {
			want = append(want, found{f.number, string(f.notes)})
			readable(t, j, f)
		}
	}
	if !slices.Equal(all, want) {
		t.Errorf("replayed %v\nwant %v", all, want)
	}
	must(t, j.Close())
	return done
}

// readable checks that the blobs of a frame are as they were written.
func readable(t testing.TB, j *Journal, f written) {
	t.Helper()
	e := j.Enter()
	defer e.Leave()
	for p, want := range f.blobs {
		if data, err := e.Read(p); err != nil || !bytes.Equal(data, want) {
			t.Errorf("at %v there are %d bytes, not what was written: %v", p, len(data), err)
		}
	}
}

// copied copies the files of a journal as they are now, which is what is left
// when the process is killed.
func copied(t testing.TB, dir string) string {
	t.Helper()
	to := t.TempDir()
	for name, data := range files(t, dir) {
		must(t, os.WriteFile(filepath.Join(to, name), data, 0o600))
	}
	return to
}

func files(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	all := make(map[string][]byte)
	list, err := os.ReadDir(dir)
	must(t, err)
	for _, f := range list {
		data, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if errors.Is(err, os.ErrNotExist) {
			continue // it was being prepared
		}
		must(t, err)
		all[f.Name()] = data
	}
	return all
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
