// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

const appName = "webhook_inbox"

func init() {
	caddy.RegisterModule(App{})
}

// App holds the queue of all endpoints, and what they share. It need not be
// configured: without it the queue is in Caddy's data directory.
//
//	{
//		"queue": {"engine": "badger", "directory": "/var/lib/inbox", "max_size": 10737418240},
//		"max_in_flight": 268435456
//	}
//
// The queue stays open when the configuration is reloaded, and deliveries
// go on; only another directory opens another queue.
type App struct {
	// The engine that keeps the messages. Default: `badger`.
	QueueRaw json.RawMessage `json:"queue,omitempty" caddy:"namespace=webhook_inbox.queues inline_key=engine"`

	// The most bytes of bodies that are being received at the same time, by all
	// endpoints together; one endpoint can take half of it. Requests beyond it
	// are answered 503. The bodies that are being delivered take as many again at
	// most: those of 256 KiB and more wait for room, but each endpoint can always
	// have one. Default: 256 MiB.
	MaxInFlight int64 `json:"max_in_flight,omitempty"`

	engine    Engine
	endpoints map[string]*Handler
	issuers   issuers
	keys      *keyFile      // nil if the engine has no directory
	previous  *inbox        // of the configuration that this one replaces, if it is the same
	inbox     *inbox        // set before ready is closed
	ready     chan struct{} // closed by Start
	done      <-chan struct{}
	log       *zap.Logger
}

// Engine is implemented by the modules of the namespace webhook_inbox.queues.
type Engine interface {
	// Key names the place where the messages are. Configurations with the same
	// key share one open queue, whatever else they say.
	Key() string

	// Open opens the queue. If the error wraps ErrNotYet, Caddy runs on without
	// it, and Open is called again later.
	Open(o EngineObserver, log *zap.Logger) (queue.Queue, error)

	// Configure applies the rest of the configuration to a queue that Open
	// returned, be it for another configuration with the same key.
	Configure(q queue.Queue)

	// Limit is the size of the queue in bytes, of which endpoints have shares.
	Limit() int64
}

// ErrNotYet is returned by an [Engine] that cannot be opened at the moment, for
// instance because the disk is full, but will be without being configured anew.
var ErrNotYet = errors.New("not yet possible")

// CaddyModule returns the Caddy module information.
func (App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  appName,
		New: func() caddy.Module { return new(App) },
	}
}

// Provision sets up the app. It opens nothing.
func (a *App) Provision(ctx caddy.Context) error {
	if caddy.Exiting() {
		return errExiting
	}
	a.log = ctx.Logger()
	a.ready = make(chan struct{})
	a.done = ctx.Done()
	a.endpoints = make(map[string]*Handler)
	orDefault(&a.MaxInFlight, 256<<20)
	if a.MaxInFlight < 0 {
		return errors.New("max_in_flight is negative")
	}
	if a.QueueRaw == nil {
		a.QueueRaw = json.RawMessage(`{"engine":"badger"}`)
	}
	m, err := ctx.LoadModule(a, "QueueRaw")
	if err != nil {
		return fmt.Errorf("setting up the queue: %w", err)
	}
	engine, ok := m.(Engine)
	if !ok {
		return fmt.Errorf("module %T is not an engine", m)
	}
	a.engine = engine
	a.keys = newKeyFile(engine)
	a.previous = lookup(engine.Key())
	return ctx.GetMetricsRegistry().Register(collector{a})
}

// register adds an endpoint. The same handler is provisioned once for every
// server that it is in.
func (a *App) register(h *Handler) error {
	other, ok := a.endpoints[h.Endpoint]
	if !ok {
		a.endpoints[h.Endpoint] = h
		return nil
	}
	if fields := h.fingerprint.differences(other.fingerprint); len(fields) > 0 {
		return fmt.Errorf("it is configured in %s and in %s, and differently in %s: one name is one endpoint",
			serverName(other), serverName(h), strings.Join(fields, ", "))
	}
	return nil
}

func serverName(h *Handler) string { return nameOfServer(h.server) }

func nameOfServer(s *caddyhttp.Server) string {
	if s == nil {
		return "a server"
	}
	return "server " + s.Name()
}

// Start opens the queue, or shares it with the configuration that is being
// replaced, and begins to deliver.
func (a *App) Start() error {
	if err := a.checkIssuers(); err != nil {
		return err
	}
	in, err := acquire(a)
	if err != nil {
		return err
	}
	if err := a.startKeys(); err != nil {
		return errors.Join(err, in.release())
	}
	in.attach(a)
	a.inbox = in
	close(a.ready)
	return nil
}

// Stop ends the deliveries that no other configuration wants. It does not wait
// for those under way, and requests are still accepted until Cleanup, because
// the servers may be stopped later.
func (a *App) Stop() error {
	a.inbox.detach(a)
	return nil
}

// Cleanup lets go of the queue, which is closed if nobody else holds it.
func (a *App) Cleanup() error {
	if a.inbox == nil { // never started
		return nil
	}
	a.inbox.detach(a)
	return a.inbox.release()
}

var errNotOpen = errors.New("the queue is not open")

// errExiting is why a configuration is not loaded that had to wait until Caddy had
// stopped for good. It would open the queue again, and the process would end in the
// midst of its deliveries.
var errExiting = errors.New("the process is exiting")

// await returns the inbox. Servers may accept requests before Start: they wait
// for it, unless the configuration that is being replaced has the queue open.
func (a *App) await(ctx context.Context) (*inbox, error) {
	select {
	case <-a.ready:
		return a.inbox, nil
	default:
	}
	if a.previous != nil {
		return a.previous, nil
	}
	select {
	case <-a.ready:
		return a.inbox, nil
	case <-a.done: // Start failed, or the configuration was replaced
		return nil, errNotOpen
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

var (
	_ caddy.App          = (*App)(nil)
	_ caddy.Provisioner  = (*App)(nil)
	_ caddy.CleanerUpper = (*App)(nil)
)
