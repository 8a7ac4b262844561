// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// How long to wait for an engine that failed. For one that is unavailable the
// wait doubles, up to longestWait.
const (
	firstWait   = time.Second
	longestWait = 30 * time.Second
)

// stored says what the engine knows of the endpoint's health.
type stored struct {
	loaded bool // what it remembered was asked for
	outage bool // it has the outage as it is, or that there is none
	ready  bool // messages were made ready after the last beginning or end
}

// engine is how the engine did of late.
type engine struct {
	failure string // that the observer knows of; empty while all is well
	wait    time.Duration
	until   time.Time // it is left alone
	closed  bool
}

// load asks the engine for an outage from before.
func (d *Dispatcher) load(ctx context.Context) {
	o, err := d.receiver.Outage(ctx, d.endpoint)
	if err != nil && ctx.Err() != nil {
		return
	}
	d.engineDid("reading the outage", err)
	if err != nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stored = stored{loaded: true, outage: true, ready: true}
	if o == nil {
		return
	}
	d.stored.outage = !d.health.resume(*o, d.target.Route, time.Now())
	resumed := *d.health.outage
	d.news = append(d.news, func() { d.observer.OutageBegan(resumed, true) })
}

// store makes the engine remember the outage, or its end, and makes messages
// ready if one began or ended.
//
// A crash in between never leaves messages behind that wait for an outage to
// end: it is stored before they are made ready, and removed after.
func (d *Dispatcher) store(ctx context.Context) {
	d.mu.Lock()
	ready := !d.stored.ready
	var outage *Outage
	if d.health.outage != nil {
		o := *d.health.outage
		outage = &o
	}
	var refunds []Refund
	if ready {
		for id, r := range d.owed {
			if _, flies := d.inFlight[id]; !flies {
				refunds = append(refunds, r)
			}
		}
	}
	// What changes from now on is to be stored again.
	d.stored.outage, d.stored.ready = true, true
	d.mu.Unlock()

	err := d.storeNow(ctx, outage, ready, refunds)
	if err == nil || ctx.Err() == nil {
		d.engineDid("storing the outage", err)
	}

	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil {
		d.stored.outage = false
		d.stored.ready = d.stored.ready && !ready
		return
	}
	for _, r := range refunds {
		delete(d.owed, r.ID)
	}
}

func (d *Dispatcher) storeNow(ctx context.Context, outage *Outage, ready bool, refunds []Refund) error {
	if outage != nil {
		if err := d.receiver.SetOutage(ctx, d.endpoint, outage); err != nil {
			return err
		}
	}
	if ready {
		if err := d.receiver.MakeReady(ctx, d.endpoint, refunds); err != nil {
			return fmt.Errorf("making messages ready: %w", err)
		}
	}
	if outage == nil {
		return d.receiver.SetOutage(ctx, d.endpoint, nil)
	}
	return nil
}

// leave stores, at the end of Run, what is not stored yet: what the last
// attempts said of the endpoint.
func (d *Dispatcher) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
	defer cancel()
	d.mu.Lock()
	s, closed := d.stored, d.engine.closed
	d.mu.Unlock()
	if s.loaded && !(s.outage && s.ready) && !closed {
		d.store(ctx)
	}
	d.mu.Lock()
	news := d.news
	d.news = nil
	d.mu.Unlock()
	for _, tell := range news {
		tell()
	}
}

// engineDid notes how the engine did, and tells the observer when that changed.
func (d *Dispatcher) engineDid(doing string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil {
		d.engine.wait = 0
		if d.engine.failure != "" {
			d.engine.failure = ""
			d.news = append(d.news, func() { d.observer.EngineFailed(nil) })
		}
		return
	}
	err = fmt.Errorf("%s: %w", doing, err)
	switch {
	case errors.Is(err, ErrClosed):
		d.engine.closed = true
	case errors.Is(err, ErrUnavailable) && d.engine.wait > 0:
		d.engine.wait = min(2*d.engine.wait, longestWait)
	default:
		d.engine.wait = firstWait
	}
	d.engine.until = time.Now().Add(d.engine.wait)
	if d.engine.failure != err.Error() {
		d.engine.failure = err.Error()
		d.news = append(d.news, func() { d.observer.EngineFailed(err) })
	}
}
