// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// inboxes holds the open queues by their engines' keys, across configurations.
var inboxes = caddy.NewUsagePool()

// inbox is a queue with the dispatchers that work on it. It outlives
// configurations: each one attaches itself, and the newest that has an endpoint
// decides how its messages are delivered.
//
//	generation 1 ──attach──▶ ┌───────┐ ──▶ dispatcher of endpoint a, as in 2
//	generation 2 ──attach──▶ │ inbox │ ──▶ dispatcher of endpoint b, as in 2
//	                         └───────┘ ──▶ dispatcher of endpoint c, only in 1
//
// If generation 2 fails to start and detaches, all is as it was before.
type inbox struct {
	key     string
	log     *zap.Logger // follows the newest generation's
	logTo   *followingCore
	metrics *metrics
	memory  budget  // of all bodies being received
	own     budgets // and of those of each endpoint, which are half of it
	passing budget  // and of those that are passed through, which is too
	garbage garbage

	// queue is nil until the engine could be opened.
	queue atomic.Pointer[queue.Queue]

	ids messageIDs

	// delivering holds the ids of the messages that are being delivered.
	delivering idSet

	stop    context.CancelFunc
	stopped context.Context
	running sync.WaitGroup

	// replaced tells reopen that there is a newer configuration.
	replaced chan struct{}

	mu          sync.Mutex
	generations []*App // the newest is last
	dispatchers map[string]*dispatching
	ending      map[string]<-chan struct{} // closed when a stopped dispatcher has ended
	closed      bool                       // what is opened from now on is of no use
}

// dispatching is a running dispatcher and the configuration it follows.
type dispatching struct {
	*queue.Dispatcher
	handler *Handler
	stop    context.CancelFunc
	ended   chan struct{}
}

// acquire returns the inbox of a configuration's queue, and opens it unless a
// running configuration has it open. The caller must release it.
func acquire(a *App) (*inbox, error) {
	v, _, err := inboxes.LoadOrNew(a.engine.Key(), func() (caddy.Destructor, error) { return openInbox(a) })
	if err != nil {
		return nil, err
	}
	return v.(*inbox), nil
}

// lookup returns the inbox of a key if it is open. The caller doesn't hold it,
// and calls it while no configuration starts.
func lookup(key string) (in *inbox) {
	inboxes.Range(func(k, v any) bool {
		if k == key {
			in = v.(*inbox)
		}
		return in == nil
	})
	return in
}

func (in *inbox) release() error {
	_, err := inboxes.Delete(in.key)
	return err
}

// newest returns the newest configuration, nil if there is none.
func (in *inbox) newest() *App {
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.generations) == 0 {
		return nil
	}
	return in.generations[len(in.generations)-1]
}

// attach makes a configuration the newest one.
func (in *inbox) attach(a *App) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.generations) > 0 {
		select {
		case in.replaced <- struct{}{}:
		default:
		}
	}
	in.generations = append(in.generations, a)
	in.apply()
	in.warnOfOrphans(a)
}

// detach removes a configuration, if it is attached. What only it had stops,
// and for the rest the newest remaining one counts.
func (in *inbox) detach(a *App) {
	in.mu.Lock()
	defer in.mu.Unlock()
	i := slices.Index(in.generations, a)
	if i < 0 {
		return
	}
	in.generations = slices.Delete(in.generations, i, i+1)
	in.apply()
}

// apply makes what runs agree with the attached configurations. in.mu is held.
func (in *inbox) apply() {
	wanted := make(map[string]*Handler)
	for _, a := range in.generations {
		for name, h := range a.endpoints {
			wanted[name] = h
		}
	}
	if n := len(in.generations); n > 0 {
		newest := in.generations[n-1]
		in.logTo.follow(newest.log)
		in.allow(newest.MaxInFlight)
		if q := in.queue.Load(); q != nil {
			newest.engine.Configure(*q)
			if q, ok := (*q).(flightBound); ok {
				q.SetMaxInFlight(newest.MaxInFlight)
			}
		}
	}
	for name, d := range in.dispatchers {
		if wanted[name] == nil {
			d.stop()
			delete(in.dispatchers, name)
			in.ending[name] = d.ended
		}
	}
	q := in.queue.Load()
	if q == nil {
		return
	}
	for name, h := range wanted {
		d, ok := in.dispatchers[name]
		switch {
		case !ok:
			in.dispatchers[name] = in.dispatch(*q, h)
		case d.handler != h:
			d.handler = h
			d.SetTarget(in.target(h))
		}
	}
}

// A flightBound is a queue that bounds what large messages in flight take of memory.
type flightBound interface{ SetMaxInFlight(bytes int64) }

// allow sets how much memory bodies may take. Those of one endpoint must leave room
// for others, and so must those that are passed through, which wait for an application
// that may be slow.
func (in *inbox) allow(bytes int64) {
	in.memory.limit.Store(bytes)
	in.own.allow(bytes / 2)
	in.passing.limit.Store(bytes / 2)
}

// dispatch starts delivering the messages of h's endpoint.
func (in *inbox) dispatch(q queue.Queue, h *Handler) *dispatching {
	ctx, stop := context.WithCancel(in.stopped)
	d := &dispatching{
		Dispatcher: queue.NewDispatcher(q, h.Endpoint, in.target(h), observer{in, h.Endpoint}),
		handler:    h,
		stop:       stop,
		ended:      make(chan struct{}),
	}
	// An endpoint has one dispatcher at a time.
	before := in.ending[h.Endpoint]
	delete(in.ending, h.Endpoint)
	in.running.Go(func() {
		defer close(d.ended)
		if before != nil {
			<-before
		}
		d.Run(ctx)
	})
	return d
}

func (in *inbox) target(h *Handler) queue.Target {
	return queue.Target{
		Policy:  h.policy(),
		Route:   h.fingerprint.route(),
		Deliver: in.deliverer(h),
	}
}

// outage returns the outage that an endpoint is in, if it is in one.
func (in *inbox) outage(endpoint string) (queue.Outage, bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	d, ok := in.dispatchers[endpoint]
	if !ok {
		return queue.Outage{}, false
	}
	return d.Outage()
}
