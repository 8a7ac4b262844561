// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"os"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-webhook-inbox/inbox/caddymodule"
	"github.com/caddy-webhook-inbox/inbox/queue"
)

func init() {
	if os.Getenv(asCaddy) != "" { // where no test lists the modules
		caddy.RegisterModule(new(leakingEngine))
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
	go func() {
		held, err := os.Open(os.DevNull)
		if err != nil {
			panic(err)
		}
		memory := make([]byte, 1<<20)
		<-make(chan struct{})
		_ = append(memory, held.Name()...)
	}()
}
