// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/caddy-webhook-inbox/inbox/caddymodule"
	"github.com/caddy-webhook-inbox/inbox/queue"
)

// BenchmarkDeliverFromMemory is BenchmarkDeliver with an engine that costs nothing,
// and promises nothing: what is left is the way in and the way out.
func BenchmarkDeliverFromMemory(b *testing.B) {
	registerLineEngine()
	for _, concurrency := range []int{4, 32, 128} {
		b.Run(fmt.Sprintf("concurrency=%d", concurrency), func(b *testing.B) {
			c := &course{newServer(b), freeAddr(b), freeAddr(b), freeAddr(b), freeAddr(b)}
			app := freeAddr(b)
			config := c.caddyfile("log {\n\toutput discard\n}\nwebhook_inbox {\nqueue line\n}", "") +
				site(app, "respond 202") +
				site(c.proxy, fmt.Sprintf(benchProxy, app)) +
				site(c.inbox, fmt.Sprintf("webhook_inbox bench {\nverify svix %s\nconcurrency %d\ndeliver {\n%s\n}\n}",
					benchSecret, concurrency, fmt.Sprintf(benchProxy, app)))
			if err := c.tryLoad(config); err != nil {
				b.Fatalf("loading %s: %v", config, err)
			}
			inbox, proxy := newLoad(b, c.inbox, benchConns), newLoad(b, c.proxy, benchConns)
			alternate(b,
				func(n int) round { return c.deliver(b, inbox, n) },
				func(n int) round { return proxy.run(b, n, http.StatusAccepted) })
		})
	}
}

// registerLineEngine registers the engine only where it is used, so that no test
// finds it.
var registerLineEngine = sync.OnceFunc(func() { caddy.RegisterModule(new(lineEngine)) })

// lineEngine is an engine that keeps messages in a slice.
type lineEngine struct{}

func (*lineEngine) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "webhook_inbox.queues.line",
		New: func() caddy.Module { return new(lineEngine) },
	}
}

func (*lineEngine) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // its name
	return nil
}

func (*lineEngine) Key() string           { return "line" }
func (*lineEngine) Configure(queue.Queue) {}
func (*lineEngine) Limit() int64          { return 10 << 30 }

func (*lineEngine) Open(caddymodule.EngineObserver, *zap.Logger) (queue.Queue, error) {
	return &lineQueue{arrived: make(chan struct{}, 1)}, nil
}

// lineQueue hands out one endpoint's messages, once each.
type lineQueue struct {
	queue.Queue // what is not asked for here
	waiting     atomic.Int64
	arrived     chan struct{}

	mu   sync.Mutex
	line []*queue.Message
}

func (q *lineQueue) Publish(_ context.Context, p queue.Publication) (queue.Receipt, error) {
	q.waiting.Add(1)
	q.mu.Lock()
	q.line = append(q.line, p.Message)
	q.mu.Unlock()
	select {
	case q.arrived <- struct{}{}:
	default:
	}
	return queue.Receipt{Outcome: queue.Accepted, ID: p.Message.ID}, nil
}

func (q *lineQueue) Receive(ctx context.Context, _ string, _ time.Duration) (queue.Delivery, error) {
	for {
		if m := q.first(); m != nil {
			return queue.Delivery{Message: m, Lease: lineLease{q}}, nil
		}
		select {
		case <-q.arrived:
		case <-ctx.Done():
			return queue.Delivery{}, ctx.Err()
		}
	}
}

func (q *lineQueue) first() *queue.Message {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.line) == 0 {
		return nil
	}
	m := q.line[0]
	q.line[0] = nil
	q.line = q.line[1:]
	return m
}

func (q *lineQueue) Endpoints(context.Context) (map[string]queue.Stats, error) {
	return map[string]queue.Stats{"bench": {Waiting: q.waiting.Load()}}, nil
}

func (q *lineQueue) Outage(context.Context, string) (*queue.Outage, error) { return nil, nil }
func (q *lineQueue) Close() error                                          { return nil }

// lineLease is of a message that is always delivered.
type lineLease struct{ q *lineQueue }

func (l lineLease) Ack(time.Duration) error {
	l.q.waiting.Add(-1)
	return nil
}

func (lineLease) Nack(time.Duration, queue.History) error         { return nil }
func (lineLease) Bury(string, queue.History, time.Duration) error { return nil }
