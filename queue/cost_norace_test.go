// SPDX-License-Identifier: Apache-2.0

// The race detector allocates for itself.

//go:build !race

package queue_test

import (
	"math"
	"runtime"
	"testing"
)

// In a backlog, a message costs its attempt, the context with the timeout of that,
// and no goroutine. One allocation is the test's message.
func TestDispatchingAllocatesLittle(t *testing.T) {
	const n = 20_000
	for _, concurrency := range []int{1, 8} {
		dispatch(t.Context(), 100, concurrency, func() {}) // what is there once
		// On a busy machine attempts end and start more often, and what else runs
		// in the process adds to what is counted: the least of some runs is the cost.
		least := math.Inf(1)
		for range 5 {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			dispatch(t.Context(), n, concurrency, runtime.Gosched)
			runtime.ReadMemStats(&after)
			least = min(least, float64(after.Mallocs-before.Mallocs)/n)
		}
		if least > 6.5 {
			t.Errorf("%d at once: %.1f allocations a message, want 6 at most", concurrency, least)
		}
	}
}
