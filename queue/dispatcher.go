// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// shutdownGrace is what attempts under way have to end by themselves.
	shutdownGrace = 2 * time.Second

	// leaseMargin is how long a message is held beyond the timeout of its attempt.
	leaseMargin = time.Minute
)

// errInterrupted is why an attempt is cancelled on shutdown.
var errInterrupted = errors.New("attempt interrupted by a shutdown")

// A Dispatcher delivers the messages of one endpoint, and is the policy of the
// queue: it decides when a message is retried, when it is given up on, and when
// the whole endpoint is in an outage.
//
// Failures are a message's own as long as others are delivered. They become the
// endpoint's when five different messages in a row failed, or three attempts in
// a row could not connect: an outage. Then nothing is handed out but one probe
// at a time through a route, until one is delivered, and no failure of that time
// counts towards giving up on a message, those that opened the outage included.
//
// It costs one goroutine while it has nothing to do, a second after it had.
type Dispatcher struct {
	receiver Receiver
	endpoint string
	observer Observer
	workers  sync.WaitGroup

	// Decisions are made under the lock, and acted upon without it: who has the
	// lead acts for the endpoint, a worker for the message of its attempt.
	mu       sync.Mutex
	target   *target
	lead     lead
	led      time.Time // since when, by a worker
	wakesAt  time.Time // when the Run goroutine does by itself; zero is never
	idle     []*worker // the one that became idle last is last
	health   health
	pace     pace
	crowd    crowd
	stopping bool
	inFlight map[ID]*attempt // under way, by their messages
	current  int             // those of inFlight since the last beginning or end of an outage
	owed     map[ID]Refund   // to messages that were in flight when an outage began
	warned   bool            // of a stale timestamp
	stored   stored
	engine   engine
	news     []func()           // for the observer, in order
	plan     context.Context    // of what is being done for the endpoint
	replan   context.CancelFunc // ends it: look again what is next
}

// NewDispatcher returns a dispatcher of what r hands out for the endpoint. Only
// one may run for an endpoint at a time.
func NewDispatcher(r Receiver, endpoint string, t Target, o Observer) *Dispatcher {
	return &Dispatcher{
		receiver: r,
		endpoint: endpoint,
		observer: o,
		target:   newTarget(t),
		pace:     newPace(t.Concurrency),
		crowd:    newCrowd(),
		inFlight: make(map[ID]*attempt),
		owed:     make(map[ID]Refund),
		replan:   func() {},
	}
}

// Run delivers until ctx is done. Then it hands out nothing more, gives attempts
// under way two seconds, cancels them, and returns when all are settled. Those
// that did not deliver by then are ready at the next start, uncounted.
//
// An engine that fails is tried again and again. Run also waits for ctx if the
// queue is closed. It is called once.
func (d *Dispatcher) Run(ctx context.Context) {
	attempts, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	for ctx.Err() == nil {
		d.step(ctx, attempts)
	}
	d.mu.Lock()
	d.stopping = true
	d.mu.Unlock()

	grace := time.AfterFunc(shutdownGrace, func() { cancel(errInterrupted) })
	d.workers.Wait()
	grace.Stop()
	d.leave(attempts)
}

// SetTarget changes the target, also while Run runs. Attempts under way finish
// on the old one. In an outage, a changed Route is probed at once: beside a probe
// that is under way on the old one, if Concurrency allows for both, else after it.
func (d *Dispatcher) SetTarget(t Target) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if t.Route != d.target.Route {
		d.warned = false
		d.pace.pausedUntil = time.Time{} // it was the old route that asked for it
	}
	d.target = newTarget(t)
	d.pace.setLimit(t.Concurrency)
	if d.health.rerouted(t.Route, time.Now()) {
		d.stored.outage = false
	}
	d.replan()
}

// Outage returns the endpoint's outage, if it is in one. Before Run has asked
// the engine for one that is remembered, there is none.
func (d *Dispatcher) Outage() (Outage, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.health.outage == nil {
		return Outage{}, false
	}
	return *d.health.outage, true
}

// An action is what is done next for the endpoint.
type action int

const (
	actWait    action = iota // until a time, or until something changes
	actLoad                  // the outage from before a restart
	actStore                 // the outage
	actReceive               // a message
	actProbe                 // with a message, in an outage
)

