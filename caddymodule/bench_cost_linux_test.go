// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"runtime"
	"testing"
)

// BenchmarkCost is what a message costs besides time, accepted while the application
// is down or accepted and delivered: allocations in the process, over those of a
// request to respond or to reverse_proxy; commits, each of which syncs the disk once
// or more; and bytes written to disks for each byte that was sent. See BenchmarkChurn
// for the processor.
func BenchmarkCost(b *testing.B) {
	b.Run("accept", func(b *testing.B) {
		c := newCourse(b, "retain 0", false)
		cost(b, c, c.respond, func() {})
	})
	b.Run("deliver", func(b *testing.B) {
		c := newCourse(b, "retain 0", true)
		cost(b, c, c.proxy, func() { c.empty() })
	})
}

func cost(b *testing.B, c *course, beside string, delivered func()) {
	n := max(b.N, 10_000)
	ours, theirs := newFlood(b, c.inbox), newFlood(b, beside)
	ours.run(b, 2_000) // both get warm
	delivered()
	theirs.run(b, 2_000)

	bare := allocated(func() { theirs.run(b, n) })
	commits, written := c.commits(), bytesWritten(b)
	took := allocated(func() {
		ours.run(b, n)
		delivered()
	})
	written = bytesWritten(b) - written
	commits = c.commits().minus(commits)

	each := float64(n)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric((took.objects-bare.objects)/each, "allocs/msg")
	b.ReportMetric((took.bytes-bare.bytes)/each, "alloc-B/msg")
	b.ReportMetric(commits.n/each, "commits/msg")
	b.ReportMetric(written/each/webhookBytes, "written/byte")
}

// allocation is what all goroutines together allocate.
type allocation struct{ objects, bytes float64 }

func allocated(do func()) allocation {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return allocation{float64(after.Mallocs - before.Mallocs), float64(after.TotalAlloc - before.TotalAlloc)}
}
