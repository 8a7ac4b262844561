// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"syscall"
	"testing"
	"time"
)

// BenchmarkStart is the time from starting the process to the first byte of the
// first delivery, with so many messages waiting: after it was killed, after it was
// stopped, and, killed again, after all but one in a hundred were delivered, which
// leaves the queue full of what was erased. Before it is killed some more come, so
// that there is a log to read. It is the longest of three; and of three with none of
// the queue's files in memory. plain-ms is the time until the plain Caddy can be
// connected to. The times in cpu-ms are what the process computed until then, which
// a busy machine changes less.
//
// The messages wait because the application takes attempts and does not answer, so
// that no outage is in the way; see BenchmarkBacklog for that.
func BenchmarkStart(b *testing.B) {
	e, ok := extentOf(b, 20_000)
	if !ok {
		return
	}
	begun := time.Now()
	plain := startPlain(b)
	b.ReportMetric(milliseconds(time.Since(begun)), "plain-ms")
	b.ReportMetric(milliseconds(plain.processor()), "plain-cpu-ms")
	plain.finish()

	app := newBareApplication(b)
	app.allowed.Store(0)
	app.up()
	s := &starts{B: b, extent: e, app: app, site: benchSite(app.addr, "retain 0\nattempt_timeout 1h")}
	s.inbox = startInbox(b, newServer(b), s.site)
	s.send(e.n)
	s.measure(syscall.SIGKILL, "killed")
	s.measure(syscall.SIGTERM, "stopped")

	most := int64(s.sent) * 99 / 100
	app.allowed.Store(most)
	s.inbox.end(syscall.SIGKILL)
	s.inbox = startInbox(b, s.inbox.server, s.site)
	waitFor(b, e.patience(), "nearly all are delivered", func() bool { return app.answered.Load() == most })
	s.measure(syscall.SIGKILL, "drained")
	s.inbox.finish()
}

type starts struct {
	*testing.B
	extent
	inbox *process
	site  string
	app   *bareApplication
	sent  int // messages
}

func (s *starts) send(n int) {
	newFlood(s.B, s.inbox.addr).run(s.B, n)
	s.sent += n
}

// measure ends the process and starts it again.
func (s *starts) measure(signal syscall.Signal, after string) {
	var warm, cold, computed time.Duration
	for range 3 {
		warm = max(warm, s.again(signal, false))
		computed = max(computed, s.inbox.processor())
		cold = max(cold, s.again(signal, true))
	}
	s.ReportMetric(milliseconds(warm), after+"-ms")
	s.ReportMetric(milliseconds(computed), after+"-cpu-ms")
	s.ReportMetric(milliseconds(cold), after+"-cold-ms")
}

// again returns how long the process took until the first delivery.
func (s *starts) again(signal syscall.Signal, cold bool) time.Duration {
	if signal == syscall.SIGKILL {
		s.send(min(s.n/20, 50_000))
	}
	s.inbox.end(signal)
	if cold {
		s.inbox.chill()
	}
	s.app.arm()
	begun := time.Now()
	s.inbox = startInbox(s.B, s.inbox.server, s.site)
	return s.app.awaitFirst(2 * time.Minute).Sub(begun)
}

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1e3 }
