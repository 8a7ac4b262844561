// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"context"
	"fmt"
	"net/http"
	"runtime/debug"
	"time"
)

// target is a Target with what all attempts on it share. It doesn't change.
type target struct {
	Target
	timedOut error // why an attempt ended that took too long
}

func newTarget(t Target) *target {
	return &target{t, fmt.Errorf("attempt timed out after %v", t.AttemptTimeout)}
}

// An attempt is one try to deliver a message.
type attempt struct {
	d        *Dispatcher
	delivery Delivery
	target   *target // as it was when the attempt began
	began    time.Time
	probe    bool
	changes  int // of the endpoint's health, before the attempt
}

// started notes that the attempt is under way. The caller holds the lock.
func (d *Dispatcher) started(a *attempt) {
	id := a.delivery.Message.ID
	a.changes = d.health.changes
	d.inFlight[id] = a
	d.current++
	if a.probe {
		d.health.probing(id)
	}
}

// run makes the attempt and settles the message.
func (a *attempt) run(ctx context.Context) {
	r := a.deliver(ctx)
	took := time.Since(a.began)

	a.d.mu.Lock()
	v := a.d.decide(a, r)
	a.d.mu.Unlock()

	err := a.settle(v)

	a.d.mu.Lock()
	a.d.ended(a)
	warn := a.d.warn(a, r)
	a.d.mu.Unlock()

	a.d.observer.Attempted(Attempt{
		Message:   a.delivery.Message,
		Number:    v.history.Attempts,
		Result:    r,
		Outcome:   v.outcome,
		Took:      took,
		Delay:     v.delay,
		Reason:    v.reason,
		SettleErr: err,
	})
	if warn {
		a.d.observer.StaleTimestamp(a.delivery.Message, r.Status)
	}
}

func (a *attempt) deliver(ctx context.Context) (r Result) {
	ctx, cancel := context.WithTimeoutCause(ctx, a.target.AttemptTimeout, a.target.timedOut)
	defer cancel()
	defer func() {
		if value := recover(); value != nil {
			r = Result{Err: &PanicError{Value: value, Stack: debug.Stack()}}
		}
	}()
	return a.target.Deliver(ctx, a.delivery.Message, a.delivery.History.Attempts+1)
}

func (a *attempt) settle(v verdict) error {
	switch v.outcome {
	case Delivered:
		return a.delivery.Lease.Ack(a.target.Retain)
	case Buried:
		return a.delivery.Lease.Bury(v.reason, v.history, a.target.RetainDead)
	default:
		return a.delivery.Lease.Nack(v.delay, v.history)
	}
}

// decide learns from the result how the endpoint is, and returns what becomes
// of the message. The caller holds the lock.
func (d *Dispatcher) decide(a *attempt, r Result) verdict {
	now, id := time.Now(), a.delivery.Message.ID
	h := d.refunded(id, a.delivery.History)

	// An attempt that began before an outage, or before its end, or that went
	// through a route that was replaced, says nothing of the endpoint now, unless
	// it delivered.
	recent := a.changes == d.health.changes
	rerouted := a.target.Route != d.target.Route
	if !rerouted && r.Status == http.StatusTooManyRequests {
		d.pace.pause(r.RetryAfter, now) // whatever else the answer means
	}
	switch {
	case r.delivered():
		d.pace.delivered()
		if ended := d.health.delivered(id, now); ended != nil {
			d.outageEnded(*ended)
		}
		return judge(a.target.Policy, r, h, ordinary)
	case d.stopping:
		return judge(a.target.Policy, r, h, stopping)
	case a.probe && recent && !rerouted:
		d.health.probeFailed(id, r, now)
		d.stored.outage = false
		return judge(a.target.Policy, r, h, inOutage)
	case d.health.outage != nil || !recent || rerouted:
		d.holdProbes()
		return judge(a.target.Policy, r, h, inOutage)
	case !a.target.blames(r):
		d.health.answered()
	case d.health.failed(id, r, d.target.Route, now):
		d.outageBegan()
		return judge(a.target.Policy, r, d.refunded(id, h), inOutage)
	}

	v := judge(a.target.Policy, r, h, ordinary)
	switch v.outcome {
	case Buried:
		d.health.buried(id)
	case Retried:
		d.health.charge(Refund{ID: id, Failures: v.history.Failures - h.Failures, Delayed: v.delay})
	case Throttled:
		d.pace.throttled(a.began, r.RetryAfter, a.target.Backoff, now)
		v.delay = max(v.delay, d.pace.pausedUntil.Sub(now))
		d.replan()
	}
	return v
}

// refunded returns the history without what is owed to the message.
func (d *Dispatcher) refunded(id ID, h History) History {
	owed := d.owed[id]
	delete(d.owed, id)
	// An engine that failed halfway may have given a refund twice.
	h.Failures = max(0, h.Failures-owed.Failures)
	h.Delayed = max(0, h.Delayed-owed.Delayed)
	return h
}

// outageBegan takes back what was charged to the messages. Those in flight have
// their histories in memory, all others in the engine.
func (d *Dispatcher) outageBegan() {
	d.holdProbes()
	o := *d.health.outage
	d.current = 0
	for id, r := range d.health.refunds() {
		before := d.owed[id]
		d.owed[id] = Refund{id, before.Failures + r.Failures, before.Delayed + r.Delayed}
	}
	d.stored.outage, d.stored.ready = false, false
	d.news = append(d.news, func() { d.observer.OutageBegan(o, false) })
	d.replan()
}

// holdProbes lets a pause that the endpoint asked for hold in an outage too.
func (d *Dispatcher) holdProbes() {
	if d.health.outage == nil || !d.pace.pausedUntil.After(d.health.nextProbe) {
		return
	}
	d.health.postpone(d.pace.pausedUntil)
	d.stored.outage = false
	d.replan()
}

// probeUnderWay reports whether a probe is under way for whose end the next one has
// to wait. One through a route that was replaced is left alone: cancelled, its
// message might come to the application twice.
func (d *Dispatcher) probeUnderWay() bool {
	full := len(d.inFlight) >= d.pace.limit
	for _, a := range d.inFlight {
		current := a.changes == d.health.changes && a.target.Route == d.target.Route
		if a.probe && (current || full) {
			return true
		}
	}
	return false
}

// outageEnded begins anew, carefully. Attempts that still hang from before do
// not hold the new ones up.
func (d *Dispatcher) outageEnded(o Outage) {
	d.current = 0
	d.pace.restart()
	d.stored.outage, d.stored.ready = false, false
	d.news = append(d.news, func() { d.observer.OutageEnded(o) })
	d.replan()
}

// ended frees what the attempt held, after it was settled. Another attempt with the
// message may be under way by then.
func (d *Dispatcher) ended(a *attempt) {
	if id := a.delivery.Message.ID; d.inFlight[id] == a {
		delete(d.inFlight, id)
	}
	if a.changes == d.health.changes {
		d.current--
	}
}

// warn says whether to warn of the sender's timestamp: once, if the application
// refused the message after it went stale.
func (d *Dispatcher) warn(a *attempt, r Result) bool {
	refused := r.Status == http.StatusUnauthorized || r.Status == http.StatusForbidden
	fresh := a.delivery.Message.FreshUntil
	if d.warned || !refused || fresh.IsZero() || !time.Now().After(fresh) {
		return false
	}
	d.warned = true
	return true
}
