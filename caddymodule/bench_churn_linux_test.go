// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkChurn is the disk while messages are accepted and delivered all the time.
// Few of them wait at any time, so what it takes should not grow with their number.
// With a window of deduplication it does, because each one's key is to be kept: see
// growth-B/msg.
//
// disk/waited is the most that the disk takes, over the most that waited, and
// disk/floored over that and a floor, which stands for the youngest segments, tables
// and logs, whatever is in them.
func BenchmarkChurn(b *testing.B) {
	for _, options := range []string{"dedupe off", "dedupe 96h"} {
		b.Run(strings.ReplaceAll(options, " ", "="), func(b *testing.B) {
			if e, ok := extentOf(b, 20_000); ok {
				churn(b, e, "retain 0\n"+options)
			}
		})
	}
}

const (
	churnFloor = 256 << 20
	churnLead  = 10_000 // messages that may wait, about
)

func churn(b *testing.B, e extent, options string) {
	app := newBareApplication(b)
	app.up()
	inbox := startInbox(b, newServer(b), benchSite(app.addr, options))
	f := newFlood(b, inbox.addr)
	deadline := time.Now().Add(e.patience())
	var sent atomic.Int64
	f.hold = func() {
		n := sent.Add(1)
		for n-app.answered.Load() > churnLead {
			if time.Now().After(deadline) {
				b.Errorf("%d messages were not delivered in time", churnLead)
				return
			}
			time.Sleep(time.Millisecond)
		}
	}

	begun, computed := time.Now(), inbox.processor()
	waiting := watch(func() float64 { return float64(sent.Load() - app.answered.Load()) })
	early := watch(inbox.disk)
	f.run(b, e.n/2)
	first := early()
	late := watch(inbox.disk)
	f.run(b, e.n-e.n/2)
	inbox.empty(app, e)
	second := late()
	took := time.Since(begun)
	computed = inbox.processor() - computed
	waited := waiting() * webhookBytes

	const mib = 1 << 20
	b.ReportMetric(float64(e.n)/took.Seconds(), "msgs/s")
	b.ReportMetric(computed.Seconds()*1e6/float64(e.n), "cpu-us/msg")
	b.ReportMetric(float64(f.refused.Load()), "503s")
	b.ReportMetric(waited/mib, "waited-most-MiB")
	b.ReportMetric(first/mib, "first-half-most-MiB")
	b.ReportMetric(second/mib, "second-half-most-MiB")
	b.ReportMetric(churnFloor/mib, "floor-MiB")
	b.ReportMetric(max(first, second)/waited, "disk/waited")
	b.ReportMetric(max(first, second)/(waited+churnFloor), "disk/floored")
	b.ReportMetric((second-first)/float64(e.n/2), "growth-B/msg")
	b.ReportMetric(inbox.bytesWritten()/(float64(e.n)*webhookBytes), "written/byte")
	inbox.finish()
}
