// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// receivedCounters are the counters of what became of an endpoint's requests, as
// far as there were any. To look one up by its labels takes longer than to count.
type receivedCounters struct {
	of *metrics
	by [outcomes]atomic.Pointer[prometheus.Counter]
}

// count counts a request.
func (h *Handler) count(in *inbox, o outcome) {
	counters := h.counters.Load()
	if counters == nil || counters.of != in.metrics {
		counters = &receivedCounters{of: in.metrics}
		h.counters.Store(counters)
	}
	counter := counters.by[o].Load()
	if counter == nil {
		found := in.metrics.receivedTotal.WithLabelValues(h.Endpoint, o.String())
		counter = &found
		counters.by[o].Store(counter)
	}
	(*counter).Inc()
}
