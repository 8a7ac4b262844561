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
