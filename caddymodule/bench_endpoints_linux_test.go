// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

const benchEndpoints = 1000

// BenchmarkDeadNeighbour is how many messages are accepted and delivered by 999
// endpoints while the application of another one is dead and has 100,000 messages
// waiting, beside the same without that one's messages: in two processes, of which
// one idles while the other is measured. A dead application refuses connections, or
// takes them and says nothing. cpu-us and cpu-ratio are of those processes; a busy
// machine changes them less than the rate.
func BenchmarkDeadNeighbour(b *testing.B) {
	b.Run("refusing", func(b *testing.B) { deadNeighbour(b, newBareApplication(b)) })
	b.Run("silent", func(b *testing.B) {
		app := newBareApplication(b)
		app.allowed.Store(0)
		app.up()
		deadNeighbour(b, app)
	})
}

func deadNeighbour(b *testing.B, dead *bareApplication) {
	e, ok := extentOf(b, 20_000)
	if !ok {
		return
	}
	waiting := 100_000
	if e.quick {
		waiting = 5_000
	}
	with, without := newManyEndpoints(b, dead.addr), newManyEndpoints(b, dead.addr)
	newFlood(b, with.addr, endpointPath(0)).run(b, waiting)
	alternateRounds(b, max(e.n/benchRounds, 1), with.deliver, without.deliver)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(with.computed.Seconds()*1e6/float64(with.delivered), "cpu-us")
	b.ReportMetric(without.computed.Seconds()/with.computed.Seconds(), "cpu-ratio")
	if got := with.endpoint("e0").Waiting; got != int64(waiting) {
		b.Errorf("%d messages of the dead one wait, want %d", got, waiting)
	}
}

// manyEndpoints is a Caddy with a thousand endpoints.
type manyEndpoints struct {
	*process
	b     *testing.B
	app   *bareApplication // of all but the first
	flood *flood           // to all but the first

	computed  time.Duration // in rounds
	delivered int
}

func newManyEndpoints(b *testing.B, dead string) *manyEndpoints {
	b.Helper()
	m := &manyEndpoints{b: b, app: newBareApplication(b)}
	m.app.up()
	var site strings.Builder
	var paths []string
	for i := range benchEndpoints {
		upstream := m.app.addr
		if i == 0 {
			upstream = dead
		} else {
			paths = append(paths, endpointPath(i))
		}
		// In groups, so that finding the endpoint's route is little of what it costs.
		if i%endpointGroup == 0 {
			fmt.Fprintf(&site, "handle /%d/* {\n", i/endpointGroup)
		}
		fmt.Fprintf(&site, "webhook_inbox %s e%d {\nverify svix %s\nretain 0\nmax_size 50%%\ndeliver %s\n}\n",
			endpointPath(i), i, benchSecret, upstream)
		if i%endpointGroup == endpointGroup-1 {
			site.WriteString("}\n")
		}
	}
	m.process = startInbox(b, newServer(b), site.String())
	m.flood = newFlood(b, m.addr, paths...)
	return m
}

const endpointGroup = 40

func endpointPath(i int) string { return fmt.Sprintf("/%d/%d", i/endpointGroup, i) }

// deliver is a round until all is delivered.
func (m *manyEndpoints) deliver(n int) round {
	m.b.Helper()
	want := m.app.answered.Load() + int64(n)
	begun, computed := time.Now(), m.processor()
	r := m.flood.run(m.b, n)
	deadline := begun.Add(extent{n: n}.patience())
	for m.app.answered.Load() < want {
		if time.Now().After(deadline) {
			m.b.Fatalf("%d messages are not delivered in time", want-m.app.answered.Load())
		}
		time.Sleep(time.Millisecond)
	}
	r.took = time.Since(begun)
	m.computed += m.processor() - computed
	m.delivered += n
	return r
}
