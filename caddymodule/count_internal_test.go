// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"maps"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// While a configuration starts, requests are received for the inbox of the one
// before it. What never happened has no series.
func TestRequestsAreCountedByTheInboxThatReceivesThem(t *testing.T) {
	t.Parallel()
	h := &Handler{Endpoint: "demo", counters: new(atomic.Pointer[receivedCounters])}
	before, after := &inbox{metrics: newMetrics()}, &inbox{metrics: newMetrics()}
	for range 3 {
		h.count(before, accepted)
	}
	h.count(before, mismatch)
	h.count(after, accepted)
	h.count(before, accepted)
	if got, want := counted(t, before), (map[string]float64{"demo accepted": 4, "demo mismatch": 1}); !maps.Equal(got, want) {
		t.Errorf("before: %v, want %v", got, want)
	}
	if got, want := counted(t, after), (map[string]float64{"demo accepted": 1}); !maps.Equal(got, want) {
		t.Errorf("after: %v, want %v", got, want)
	}
}

func counted(t *testing.T, in *inbox) map[string]float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(in.metrics.receivedTotal)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := make(map[string]float64)
	for _, family := range families {
		for _, m := range family.GetMetric() {
			counts[m.GetLabel()[0].GetValue()+" "+m.GetLabel()[1].GetValue()] = m.GetCounter().GetValue()
		}
	}
	return counts
}
