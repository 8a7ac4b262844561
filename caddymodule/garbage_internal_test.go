// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"runtime"
	"testing"
)

// Many small bodies are left to the collector's own time; of large ones, each 64 MiB
// are collected at once.
func TestGarbageOfLargeBodiesIsCollected(t *testing.T) {
	var g garbage
	before := forcedCollections()
	for range 1000 {
		g.leave(largeGarbage - 1)
	}
	g.leave(muchGarbage - 1)
	g.collect()
	if n := forcedCollections() - before; n != 0 {
		t.Errorf("%d collections, want none yet", n)
	}
	for range 2 {
		g.leave(muchGarbage)
		g.collect()
		g.collect()
	}
	if n := forcedCollections() - before; n != 2 {
		t.Errorf("%d collections, want 2", n)
	}
}

func forcedCollections() uint32 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.NumForcedGC
}
