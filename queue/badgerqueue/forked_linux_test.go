// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
	"golang.org/x/sys/unix"
)

// When Close has returned, its directory can be used, though a child was being forked
// meanwhile that has every file.
func TestACloseLeavesTheDirectoryToOthers(t *testing.T) {
	t.Parallel()
	q := openTest(t, Options{})
	child := inherit(t, q.opts.Dir)
	syscall.ForkLock.Lock() // as long as it is being forked
	reopened := make(chan error, 1)
	go func() {
		err := q.Close()
		next, openErr := Open(q.opts)
		if openErr == nil {
			openErr = next.Close()
		}
		reopened <- errors.Join(err, openErr)
	}()
	time.Sleep(300 * time.Millisecond) // enough to be told that the directory is in use
	execs(t, child)
	syscall.ForkLock.Unlock()
	must(t, <-reopened)
}

// So it is when the database could not be opened.
func TestAFailedOpenLeavesTheDirectoryToOthers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, badger.ManifestFilename), []byte("none of Badger's"), 0o600))
	syscall.ForkLock.Lock() // as long as a child is being forked
	failed := make(chan error, 1)
	go func() {
		_, err := openDB(badger.DefaultOptions(dir).WithLogger(nil))
		failed <- err
	}()
	var err error
	select {
	case err = <-failed:
		t.Error("it does not wait for the child")
		syscall.ForkLock.Unlock()
	case <-time.After(300 * time.Millisecond):
		syscall.ForkLock.Unlock()
		err = <-failed
	}
	if err == nil || errors.Is(err, ErrLocked) {
		t.Errorf("opening: %v", err)
	}
}

// inherit copies what this process has open of dir, as fork does for a child.
func inherit(t *testing.T, dir string) (child []int) {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	for _, f := range files {
		if to, _ := os.Readlink(filepath.Join("/proc/self/fd", f.Name())); to != dir { // some are closed by now
			continue
		}
		n, err := strconv.Atoi(f.Name())
		must(t, err)
		c, err := unix.FcntlInt(uintptr(n), unix.F_DUPFD_CLOEXEC, 0)
		must(t, err)
		child = append(child, c)
	}
	if len(child) == 0 {
		t.Fatal("there is nothing to inherit")
	}
	return child
}

// execs closes what a child inherited, as it does when it runs its program.
func execs(t *testing.T, child []int) {
	t.Helper()
	for _, n := range child {
		must(t, unix.Close(n))
	}
}
