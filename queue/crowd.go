// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"runtime"
	"runtime/metrics"
	"slices"
	"time"
)

const (
	// lookEvery is how often it is looked how long goroutines wait for a CPU. Each
	// look is a microsecond.
	lookEvery = 10 * time.Millisecond

	// Goroutines wait too long from longWait on, and hardly below shortWait.
	longWait  = 150 * time.Microsecond
	shortWait = 50 * time.Microsecond

	// youngFor is how long an attempt counts as one that needs a CPU. An older one
	// waits for the application, and is in nobody's way.
	youngFor = 10 * time.Millisecond

	// fewest is how many young attempts there may be for each CPU at least.
	fewest = 4
)

// A crowd says how many young attempts may be under way, while goroutines of this
// process wait long for a CPU.
//
// More attempts than keep the CPUs busy deliver nothing sooner, but make those wait
// who receive messages, in the same line. An application that is slow still has all
// attempts that it may have, because its attempts grow old.
type crowd struct {
	wait   func() time.Duration // of goroutines for a CPU, on average since the last call
	width  int                  // how many; zero is any number
	least  int                  // that width may be
	looked time.Time
}

func newCrowd() crowd {
	return crowd{wait: new(waits).mean, least: fewest * max(2, runtime.GOMAXPROCS(0))}
}

// look returns how many young attempts there may be of those that the limit
// allows.
func (c *crowd) look(limit int, now time.Time) int {
	since := now.Sub(c.looked)
	if since >= lookEvery {
		c.looked = now
		switch wait := c.wait(); {
		case since > time.Second, c.width > limit:
			c.width = 0 // it was another time, or is over
		case wait > longWait:
			c.width = max(c.least, c.allowed(limit)/2)
		case wait < shortWait:
			c.width = 2 * c.width
		}
	}
	return c.allowed(limit)
}

func (c *crowd) allowed(limit int) int {
	if c.width == 0 {
		return limit
	}
	return min(c.width, limit)
}

// crowded says whether another attempt would only be in the way. The caller holds
// the lock.
func (d *Dispatcher) crowded(now time.Time) bool {
	if len(d.inFlight) < d.crowd.least {
		return false
	}
	width := d.crowd.look(d.pace.limit, now)
	if len(d.inFlight) < width {
		return false
	}
	young := 0
	for _, a := range d.inFlight {
		if now.Sub(a.began) < youngFor {
			young++
		}
		if young >= width {
			return true
		}
	}
	return false
}

// waits measures how long goroutines of this process that could run wait until
// they do.
type waits struct {
	samples []metrics.Sample
	before  []uint64 // counts of the last call
}

// mean returns the mean since the last call, of which the runtime knows one in
// eight; zero at the first.
func (w *waits) mean() time.Duration {
	if w.samples == nil {
		w.samples = []metrics.Sample{{Name: "/sched/latencies:seconds"}}
	}
	metrics.Read(w.samples)
	if w.samples[0].Value.Kind() != metrics.KindFloat64Histogram {
		return 0
	}
	h := w.samples[0].Value.Float64Histogram()
	if len(w.before) != len(h.Counts) {
		w.before = slices.Clone(h.Counts)
	}
	var n uint64
	var sum float64
	for i, count := range h.Counts {
		more := count - w.before[i]
		n += more
		sum += float64(more) * max(0, h.Buckets[i]) // the least that it was
		w.before[i] = count
	}
	if n == 0 {
		return 0
	}
	return time.Duration(sum / float64(n) * float64(time.Second))
}
