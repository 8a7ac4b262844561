// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// garbage is memory of large bodies that nobody needs any more. The collector of Go
// lets the heap grow to twice of what is in use before it looks: with bodies of
// megabytes that are in use for milliseconds, the process would take twice what
// max_in_flight says, and that again for what is delivered. So it is asked to look
// once much is left. The heap has few pointers then, and it takes milliseconds,
// less than to receive one of the bodies.
type garbage struct {
	bytes      atomic.Int64
	collecting sync.Mutex
}

const (
	// largeGarbage is the smallest body that counts: smaller ones are too many to
	// count them one by one, and cost the collector as much as they take.
	largeGarbage = 256 << 10

	// muchGarbage is how many bytes are left before the collector is asked.
	muchGarbage = 64 << 20
)

// leave says that n bytes, of one body, are not needed any more or will not be in a
// moment.
func (g *garbage) leave(n int) {
	if n >= largeGarbage {
		g.bytes.Add(int64(n))
	}
}

// collect collects what was left, if that is much. It is for who is about to need
// memory for a large body, so that no answer waits for it. If it takes so long that
// as much is left meanwhile, on a busy machine, they all wait.
func (g *garbage) collect() {
	if g.bytes.Load() < muchGarbage {
		return
	}
	g.collecting.Lock()
	defer g.collecting.Unlock()
	if g.bytes.Load() < muchGarbage {
		return // somebody else has
	}
	g.bytes.Store(0)
	runtime.GC()
}
