// SPDX-License-Identifier: Apache-2.0

//go:build !race

package caddymodule_test

// slowdown is how much longer things may take that have a bound.
const slowdown = 1
