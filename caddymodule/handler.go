// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"encoding/json"
	"fmt"
	"regexp"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

func init() {
	caddy.RegisterModule(Handler{})
}

// Handler is an inbox for webhooks: it verifies a request, drops it if it is a
// duplicate, writes it to disk, answers at once, and delivers it to the
// application in the background, with retries, through outages and restarts.
//
// It always answers the request itself; handlers after it are not called. What
// `passthrough` matches is answered by the delivery route.
//
//	{
//		"handler": "webhook_inbox",
//		"endpoint": "github",
//		"verify": [{"scheme": "github", "secrets": ["{env.GITHUB_SECRET}"]}],
//		"deliver": [{"handle": [{
//			"handler": "reverse_proxy",
//			"upstreams": [{"dial": "app:8080"}]
//		}]}]
//	}
//
// A request is answered with the status of `respond` only once its message is on
// disk, and with the same if it is a duplicate. Everything else is refused:
//
// Status | Why
// -------|----
// 400 | `CONNECT`, a target that is no path, a body that breaks off, a message id given twice
// 401 | The signature or token is missing, wrong or stale
// 408 | The body took longer than `read_timeout`
// 413 | The body is larger than `max_body`
// 425 | It came as TLS early data, which can be replayed
// 503 | The message cannot be promised to survive, because the queue is full or not open; with `Retry-After`
// 508 | It is one of this server's own deliveries, sent back by a loop
type Handler struct {
	// The name of the endpoint: 1 to 64 of the characters a-z, 0-9, "_" and "-".
	// Its messages are stored under this name, so it must not change while any
	// are waiting. A name that is used in several places is one endpoint, and
	// must be configured the same everywhere. Required.
	Endpoint string `json:"endpoint,omitempty"`

	// The ways to verify a request, of which any one will do. Required: to accept
	// requests that are not verified, the scheme `none` must be written out, alone.
	VerifyRaw []json.RawMessage `json:"verify,omitempty" caddy:"namespace=webhook_inbox.verifiers inline_key=scheme"`

	// Where the sender's id of the message is. The parts are taken together, and
	// the message has no id if one is not there. It takes precedence over an id
	// that the scheme defines, unless that is signed and this one is not. Default:
	// where the sender has it, if its name is the scheme.
	MessageID []MessageIDPart `json:"message_id,omitempty"`

	// How duplicates are recognized. Default: as the sender needs it, if its name
	// is the scheme; else by the id, within 96 hours.
	Dedupe *Dedupe `json:"dedupe,omitempty"`

	// The largest body accepted, in bytes. Default: 8 MiB, or more if a sender
	// that is known by its name sends more.
	MaxBody int64 `json:"max_body,omitempty"`

	// How long the sender may take for the whole body. Default: 30s.
	ReadTimeout caddy.Duration `json:"read_timeout,omitempty"`

	// The most that this endpoint's messages may take of the queue, in bytes.
	// Default: none but `max_share`.
	MaxSize int64 `json:"max_size,omitempty"`

	// The same as a percentage of the queue's own `max_size`. Default: 50, or
	// 100 if `max_size` is set.
	MaxShare int `json:"max_share,omitempty"`

	// The status that acknowledges a message, 200 to 299. Default: 202, or what
	// the first sender that is known by its name and takes only one asks for.
	Respond int `json:"respond,omitempty"`

	// The routes that a message takes to the application. They are ordinary HTTP
	// routes, run in the background for each attempt with a request like the one
	// received. The application takes the message by answering with any status
	// from 200 to 299. Required.
	Deliver caddyhttp.RouteList `json:"deliver,omitempty"`

	// The messages that are not queued, but go through the delivery route at once,
	// and whose sender gets the application's answer: handshakes with which it tests
	// the endpoint, commands that it wants an answer to. Only verified requests come
	// this far. It is the same request as a delivery, is never tried again and never
	// a duplicate, and the application has `attempt_timeout` for the whole answer.
	// If it cannot be reached, the sender is answered as `reverse_proxy` would, such
	// as 502. A matcher can read the body: see `webhook_inbox_json`.
	PassthroughRaw caddyhttp.RawMatcherSets `json:"passthrough,omitempty" caddy:"namespace=http.matchers"`

	// Signs what the application gets, so that it can check where that comes from,
	// however long it waited.
	Sign *Sign `json:"sign,omitempty"`

	// How long the application may take to answer an attempt. Default: 30s.
	AttemptTimeout caddy.Duration `json:"attempt_timeout,omitempty"`

	// The most attempts that are under way at the same time. Default: 32.
	Concurrency int `json:"concurrency,omitempty"`

	// When to try again, and when to give up.
	Retry *Retry `json:"retry,omitempty"`

	// How long a delivered message is kept; 0 erases it on delivery. Kept
	// messages make room when the queue is full. Default: 24h.
	Retain *caddy.Duration `json:"retain,omitempty"`

	// How long a dead letter is kept. Default: 30d.
	RetainDead caddy.Duration `json:"retain_dead,omitempty"`

	verifiers    []namedVerifier
	authenticate []string       // values of WWW-Authenticate on a 401
	chain        *deliveryRoute // nil until it is set up
	passthrough  caddyhttp.MatcherSets
	signer       *verify.StandardSigner // nil if deliveries are not signed
	placeholders []string               // that the delivery route asks for
	server       *caddyhttp.Server
	fingerprint  fingerprint
	refusals     *[outcomes]rate.Sometimes // that are logged
	deadlines    *moments                  // of commits
	counters     *atomic.Pointer[receivedCounters]
	app          *App
	log          *zap.Logger
}

