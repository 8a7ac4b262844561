// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"strings"
	"syscall"
	"testing"
	"time"
)

// BenchmarkBacklog is an outage from its beginning to its end. So many messages come
// in while the application is down. Then Caddy is killed, the application comes up,
// Caddy is started, and the backlog is drained. The inbox does all that it does in
// an outage: while the backlog grows it probes, a restart waits for the next probe,
// which is up to 30 s away, and the first deliveries come one, two, four at a time.
// What the drain is compared with is as many messages that are delivered as they
// come.
func BenchmarkBacklog(b *testing.B) {
	for _, options := range []string{"retain 0", "retain 24h"} {
		b.Run(strings.ReplaceAll(options, " ", "="), func(b *testing.B) {
			if e, ok := extentOf(b, 20_000); ok {
				newBacklog(b, e, options).measure()
			}
		})
	}
}

type backlog struct {
	*testing.B
	extent
	inbox        *process
	site         string
	app          *bareApplication
	busy, rested memory  // of a plain Caddy
	live         float64 // messages accepted and delivered in a second
}

func newBacklog(b *testing.B, e extent, options string) *backlog {
	l := &backlog{B: b, extent: e, app: newBareApplication(b)}
	l.busy, l.rested = plainMemory(b, e)
	l.site = benchSite(l.app.addr, options)

	l.app.up()
	inbox := startInbox(b, newServer(b), l.site)
	begun := time.Now()
	newFlood(b, inbox.addr).run(b, e.n)
	inbox.empty(l.app, e)
	l.live = float64(e.n) / time.Since(begun).Seconds()
	inbox.finish()
	l.app.arm()
	l.app.down()
	l.app.answered.Store(0)

	l.inbox = startInbox(b, newServer(b), l.site)
	return l
}

func (l *backlog) measure() {
	l.fill()
	l.wait()
	l.drain()
	l.settle()
}

// fill lets the messages come. The first tenth is compared with the last one.
func (l *backlog) fill() {
	const parts = 10
	f := newFlood(l.B, l.inbox.addr)
	most := watch(l.anon)
	computed := l.inbox.processor()
	var took [parts]time.Duration
	var all time.Duration
	n := l.n / parts
	for i := range took {
		took[i] = f.run(l.B, n).took
		all += took[i]
	}
	l.n = n * parts
	l.ReportMetric(float64(l.n)/all.Seconds(), "fill/s")
	l.ReportMetric((l.inbox.processor()-computed).Seconds()*1e6/float64(l.n), "fill-cpu-us/msg")
	l.ReportMetric(took[0].Seconds()/took[parts-1].Seconds(), "fill-last/first")
	l.ReportMetric(most()-l.busy.anon, "fill-most-MiB")
	l.ReportMetric(float64(f.refused.Load()), "fill-503s")
	l.ReportMetric(l.inbox.bytesWritten()/l.bytes(), "fill-written/byte")
}

// wait looks at what the backlog takes a minute after the last message came.
func (l *backlog) wait() {
	l.rest(time.Minute)
	if e := l.inbox.endpoint("bench"); e.Waiting != int64(l.n) {
		l.Fatalf("%d messages wait, want %d", e.Waiting, l.n)
	}
	m := l.inbox.memory()
	l.ReportMetric(m.anon-l.rested.anon, "waiting-MiB")
	l.ReportMetric(m.file-l.rested.file, "waiting-mapped-MiB")
	l.ReportMetric(l.inbox.disk()/l.bytes(), "waiting-disk/byte")
}

// drain begins with a restart. The memory is that of the new process.
func (l *backlog) drain() {
	l.inbox.end(syscall.SIGKILL)
	l.app.up()
	begun := time.Now()
	l.inbox = startInbox(l.B, l.inbox.server, l.site)
	most := watch(l.anon)
	first := l.app.awaitFirst(2 * time.Minute)
	computed := l.inbox.processor()
	l.inbox.empty(l.app, l.extent)
	rate := float64(l.n) / time.Since(first).Seconds()
	l.ReportMetric(first.Sub(begun).Seconds(), "until-probe-s")
	l.ReportMetric(rate, "drain/s")
	l.ReportMetric((l.inbox.processor()-computed).Seconds()*1e6/float64(l.n), "drain-cpu-us/msg")
	l.ReportMetric(rate/l.live, "drain-ratio")
	l.ReportMetric(most()-l.busy.anon, "drain-most-MiB")
	l.ReportMetric(float64(l.app.answered.Load())-float64(l.n), "repeated")
	l.ReportMetric(l.inbox.bytesWritten()/l.bytes(), "drain-written/byte")
}

// settle looks at the disk a minute after the drain, or as soon as it takes less
// than a tenth of the backlog.
func (l *backlog) settle() {
	patience := time.Minute
	if l.quick {
		patience = 2 * time.Second
	}
	drained := time.Now()
	for time.Since(drained) < patience && l.inbox.disk() > l.bytes()/10 {
		time.Sleep(100 * time.Millisecond)
	}
	l.ReportMetric(time.Since(drained).Seconds(), "rested-s")
	l.ReportMetric(l.inbox.disk()/l.bytes(), "drained-disk/byte")
	l.ReportMetric(l.anon()-l.rested.anon, "drained-MiB")
	l.inbox.finish()
}

func (l *backlog) anon() float64  { return l.inbox.memory().anon }
func (l *backlog) bytes() float64 { return float64(l.n) * webhookBytes }
