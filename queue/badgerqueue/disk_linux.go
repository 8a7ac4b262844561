// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

func freeSpace(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("statfs of %s: %w", dir, err)
	}
	return int64(st.Bavail) * st.Bsize, nil
}

// allocate makes the file size bytes long, with real blocks.
func allocate(f *os.File, size int64) error {
	if err := f.Truncate(size); err != nil {
		return err
	}
	if err := unix.Fallocate(int(f.Fd()), 0, 0, size); err != nil {
		return fmt.Errorf("fallocate of %s: %w", f.Name(), err)
	}
	return nil
}
