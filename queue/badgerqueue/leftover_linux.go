// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// whileUnused calls do while nobody else can use a directory. One that is in use is
// left alone.
func whileUnused(dir string, do func() error) (err error) {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { // a child that is being forked has it too, so that to close it is not enough
		err = errors.Join(err, unix.Flock(int(d.Fd()), unix.LOCK_UN), d.Close())
	}()
	// This is how Badger locks it too.
	switch err := unix.Flock(int(d.Fd()), unix.LOCK_EX|unix.LOCK_NB); {
	case errors.Is(err, unix.EWOULDBLOCK):
		return nil
	case err != nil:
		return fmt.Errorf("locking %s: %w", dir, err)
	}
	return do()
}
