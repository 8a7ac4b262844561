// SPDX-License-Identifier: Apache-2.0

package queue

import "time"

// SetCrowd says how long goroutines wait for a CPU, instead of the runtime, and
// how many young attempts there may be at least. Run must not have begun.
func (d *Dispatcher) SetCrowd(wait func() time.Duration, least int) {
	d.crowd.wait, d.crowd.least = wait, least
}

// NewWaits returns what measures how long goroutines wait for a CPU.
func NewWaits() func() time.Duration { return new(waits).mean }
