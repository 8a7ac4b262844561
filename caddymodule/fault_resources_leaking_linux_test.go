// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"context"
	"os"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-webhook-inbox/inbox/caddymodule"
	"github.com/caddy-webhook-inbox/inbox/queue"
)

func init() {
	if os.Getenv(asCaddy) != "" { // where no test lists the modules
		caddy.RegisterModule(new(leakingEngine))
		caddy.RegisterModule(new(spillingEngine))
	}
}

// leakingEngine is the Badger engine, of which each configuration leaves a goroutine
// behind, with a file and with memory.
type leakingEngine struct{ caddymodule.BadgerEngine }

func (*leakingEngine) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "webhook_inbox.queues.leaking",
		New: func() caddy.Module { return new(leakingEngine) },
	}
}

func (e *leakingEngine) Configure(q queue.Queue) {
	e.BadgerEngine.Configure(q)
	leak(1 << 20)
}

// leak leaves a goroutine behind, with a file and with memory.
func leak(size int) {
	go func() {
		held, err := os.Open(os.DevNull)
		if err != nil {
			panic(err)
		}
		memory := make([]byte, size)
		<-make(chan struct{})
		_ = append(memory, held.Name()...)
	}()
}

// spillingEngine is the Badger engine, of which each message leaves that behind.
type spillingEngine struct{ caddymodule.BadgerEngine }

func (*spillingEngine) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "webhook_inbox.queues.spilling",
		New: func() caddy.Module { return new(spillingEngine) },
	}
}

func (e *spillingEngine) Open(o caddymodule.EngineObserver, log *zap.Logger) (queue.Queue, error) {
	q, err := e.BadgerEngine.Open(o, log)
	if err != nil {
		return nil, err
	}
	return spillingQueue{q}, nil
}

func (e *spillingEngine) Configure(q queue.Queue) { e.BadgerEngine.Configure(q.(spillingQueue).Queue) }

func (e *spillingEngine) Health(q queue.Queue) caddymodule.Health {
	return e.BadgerEngine.Health(q.(spillingQueue).Queue)
}

type spillingQueue struct{ queue.Queue }

func (q spillingQueue) Publish(ctx context.Context, p queue.Publication) (queue.Receipt, error) {
	leak(100 << 10) // of two hundred more than the 8 MiB that are allowed
	return q.Queue.Publish(ctx, p)
}
