// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// A child that is forked while a directory is looked at does not keep it in use.
func TestALookAtADirectoryLeavesItToOthers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var child []int
	must(t, whileUnused(dir, func() error { child = inherit(t, dir); return nil }))
	used := false
	must(t, whileUnused(dir, func() error { used = true; return nil }))
	if !used {
		t.Error("it is taken to be in use")
	}
	execs(t, child)
	if err := whileUnused(filepath.Join(dir, "none"), func() error { return nil }); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("of a directory that is not there: %v", err)
	}
}
