// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package journal

import "os"

// datasync makes what was written to a file durable, with its size.
func datasync(f *os.File) error { return f.Sync() }
