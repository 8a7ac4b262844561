// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"time"
)

const (
	// An outage begins when so many different messages failed, or so many
	// attempts in a row found nobody there, with nothing delivered in between.
	outageMessages    = 5
	outageConnections = 3

	// The first probe comes after firstProbe, and each further one after twice as
	// long as the one before, at most longestProbe.
	firstProbe   = time.Second
	longestProbe = 30 * time.Second

	// lately is how many probes ago a message was probed lately.
	lately = 16

	// A suspect stays one for as long as something was delivered within
	// suspectFor. There are at most maxSuspects of an endpoint.
	suspectFor  = time.Hour
	maxSuspects = 1024
)

// health follows how an endpoint is, by the outcomes of its attempts:
//
//	       5 messages or 3 connections failed
//	well ────────────────────────────────────▶ outage ──▶ probe ──┐
//	  ▲                                          ▲  │     failed  │
//	  └───────────────── delivered ──────────────┼──┘             │
//	                                             └────────────────┘
//
// A message that failed in an outage, or opened it, is a suspect once another
// message ended it: the endpoint works, so it may be the message. Its failures
// are its own from then on and open no outage, until it is delivered. Otherwise
// five messages that the application cannot take would open one after the other,
// and never be given up on.
//
// It decides and does nothing. Its owner tells it of every outcome.
type health struct {
	outage *Outage // nil while the endpoint is well

	// nextProbe is when to probe, in this process: outage.NextProbe is
	// wall-clock time, which may be set.
	nextProbe time.Time
	probed    []ID // lately, the last one last

	// What failed since something was delivered, while the endpoint is well: if
	// that opens an outage, it was not the messages' fault.
	charged     map[ID]Refund
	unconnected int // attempts in a row

	blamed        map[ID]struct{} // failed in this outage, or opened it
	suspects      map[ID]struct{}
	lastDelivered time.Time

	// changes counts the beginnings and ends of outages: an attempt that began
	// before the last one says nothing about the endpoint now.
	changes int
}

// resume goes on with an outage that is remembered, and returns whether it is
// another than that now. A next probe that is further away than any can be is
// due to a clock that was set.
func (h *health) resume(o Outage, route string, now time.Time) (changed bool) {
	h.outage = &o
	h.nextProbe = now.Add(min(max(0, o.NextProbe.Sub(now)), longestPause))
	return h.rerouted(route, now)
}

// failed notes that an attempt with a message failed while the endpoint was
// well, and returns whether an outage begins by that. If it does not, the owner
// counts the failure and charges it.
func (h *health) failed(id ID, r Result, route string, now time.Time) (began bool) {
	if now.Sub(h.lastDelivered) > suspectFor {
		h.suspects = nil // that the endpoint works is too long ago
	}
	h.charge(Refund{ID: id})
	h.unconnected++
	if !r.NoConnection {
		h.unconnected = 0
	}
	if len(h.charged) < outageMessages && h.unconnected < outageConnections {
		return false
	}
	h.changes++
	h.probed = nil
	h.blamed = make(map[ID]struct{})
	for id := range h.charged {
		h.blamed[id] = struct{}{}
	}
	h.outage = &Outage{Since: now.Round(0), LastError: r.text(), Route: route}
	h.probeAfter(probeDelay(0), now)
	return true
}

// charge notes what a failure cost its message. A suspect has to bear it.
func (h *health) charge(cost Refund) {
	if _, ok := h.suspects[cost.ID]; ok {
		return
	}
	if h.charged == nil {
		h.charged = make(map[ID]Refund)
	}
	sum := h.charged[cost.ID]
	h.charged[cost.ID] = Refund{cost.ID, sum.Failures + cost.Failures, sum.Delayed + cost.Delayed}
}

// refunds returns what was charged for failures that opened the outage, once.
func (h *health) refunds() map[ID]Refund {
	charged := h.charged
	h.charged = nil
	for id, r := range charged {
		if r.Failures == 0 {
			delete(charged, id)
		}
	}
	return charged
}

// answered notes an answer that is neither a delivery nor a failure of the
// endpoint.
func (h *health) answered() { h.unconnected = 0 }

// delivered notes that a message was delivered, and returns the outage that it
// ended.
func (h *health) delivered(id ID, now time.Time) (ended *Outage) {
	ended = h.outage
	if ended != nil {
		h.changes++
		h.suspect()
	}
	delete(h.suspects, id)
	h.outage, h.charged, h.unconnected, h.blamed = nil, nil, 0, nil
	h.lastDelivered = now
	return ended
}

// suspect makes suspects of the messages that failed in the outage.
func (h *health) suspect() {
	if h.suspects == nil {
		h.suspects = make(map[ID]struct{})
	}
	for id := range h.blamed {
		if len(h.suspects) < maxSuspects {
			h.suspects[id] = struct{}{}
		}
	}
}

// buried forgets a message that is dead.
func (h *health) buried(id ID) { delete(h.suspects, id) }

// pick says which message the next probe takes.
func (h *health) pick() Pick {
	return Pick{Newest: h.outage.Probes%2 == 1, Except: h.probed}
}

// probing notes that a message is being probed.
func (h *health) probing(id ID) {
	if len(h.probed) == lately {
		h.probed = h.probed[1:]
	}
	h.probed = append(h.probed[:len(h.probed):len(h.probed)], id)
}

// probeFailed notes that a probe with a message failed.
func (h *health) probeFailed(id ID, r Result, now time.Time) {
	h.outage.Probes++
	if h.blamed == nil { // the outage is remembered from before a restart
		h.blamed = make(map[ID]struct{})
	}
	if len(h.blamed) < maxSuspects {
		h.blamed[id] = struct{}{}
	}
	h.outage.LastError = r.text()
	h.probeAfter(max(probeDelay(h.outage.Probes), min(r.RetryAfter, longestPause)), now)
}

// rerouted notes that deliveries take this route from now on, and returns
// whether that changes when to probe.
func (h *health) rerouted(route string, now time.Time) bool {
	if h.outage == nil || h.outage.Route == route {
		return false
	}
	h.outage.Route = route
	h.probeAfter(0, now)
	return true
}

// postpone notes that there is to be no probe before a time.
func (h *health) postpone(until time.Time) {
	h.nextProbe = until
	h.outage.NextProbe = until.Round(0)
}

func (h *health) probeAfter(delay time.Duration, now time.Time) {
	h.nextProbe = now.Add(delay)
	h.outage.NextProbe = h.nextProbe.Round(0)
}

// probeDelay returns the time between a number of failed probes and the next.
func probeDelay(failed int) time.Duration {
	return Backoff{First: firstProbe, Longest: longestProbe}.full(failed + 1)
}
