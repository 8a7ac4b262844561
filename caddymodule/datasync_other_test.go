// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package caddymodule_test

import "os"

func datasync(f *os.File) error { return f.Sync() }
