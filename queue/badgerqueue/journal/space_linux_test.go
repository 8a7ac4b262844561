// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestAFullDiskRefusesFramesAndLosesNone(t *testing.T) {
	t.Parallel()
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("needs root to mount a small disk: %v", err)
	}
	t.Cleanup(func() { must(t, unix.Unmount(disk, unix.MNT_DETACH)) })
	dir := filepath.Join(disk, "journal")
	must(t, os.Mkdir(dir, 0o700))
	b := begin(t, dir, little())
	b.fill(3, 1000)

	for _, size := range []int{100, 5000, 40_000} {
		// Somebody else takes the disk, to the last byte.
		hog, err := os.Create(filepath.Join(disk, "hog"))
		must(t, err)
		for err == nil {
			_, err = hog.Write(make([]byte, pageSize))
		}
		if !errors.Is(err, unix.ENOSPC) {
			t.Fatal(err)
		}
		must(t, hog.Close())
		for err = nil; err == nil; {
			_, err = b.try(make([]byte, size)) // there may be some that was reserved
		}
		if !errors.Is(err, ErrNoSpace) {
			t.Fatalf("got %v", err)
		}
		for range 3 {
			if _, err := b.Begin(size); !errors.Is(err, ErrNoSpace) {
				t.Fatalf("got %v", err)
			}
		}
		holds(t, copied(t, dir), b.opts, b.frames)

		must(t, os.Remove(hog.Name()))
		b.fill(5, size)
		holds(t, copied(t, dir), b.opts, b.frames)
	}
	must(t, b.Close())
	holds(t, dir, b.opts, b.frames)
}

// A frame that was begun has its room, whatever others do with the rest.
func TestWhatWasBegunIsCommittedOnAFullDisk(t *testing.T) {
	t.Parallel()
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=4m"); err != nil {
		t.Skipf("needs root to mount a small disk: %v", err)
	}
	t.Cleanup(func() { must(t, unix.Unmount(disk, unix.MNT_DETACH)) })
	b := begin(t, disk, little())
	const size = 500_000
	f, err := b.Begin(size + Overhead)
	must(t, err)
	hog, err := os.Create(filepath.Join(disk, "hog"))
	must(t, err)
	for err == nil {
		_, err = hog.Write(make([]byte, pageSize))
	}
	must(t, hog.Close())
	w := written{number: 1, notes: []byte{}, blobs: make(map[Place][]byte)}
	data := make([]byte, size)
	w.blobs[f.Blob(data)] = data
	must(t, b.Commit(f, 1, b.begin))
	readable(t, b.Journal, w)
}
