// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"math/rand/v2"
	"time"
)

// Backoff is how long a message waits between attempts: First after its first
// failure, twice as long after each further one, and never more than Longest.
// Half of every delay is random, so that messages that failed together do not
// come back together.
type Backoff struct {
	First, Longest time.Duration
}

// Delay returns the delay after the given failure, counted from 1: between half
// of what Backoff says and all of it.
func (b Backoff) Delay(failure int) time.Duration {
	d := b.full(failure)
	return d - rand.N(d/2+1)
}

// full is the delay without its randomness.
func (b Backoff) full(failure int) time.Duration {
	d := b.First
	for range failure - 1 {
		if d > b.Longest/2 {
			return b.Longest
		}
		d *= 2
	}
	return min(d, b.Longest)
}
