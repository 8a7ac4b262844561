// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// A weakDisk has pages that it cannot read, or not at once.
type weakDisk struct {
	mu    sync.Mutex
	bad   map[string]map[int64]bool // by name of the file, pages
	fails []error                   // what the next reads fail with, whatever they read; nil if not
}

func (d *weakDisk) spoil(segment uint32, at uint32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	name := filepath.Base(segmentName("", segment))
	if d.bad == nil {
		d.bad = make(map[string]map[int64]bool)
	}
	if d.bad[name] == nil {
		d.bad[name] = make(map[int64]bool)
	}
	d.bad[name][int64(at)/pageSize] = true
}

func (d *weakDisk) heal() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.bad = nil
}

// ReadAt reads up to the first page that is bad, as the kernel does.
func (d *weakDisk) ReadAt(f *os.File, b []byte, at int64) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.fails) > 0 {
		err := d.fails[0]
		d.fails = d.fails[1:]
		if err != nil {
			return 0, &os.PathError{Op: "read", Path: f.Name(), Err: err}
		}
	}
	bad := d.bad[filepath.Base(f.Name())]
	for page := at / pageSize; page*pageSize < at+int64(len(b)); page++ {
		if bad[page] {
			n := 0
			if before := page*pageSize - at; before > 0 {
				n, _ = f.ReadAt(b[:before], at)
			}
			return n, &os.PathError{Op: "read", Path: f.Name(), Err: syscall.EIO}
		}
	}
	return f.ReadAt(b, at)
}

// Each page of a small journal cannot be read, one at a time. It costs the frames that
// are there and no others; that is counted where frames follow, and the page is named.
// When it can be read again, nothing is missing.
func TestFaultAnUnreadablePageCostsItsFrames(t *testing.T) {
	t.Parallel()
	b := begin(t, t.TempDir(), little())
	b.fill(3, 70)
	b.fill(3, 3000)
	b.fill(1, 9000)
	b.Rotate()
	b.fill(2, 5000)
	dir := copied(t, b.dir)
	for segment := uint32(1); segment <= 2; segment++ {
		info, err := os.Stat(segmentName(dir, segment))
		must(t, err)
		for at := uint32(0); int64(at) < info.Size(); at += pageSize {
			t.Run(fmt.Sprintf("%d of segment %d", at, segment), func(t *testing.T) {
				oneUnreadable(t, b, dir, segment, at)
			})
		}
	}
	holds(t, dir, b.opts, b.frames)
}

func oneUnreadable(t *testing.T, b *book, dir string, segment, at uint32) {
	disk := new(weakDisk)
	disk.spoil(segment, at)
	o := b.opts
	o.ReadAt = disk.ReadAt
	j, all, done := replayed(t, dir, o)
	left := make(map[uint64]bool)
	for _, f := range all {
		left[f.number] = true
	}
	hidden := uint64(0)
	for _, f := range b.frames {
		hit := f.start.Segment == segment && (at == 0 || f.start.Offset < at+pageSize && at < f.end)
		if left[f.number] == hit {
			t.Errorf("frame %d from %v to %d: replayed is %v", f.number, f.start, f.end, !hit)
		}
		if hit {
			unreadableOrRight(t, j, f)
		} else {
			readable(t, j, f)
		}
		if hit && f.number > done.Last {
			hidden++
		}
	}
	if gap := done.Last - uint64(len(all)); done.Lost < gap || done.Hidden < hidden {
		t.Errorf("%d frames are missing before others, and %d behind: %+v", gap, hidden, done)
	}
	if len(done.Unreadable) != 1 || done.Unreadable[0].Segment != segment || done.Unreadable[0].Offset != at {
		t.Errorf("unreadable is said to be %v", done.Unreadable)
	}
	disk.heal()
	for _, f := range b.frames {
		readable(t, j, f) // also in a segment whose header was unreadable
	}
	must(t, j.Close())
}

// unreadableOrRight checks that a blob of a frame of which a page cannot be read is as
// it was written, or the error says where it is.
func unreadableOrRight(t *testing.T, j *Journal, f written) {
	t.Helper()
	e := j.Enter()
	defer e.Leave()
	for p, want := range f.blobs {
		data, err := e.Read(p)
		named := err != nil && strings.Contains(err.Error(), fmt.Sprintf("segment %08x at ", p.Segment))
		if err == nil && !bytes.Equal(data, want) || err != nil && (!errors.Is(err, ErrUnreadable) || errors.Is(err, ErrDamaged) || !named) {
			t.Errorf("at %v there are %d bytes: %v", p, len(data), err)
		}
	}
}

// A read that fails once is tried again, whatever of the disk or the system it was.
func TestFaultAReadThatFailsOnceIsTriedAgain(t *testing.T) {
	t.Parallel()
	disk := new(weakDisk)
	o := little()
	o.ReadAt = disk.ReadAt
	b := begin(t, t.TempDir(), o)
	b.fill(3, 3000)
	for _, cause := range []error{syscall.EIO, syscall.ENOMEM, syscall.EMFILE, syscall.EINTR} {
		disk.fails = []error{cause}
		readable(t, b.Journal, b.frames[1])
	}
	dir := copied(t, b.dir)
	for _, cause := range []error{syscall.EIO, syscall.ENOMEM, syscall.EMFILE, syscall.EINTR} {
		disk.fails = []error{cause}
		if done := holds(t, dir, o, b.frames); len(done.Unreadable) > 0 {
			t.Errorf("%v: unreadable is said to be %v", cause, done.Unreadable)
		}
	}
}

// What says nothing of the place that was to be read is no damage, however often it
// comes: neither is a blob called unreadable, nor a frame left out.
func TestFaultAWantOfMemoryIsNoDamage(t *testing.T) {
	t.Parallel()
	disk := new(weakDisk)
	o := little()
	o.ReadAt = disk.ReadAt
	b := begin(t, t.TempDir(), o)
	b.fill(3, 3000)
	dir := copied(t, b.dir)
	for _, cause := range []error{syscall.ENOMEM, syscall.EMFILE} {
		disk.fails = []error{cause, cause, cause, cause, cause}
		e := b.Enter()
		for p := range b.frames[0].blobs {
			if _, err := e.Read(p); !errors.Is(err, cause) || errors.Is(err, ErrUnreadable) || errors.Is(err, ErrDamaged) {
				t.Errorf("%v: got %v", cause, err)
			}
		}
		e.Leave()
		disk.fails = []error{cause, cause, cause, cause, cause}
		if _, err := Open(dir, o); !errors.Is(err, cause) {
			t.Errorf("%v: opened with %v", cause, err)
		}
	}
	holds(t, dir, o, b.frames)
}
