// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"time"
)

// pace says how many attempts may be under way at once. An endpoint that comes
// back from an outage gets 1, 2, 4 and so on, up to the limit; one that answers
// 429 gets a pause and half of what it had, and from then on one more at a time.
// Each step takes as many deliveries as the endpoint had before it.
type pace struct {
	limit    int // of the policy
	window   int // now
	progress int // deliveries since the window changed
	double   int // up to where the window doubles

	slowed      time.Time // when an endpoint answered 429 last, for the first time in a row
	rounds      int       // how often it did with no delivery in between
	pausedUntil time.Time
}

func newPace(limit int) pace { return pace{limit: limit, window: limit, double: limit} }

// setLimit changes the limit. A window below it is still on its way there.
func (p *pace) setLimit(limit int) {
	if p.window == p.limit {
		p.window = limit
	}
	if p.double == p.limit {
		p.double = limit
	}
	p.limit, p.window, p.double = limit, min(p.window, limit), min(p.double, limit)
}

// restart begins with one, after an outage. A pause that is not over goes on.
func (p *pace) restart() {
	p.window, p.progress, p.double = 1, 0, p.limit
	p.rounds = 0
}

func (p *pace) delivered() {
	p.rounds = 0
	if p.window == p.limit {
		return
	}
	p.progress++
	if p.progress < p.window {
		return
	}
	p.progress = 0
	if p.window < p.double {
		p.window = min(2*p.window, p.double)
	} else {
		p.window++
	}
}

// throttled notes a 429 for an attempt that began at the given time. Attempts
// that were under way together are slowed down for once.
func (p *pace) throttled(began time.Time, retryAfter time.Duration, b Backoff, now time.Time) {
	if p.rounds == 0 || began.After(p.slowed) {
		p.rounds++
		p.slowed = now
		p.window = max(1, p.window/2)
		p.double, p.progress = p.window, 0
	}
	if retryAfter <= 0 {
		retryAfter = b.Delay(p.rounds)
	}
	p.pause(retryAfter, now)
}

// pause begins a pause, or lengthens the one that is.
func (p *pace) pause(d time.Duration, now time.Time) {
	if until := now.Add(min(d, longestPause)); until.After(p.pausedUntil) {
		p.pausedUntil = until
	}
}