// next decides what to do now. If it is to wait, the time is until when; zero is
// until something changes.
func (d *Dispatcher) next(now time.Time) (action, time.Time) {
	action, until := d.due(now)
	if action == actReceive && d.crowded(now) {
		return actWait, now.Add(lookEvery)
	}
	return action, until
}

// due is next in a process that has nothing else to do.
func (d *Dispatcher) due(now time.Time) (action, time.Time) {
	switch {
	case d.engine.closed:
		return actWait, time.Time{}
	case now.Before(d.engine.until):
		return actWait, d.engine.until
	case !d.stored.loaded:
		return actLoad, time.Time{}
	case !d.stored.outage || !d.stored.ready:
		return actStore, time.Time{}
	case d.health.outage != nil && d.probeUnderWay():
		return actWait, time.Time{}
	case d.health.outage != nil && now.Before(d.health.nextProbe):
		return actWait, d.health.nextProbe
	case d.health.outage != nil:
		return actProbe, time.Time{}
	case now.Before(d.pace.pausedUntil):
		return actWait, d.pace.pausedUntil
	case len(d.inFlight) >= d.pace.limit || d.current >= d.pace.window:
		return actWait, time.Time{}
	default:
		return actReceive, time.Time{}
	}
}

// step does what is next, unless a worker has the lead. It ends early when that
// may have changed.
func (d *Dispatcher) step(run, attempts context.Context) {
	d.mu.Lock()
	action, until := d.leadOrWait(time.Now())
	ctx := d.planned(run)
	news := d.news
	d.news = nil
	d.mu.Unlock()

	for _, tell := range news {
		tell()
	}
	switch action {
	case actWait:
		wait(ctx, until)
	case actLoad:
		d.load(ctx)
	case actStore:
		d.store(run)
	case actReceive, actProbe:
		if a := d.take(run, ctx, action); a != nil {
			d.employ(run, attempts, a)
		}
	}
}

// planned returns a context that ends when something else may be next. The
// caller holds the lock.
func (d *Dispatcher) planned(run context.Context) context.Context {
	if d.plan == nil || d.plan.Err() != nil {
		d.plan, d.replan = context.WithCancel(run)
	}
	return d.plan
}

func wait(ctx context.Context, until time.Time) {
	if until.IsZero() {
		<-ctx.Done()
		return
	}
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// take returns an attempt with a message that the engine hands out until ctx is
// done, or nil.
func (d *Dispatcher) take(run, ctx context.Context, action action) *attempt {
	delivery, ok := d.receive(ctx, action)
	if !ok {
		return nil
	}
	if a := d.accept(run, action, delivery); a != nil {
		return a
	}
	if err := delivery.Lease.Nack(0, delivery.History); err != nil {
		d.engineDid("giving a message back", err)
	}
	return nil
}

// receive asks the engine for a message until ctx is done.
func (d *Dispatcher) receive(ctx context.Context, action action) (Delivery, bool) {
	d.mu.Lock()
	lease := d.target.AttemptTimeout + leaseMargin
	failing := d.engine.failure != ""
	pick := Pick{}
	if d.health.outage != nil {
		pick = d.health.pick()
	}
	d.mu.Unlock()

	// An engine that failed works again if it only lets us wait.
	asked := ctx
	if failing {
		var cancel context.CancelFunc
		asked, cancel = context.WithTimeout(ctx, firstWait)
		defer cancel()
	}
	var delivery Delivery
	var err error
	if action == actProbe {
		delivery, err = d.receiver.Probe(asked, d.endpoint, pick, lease)
	} else {
		delivery, err = d.receiver.Receive(asked, d.endpoint, lease)
	}
	switch {
	case err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return Delivery{}, false
	case err != nil && asked.Err() != nil && errors.Is(err, asked.Err()):
		d.engineDid("receiving", nil)
		return Delivery{}, false
	}
	d.engineDid("receiving", err)
	return delivery, err == nil
}

// accept makes an attempt of what the engine handed out, or returns nil if an
// outage, a pause or the end came in between: then it is to be given back.
func (d *Dispatcher) accept(run context.Context, asked action, delivery Delivery) *attempt {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	if action, _ := d.due(now); action != asked || run.Err() != nil {
		return nil
	}
	a := &attempt{d: d, delivery: delivery, target: d.target, began: now, probe: asked == actProbe}
	d.started(a)
	return a
}
