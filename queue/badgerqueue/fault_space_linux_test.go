// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A compaction goes on for long, and others fill the disk meanwhile. Badger would be
// killed by a signal; it waits, and goes on when there is space again. If that does
// not hold, the whole test binary dies of it.
func TestFaultTheProcessSurvivesACompactionOnAFullDisk(t *testing.T) {
	dir := smallDisk(t)
	o := Options{Dir: filepath.Join(dir, "queue"), MinFreeSpace: 64 << 20, disk: localDisk{dir}, tune: compacting}
	q := openTest(t, o)
	writeTables(t, q, 2)
	hog := takeAll(t, dir)
	compacted := make(chan error, 1)
	go func() { compacted <- q.db.Flatten(1) }()
	for deadline := time.Now().Add(10 * time.Second); q.space.mayWrite(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not see that the disk is full")
		}
	}
	refused(t, q, "while the database waits for room")
	select {
	case err := <-compacted:
		t.Errorf("tables were compacted onto a full disk: %v", err)
	default:
	}
	must(t, os.Remove(hog))
	must(t, <-compacted)
	publishSoon(t, q)
}

// smallDisk returns a directory on a disk that is easily filled.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=160m"); err != nil {
		t.Skipf("needs root to mount a small disk: %v", err)
	}
	t.Cleanup(func() { must(t, unix.Unmount(dir, 0)) })
	return dir
}

// takeAll takes all that is left of a disk, and returns the file that has it.
func takeAll(t *testing.T, dir string) string {
	t.Helper()
	hog, err := os.Create(filepath.Join(dir, "hog"))
	must(t, err)
	data := make([]byte, 4<<10)
	for err == nil {
		_, err = hog.Write(data)
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	must(t, hog.Close())
	return hog.Name()
}
