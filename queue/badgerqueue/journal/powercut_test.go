// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// A platter is what a disk has for certain: of each file what it was when it was
// last synced, under the names that its directory had when that was.
type platter struct {
	t  testing.TB
	mu sync.Mutex

	open  []os.FileInfo // of the files that were synced
	data  [][]byte
	names map[string]os.FileInfo
	cut   func() // if not nil, called after each sync
}

func (d *platter) options() Options {
	o := little()
	o.Sync, o.syncDir = d.sync, d.syncDir
	return o
}

func (d *platter) sync(f *os.File) error {
	if err := d.take(f); err != nil {
		return err
	}
	if d.cut != nil {
		d.cut()
	}
	return nil
}

func (d *platter) take(f *os.File) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	dir := filepath.Dir(f.Name())
	names, err := namesIn(dir)
	if err != nil {
		return err
	}
	for name, n := range names { // it may have another than when it was opened
		if !os.SameFile(n, info) {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		i := slices.IndexFunc(d.open, func(o os.FileInfo) bool { return os.SameFile(o, info) })
		if i < 0 {
			i = len(d.open)
			d.open, d.data = append(d.open, info), append(d.data, nil)
		}
		d.data[i] = data
	}
	return nil
}

func (d *platter) syncDir(dir string) error {
	d.mu.Lock()
	names, err := namesIn(dir)
	d.names = names
	d.mu.Unlock()
	if d.cut != nil {
		d.cut()
	}
	return err
}

func namesIn(dir string) (map[string]os.FileInfo, error) {
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	names := make(map[string]os.FileInfo)
	for _, f := range list {
		info, err := os.Stat(filepath.Join(dir, f.Name()))
		if errors.Is(err, os.ErrNotExist) {
			continue // it was dropped meanwhile
		}
		if err != nil {
			return nil, err
		}
		names[f.Name()] = info
	}
	return names, nil
}

// left returns a directory with what there is after a power cut.
func (d *platter) left() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	dir := d.t.TempDir()
	for name, info := range d.names {
		var data []byte
		if i := slices.IndexFunc(d.open, func(o os.FileInfo) bool { return os.SameFile(o, info) }); i >= 0 {
			data = d.data[i]
		}
		must(d.t, os.WriteFile(filepath.Join(dir, name), data, 0o600))
	}
	return dir
}

// The power is cut after each sync: of commits, and of segments that are filled,
// prepared, begun, dropped and made others.
func TestNothingCommittedIsLostInAPowerCut(t *testing.T) {
	t.Parallel()
	type cut struct {
		dir       string
		committed uint64
	}
	disk := &platter{t: t}
	var committed atomic.Uint64
	var mu sync.Mutex
	var cuts []cut
	disk.cut = func() {
		mu.Lock()
		defer mu.Unlock()
		n := committed.Load()
		cuts = append(cuts, cut{disk.left(), n})
	}
	b := begin(t, t.TempDir(), disk.options())
	for i := range 200 {
		b.fill(1, 1500)
		committed.Store(b.lastNumber())
		if i%25 == 24 {
			b.begin = b.Tail()
			b.fill(1, 10) // it says so
			committed.Store(b.lastNumber())
			for _, n := range b.Segments() {
				if n < b.begin.Segment {
					must(t, b.Drop([]uint32{n}))
				}
			}
		}
		if i%40 == 39 {
			b.Rotate()
		}
	}
	must(t, b.Close())
	for _, c := range cuts {
		j, all, done := replayed(t, c.dir, little())
		if done.Last < c.committed || done.Lost != 0 || len(all) != int(done.Last-done.Begin.Number) {
			t.Fatalf("%d frames were committed, and replayed %v, %+v", c.committed, all, done)
		}
		for _, f := range b.frames[done.Begin.Number:done.Last] {
			readable(t, j, f)
		}
		must(t, j.Close())
	}
	t.Logf("%d power cuts in %d segments", len(cuts), b.active.number)
	if b.active.number < 10 || len(cuts) < 200 {
		t.Error("that is too few")
	}
}

// A process may die before its last frame is synced. The next finds the frame,
// since the kernel has it, and builds on it: then it must be on the disk.
func TestWhatAReplayFindsIsDurable(t *testing.T) {
	t.Parallel()
	disk := &platter{t: t}
	b := begin(t, t.TempDir(), disk.options())
	b.fill(2, 100)
	b.opts.Sync = unsynced // the process dies here
	b.fill(1, 100)
	if _, all, _ := replayed(t, disk.left(), little()); len(all) != 2 {
		t.Fatalf("of the frame that is not synced, %v is on the disk", all)
	}
	_, all, _ := replayed(t, b.dir, disk.options())
	if len(all) != 3 {
		t.Fatalf("replayed %v", all)
	}
	holds(t, disk.left(), little(), b.frames)
}
