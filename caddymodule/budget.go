// SPDX-License-Identifier: Apache-2.0

package caddymodule

import "sync/atomic"

// A budget bounds the memory that bodies take while they are received.
type budget struct {
	limit atomic.Int64
	taken atomic.Int64
}

func newBudget(limit int64) *budget {
	b := new(budget)
	b.limit.Store(limit)
	return b
}

// take reserves n bytes, or reports that there is no room for them.
func (b *budget) take(n int64) bool {
	if b.taken.Add(n) > b.limit.Load() {
		b.taken.Add(-n)
		return false
	}
	return true
}

func (b *budget) give(n int64) { b.taken.Add(-n) }
