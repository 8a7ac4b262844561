// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"testing"
	"time"
)

// BenchmarkIdle is what the inbox takes in memory while nothing happens: fresh, and
// again five minutes after so many messages were accepted and delivered. The plain
// Caddy has answered as many requests.
func BenchmarkIdle(b *testing.B) {
	e, ok := extentOf(b, 20_000)
	if !ok {
		return
	}
	app := newBareApplication(b)
	app.up()
	inbox := startInbox(b, newServer(b), benchSite(app.addr, "retain 0"))
	plain := startPlain(b)

	e.rest(10 * time.Second)
	bare := plain.memory()
	b.ReportMetric(bare.anon, "plain-MiB")
	b.ReportMetric(inbox.memory().anon-bare.anon, "fresh-MiB")

	newFlood(b, plain.addr).run(b, e.n)
	most := watch(func() float64 { return inbox.memory().anon })
	newFlood(b, inbox.addr).run(b, e.n)
	inbox.empty(app, e)
	b.ReportMetric(most()-bare.anon, "busy-MiB")
	b.ReportMetric(e.rest(5*time.Minute), "rested-s")
	b.ReportMetric(inbox.memory().anon-plain.memory().anon, "after-MiB")
}

// empty waits until e.n messages are delivered, and none waits.
func (p *process) empty(app *bareApplication, e extent) {
	app.b.Helper()
	waitFor(app.b, e.patience(), "all are delivered", func() bool { return app.answered.Load() >= int64(e.n) })
	waitFor(app.b, e.patience(), "none waits", func() bool { return p.endpoint("bench").Waiting == 0 })
}

// plainMemory is what a plain Caddy takes: the most while it answers requests, and
// then at rest.
func plainMemory(b *testing.B, e extent) (busy, rested memory) {
	b.Helper()
	p := startPlain(b)
	defer p.finish()
	most := watch(func() float64 { return p.memory().anon })
	newFlood(b, p.addr).run(b, min(e.n, 100_000))
	busy = memory{anon: most()}
	e.rest(10 * time.Second)
	return busy, p.memory()
}
