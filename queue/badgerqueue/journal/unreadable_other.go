// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package journal

import (
	"errors"
	"syscall"
)

// unreadable reports whether a read failed because of the disk.
func unreadable(err error) bool { return errors.Is(err, syscall.EIO) }