var endpointName = regexp.MustCompile(`^[a-z0-9_-]{1,64}$`)

// CaddyModule returns the Caddy module information.
func (Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.webhook_inbox",
		New: func() caddy.Module { return new(Handler) },
	}
}

// Provision sets up the handler. It opens nothing.
func (h *Handler) Provision(ctx caddy.Context) error {
	h.log = ctx.Logger()
	h.refusals = new([outcomes]rate.Sometimes)
	for i := range h.refusals {
		h.refusals[i] = rate.Sometimes{First: 10, Interval: time.Second}
	}
	if !endpointName.MatchString(h.Endpoint) {
		return fmt.Errorf("endpoint name %q: it must be 1 to 64 of the characters a-z, 0-9, _ and -", h.Endpoint)
	}
	if err := h.provision(ctx); err != nil {
		return fmt.Errorf("endpoint %s: %w", h.Endpoint, err)
	}
	return nil
}

func (h *Handler) provision(ctx caddy.Context) (err error) {
	for _, m := range ctx.Modules() {
		if outer, ok := m.(*Handler); ok && outer != h {
			return fmt.Errorf("it is inside the delivery route of endpoint %s: a delivery goes to the application, not to another inbox", outer.Endpoint)
		}
	}
	// Loading modules clears their configuration, so it is read before.
	if h.fingerprint, err = newFingerprint(h); err != nil {
		return err
	}
	if err := h.loadVerifiers(ctx); err != nil {
		return err
	}
	if err := h.setDefaults(); err != nil {
		return err
	}
	if err := h.identify(); err != nil {
		return err
	}
	if len(h.Deliver) == 0 {
		return fmt.Errorf("deliver is missing: say where its messages go")
	}
	if err := h.Deliver.Provision(ctx); err != nil {
		return fmt.Errorf("setting up deliver: %w", err)
	}
	boundWrites(h.Deliver, time.Duration(h.AttemptTimeout))
	sendWhole(h.Deliver)
	h.chain = &deliveryRoute{Handler: h.Deliver.Compile(endOfRoute), routes: h.Deliver}
	if err := h.loadPassthrough(ctx); err != nil {
		return err
	}
	if h.signer, err = h.Sign.provision(); err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	h.placeholders = placeholdersOf(h.fingerprint["deliver"])
	h.server, _ = ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	h.warn()

	app, err := ctx.App(appName)
	if err != nil {
		return err
	}
	h.app = app.(*App)
	h.deadlines = new(moments)
	h.counters = new(atomic.Pointer[receivedCounters])
	return h.app.register(h)
}

// Cleanup lets go of what the delivery route holds. Attempts that are under way on
// it end as they would.
func (h *Handler) Cleanup() error {
	if h.chain != nil {
		h.chain.letGo()
	}
	return nil
}

var (
	_ caddy.CleanerUpper          = (*Handler)(nil)
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
