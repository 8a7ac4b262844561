// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"errors"
	"slices"
	"syscall"
)

// unreadable reports whether a read failed because of the disk, or because the file
// system found there what it did not write.
func unreadable(err error) bool {
	return slices.ContainsFunc([]error{
		syscall.EIO, syscall.ENODATA, syscall.EREMOTEIO, syscall.EILSEQ, syscall.EBADMSG, syscall.EUCLEAN,
	}, func(e error) bool { return errors.Is(err, e) })
}
