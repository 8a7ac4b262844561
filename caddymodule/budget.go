// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"sync"
	"sync/atomic"
)

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

// budgets are those of the endpoints. A name has one, in however many servers and
// configurations the endpoint is.
type budgets struct {
	mu    sync.RWMutex
	limit int64 // of each
	of    map[string]*budget
}

func (b *budgets) get(endpoint string) *budget {
	b.mu.RLock()
	own := b.of[endpoint]
	b.mu.RUnlock()
	if own != nil {
		return own
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if own = b.of[endpoint]; own != nil {
		return own
	}
	if b.of == nil {
		b.of = make(map[string]*budget)
	}
	own = newBudget(b.limit)
	b.of[endpoint] = own
	return own
}

// allow sets the limit of each.
func (b *budgets) allow(limit int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.limit = limit
	for _, own := range b.of {
		own.limit.Store(limit)
	}
}
