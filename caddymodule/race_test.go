// SPDX-License-Identifier: Apache-2.0

//go:build race

package caddymodule_test

// slowdown is how much longer things may take that have a bound, here because
// the race detector watches.
const slowdown = 2
