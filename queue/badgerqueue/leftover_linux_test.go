// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// A child is forked while a directory is looked at, and has every file until it runs
// another program. The directory can be used at once all the same.
func TestALookAtADirectoryLeavesItToOthers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var inherited []int
	must(t, whileUnused(dir, func() error {
		files, err := os.ReadDir("/proc/self/fd")
		for _, f := range files {
			if to, _ := os.Readlink(filepath.Join("/proc/self/fd", f.Name())); to == dir { // some are closed by now
				n, err := strconv.Atoi(f.Name())
				must(t, err)
				inherited = append(inherited, n)
			}
		}
		for i, n := range inherited {
			var err error
			inherited[i], err = unix.Dup(n) // as fork does
			must(t, err)
		}
		return err
	}))
	if len(inherited) == 0 {
		t.Fatal("there is nothing to inherit")
	}
	used := false
	must(t, whileUnused(dir, func() error { used = true; return nil }))
	if !used {
		t.Error("it is taken to be in use")
	}
	for _, n := range inherited {
		must(t, unix.Close(n))
	}
	if err := whileUnused(filepath.Join(dir, "none"), func() error { return nil }); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("of a directory that is not there: %v", err)
	}
}
