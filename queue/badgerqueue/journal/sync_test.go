// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// It must also be written again: a disk that failed with it has told so, and what
// the kernel has of it would not be written by a sync.
func TestTheLastFrameIsWrittenAgain(t *testing.T) {
	t.Parallel()
	b := begin(t, t.TempDir(), little())
	b.fill(3, 100)
	must(t, b.Close())
	name := segmentName(b.dir, 1)
	before, err := os.Stat(name)
	must(t, err)
	old := before.ModTime().Add(-time.Hour)
	must(t, os.Chtimes(name, old, old))
	holds(t, b.dir, b.opts, b.frames)
	if after, err := os.Stat(name); err != nil || after.ModTime().Equal(old) {
		t.Errorf("it was not written: %v", err)
	}
}

func TestEachCommitIsSyncedBeforeItReturns(t *testing.T) {
	t.Parallel()
	var b *book
	var synced map[string]int
	o := little()
	o.Sync = func(f *os.File) error {
		if !calledBy("(*Journal).Commit") {
			return nil
		}
		// What is synced has the frame in it.
		data, err := os.ReadFile(f.Name())
		if err == nil && bytes.Contains(data, b.frame.notes) {
			synced[filepath.Base(f.Name())]++
		}
		return err
	}
	synced = make(map[string]int)
	b = begin(t, t.TempDir(), o)
	for range 60 {
		before := maps.Clone(synced)
		f := b.commit(make([]byte, 2000))
		name := filepath.Base(segmentName(b.dir, f.start.Segment))
		if b.active.number == f.start.Segment && synced[name] != before[name]+1 {
			t.Errorf("frame %d: %v, before it %v", f.number, synced, before)
		}
	}
}

func TestASegmentIsDurableBeforeItIsUsed(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var done []string
	note := func(what string) {
		mu.Lock()
		defer mu.Unlock()
		done = append(done, what)
	}
	o := little()
	o.Sync = func(f *os.File) error { note("sync " + filepath.Base(f.Name())); return nil }
	o.syncDir = func(string) error { note("sync the directory"); return nil }
	b := begin(t, t.TempDir(), o)
	for b.active.number < 5 {
		n := b.active.number
		b.fill(1, 2000)
		if b.active.number == n {
			continue
		}
		mu.Lock()
		first := slices.Index(done, "sync "+filepath.Base(segmentName(b.dir, b.active.number)))
		if first < 0 || !slices.Contains(done[first:], "sync the directory") {
			t.Errorf("segment %d was begun after %v", b.active.number, done)
		}
		mu.Unlock()
	}
}

var errDisk = errors.New("input/output error")

// The kernel tells an error to each who has the file open, once. What works in
// the background has the file open for itself, and its errors are nobody's.
func TestASyncErrorInTheBackgroundIsNotTheWriters(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	background, writers := make(map[*os.File]bool), make(map[*os.File]bool)
	failed := 0
	o := little()
	o.SegmentSize, o.Runway = 2*firstRunway, firstRunway/4
	o.Sync = func(f *os.File) error {
		mu.Lock()
		defer mu.Unlock()
		if calledBy("(*runway).clear") {
			failed++
			background[f] = true
			return errDisk
		}
		writers[f] = true
		return nil
	}
	b := begin(t, t.TempDir(), o)
	for enough := false; !enough; {
		b.fill(1, 1000)
		mu.Lock()
		enough = failed >= 10 && b.active.number > 3 || b.active.number > 100
		mu.Unlock()
	}
	must(t, b.Close()) // nothing works in the background after it
	for f := range background {
		if writers[f] {
			t.Error("what the writer has open was synced in the background")
		}
	}
	holds(t, b.dir, little(), b.frames)
}

func TestASyncErrorOfACommitIsTold(t *testing.T) {
	t.Parallel()
	fail := false
	o := little()
	o.Sync = func(*os.File) error {
		if fail && calledBy("(*Journal).Commit") {
			return errDisk
		}
		return nil
	}
	b := begin(t, t.TempDir(), o)
	b.fill(3, 100)
	fail = true
	f, err := b.Begin(100)
	must(t, err)
	if err := b.Commit(f, 4, b.begin); !errors.Is(err, errDisk) {
		t.Errorf("got %v", err)
	}
}

// calledBy reports whether a function is among those that are being called.
func calledBy(name string) bool {
	var callers [16]uintptr
	frames := runtime.CallersFrames(callers[:runtime.Callers(2, callers[:])])
	for {
		f, more := frames.Next()
		if strings.HasSuffix(f.Function, name) {
			return true
		}
		if !more {
			return false
		}
	}
}
