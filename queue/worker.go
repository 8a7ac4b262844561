// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"context"
	"slices"
	"time"
)

// idleFor is how long a worker waits for another message before it ends.
const idleFor = time.Second

// lead says who takes the next message, or does what else is next for the
// endpoint. It is one at a time, so that messages begin in order.
//
// The Run goroutine gives the messages that it takes to workers. When all that
// may be under way is, it waits, and the worker that ends an attempt takes the next
// message itself: both are at hand, so that a backlog is worked off with no
// goroutine started or woken for each message.
type lead int

const (
	ledByNobody lead = iota // the Run goroutine waits
	ledByRun
	ledByWorker // for one message, and the Run goroutine waits
)

// A worker is a goroutine that makes attempts, one after the other. It keeps the
// stack that a delivery route needs, which a goroutine for each attempt would
// have to grow first.
type worker struct {
	d     *Dispatcher
	given chan *attempt // holds one
	timer *time.Timer   // of being idle
}

// employ gives the attempt to a worker.
func (d *Dispatcher) employ(run, attempts context.Context, a *attempt) {
	d.mu.Lock()
	var w *worker
	if last := len(d.idle) - 1; last >= 0 {
		w = d.idle[last]
		d.idle = slices.Delete(d.idle, last, last+1)
	}
	d.mu.Unlock()
	if w != nil {
		w.given <- a
		return
	}
	w = &worker{d: d, given: make(chan *attempt, 1)}
	d.workers.Go(func() { w.work(run, attempts, a) })
}

// work makes attempts, beginning with a, until run is done or nothing comes.
func (w *worker) work(run, attempts context.Context, a *attempt) {
	for a != nil {
		a.run(attempts)
		if a = w.d.takeNext(run); a == nil {
			a = w.await(run)
		}
	}
}

// await returns the attempt that the idle worker is given, or nil if it is to
// end.
func (w *worker) await(run context.Context) *attempt {
	if w.timer == nil {
		w.timer = time.NewTimer(idleFor)
	} else {
		w.timer.Reset(idleFor)
	}
	defer w.timer.Stop()
	w.d.mu.Lock()
	w.d.idle = append(w.d.idle, w)
	w.d.mu.Unlock()
	select {
	case a := <-w.given:
		return a
	case <-w.timer.C:
	case <-run.Done():
	}
	w.d.mu.Lock()
	i := slices.Index(w.d.idle, w)
	if i >= 0 {
		w.d.idle = slices.Delete(w.d.idle, i, i+1)
	}
	w.d.mu.Unlock()
	if i < 0 {
		return <-w.given // it was chosen at this moment
	}
	return nil
}

// leadOrWait decides what the Run goroutine does now, which has the lead unless a
// worker has it, and until when it waits. The caller holds the lock.
func (d *Dispatcher) leadOrWait(now time.Time) (action, time.Time) {
	action, until := actWait, time.Time{}
	if d.lead != ledByWorker {
		action, until = d.next(now)
		d.lead = ledByRun
	}
	switch {
	case action != actWait:
	case d.lead == ledByRun:
		d.lead = ledByNobody
		if until.IsZero() && len(d.inFlight) > 0 {
			until = now.Add(idleFor) // a worker may have the lead by then
		}
	case now.Sub(d.led) < idleFor:
		until = d.led.Add(idleFor)
	default:
		d.replan() // there is no message, for which no worker need wait
	}
	d.wakesAt = until
	return action, until
}

// takeNext takes the next message for a worker, unless somebody has the lead or
// something else is next, for which it wakes the Run goroutine. It may return nil
// all the same, when that has changed.
func (d *Dispatcher) takeNext(run context.Context) *attempt {
	ctx := d.takeLead(run)
	if ctx == nil {
		return nil
	}
	a := d.take(run, ctx, actReceive)

	d.mu.Lock()
	defer d.mu.Unlock()
	d.lead = ledByNobody
	if len(d.news) > 0 {
		d.replan()
	} else {
		d.wakeFor(d.next(time.Now()))
	}
	return a
}

// takeLead returns the context of what is done next, if it is for a worker.
func (d *Dispatcher) takeLead(run context.Context) context.Context {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.lead != ledByNobody || run.Err() != nil {
		return nil
	}
	now := time.Now()
	action, until := d.next(now)
	if action != actReceive {
		d.wakeFor(action, until)
		return nil
	}
	d.lead, d.led = ledByWorker, now
	return d.planned(run)
}

// wakeFor wakes the Run goroutine if it would wait for too long for what is next.
// The caller holds the lock.
func (d *Dispatcher) wakeFor(next action, until time.Time) {
	if next != actWait || !until.IsZero() && (d.wakesAt.IsZero() || d.wakesAt.After(until)) {
		d.replan()
	}
}
