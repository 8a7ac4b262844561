// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"cmp"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// The benchmarks compare the inbox with what Caddy does without it, in the same
// process, over the same kind of connections, in rounds that alternate: what the
// machine is doing meanwhile hits both. Only the ratios mean anything elsewhere.
//
//	go test -run '^$' -bench 'Accept$|Deliver$/' -benchtime 60000x ./caddymodule
//
// An operation is one webhook with a body of 1 KB, signed as Svix does. A rate- or
// cpu-ratio above 1 is faster than what it is compared with, a p50- or p99-ratio
// below 1.

const (
	benchConns  = 128
	benchRounds = 6
)

// A course is what a benchmark runs on: sites of one Caddy.
type course struct {
	*server
	respond, refuse, proxy, inbox string // addresses
}

const benchProxy = `reverse_proxy %s {
	transport http {
		keepalive_idle_conns_per_host 256
	}
}`

// newCourse runs Caddy. The inbox has the options, and delivers to the application
// or, if that is to be down, to nobody.
func newCourse(b *testing.B, options string, up bool) *course {
	b.Helper()
	c := &course{newServer(b), freeAddr(b), freeAddr(b), freeAddr(b), freeAddr(b)}
	app, upstream := freeAddr(b), freeAddr(b)
	if up {
		upstream = app
	}
	config := c.caddyfile("log {\n\toutput discard\n}", "") +
		site(app, "respond 202") +
		site(c.respond, "respond 202") +
		site(c.refuse, "respond 401") +
		site(c.proxy, fmt.Sprintf(benchProxy, app)) +
		site(c.inbox, "webhook_inbox bench {\nverify svix "+benchSecret+"\nmax_size 100%\n"+options+"\ndeliver {\n"+fmt.Sprintf(benchProxy, upstream)+"\n}\n}")
	if err := c.tryLoad(config); err != nil {
		b.Fatalf("loading %s: %v", config, err)
	}
	return c
}

func site(addr, directives string) string {
	return "http://" + addr[strings.LastIndex(addr, ":"):] + " {\n\tbind 127.0.0.1\n" + directives + "\n}\n"
}

// empty waits until everything that was accepted is delivered.
func (c *course) empty() {
	for c.endpoint("bench").Waiting > 0 {
		time.Sleep(5 * time.Millisecond)
	}
}

// alternate runs rounds of ours and theirs in turn, and reports the medians of
// ours and how they compare. Only the time of ours counts.
func alternate(b *testing.B, ours, theirs func(n int) round) {
	b.Helper()
	alternateRounds(b, max(b.N/benchRounds, 1), ours, theirs)
}

// alternateRounds is alternate with rounds of n.
func alternateRounds(b *testing.B, n int, ours, theirs func(n int) round) {
	b.Helper()
	theirs(min(n, 1000)) // both get warm
	ours(min(n, 1000))
	var a, z []round
	b.StopTimer()
	b.ResetTimer()
	for range benchRounds {
		z = append(z, timed(theirs, n))
		b.StartTimer()
		a = append(a, timed(ours, n))
		b.StopTimer()
	}
	b.ReportMetric(median(a, round.rate), "req/s")
	b.ReportMetric(median(a, round.rate)/median(z, round.rate), "rate-ratio")
	b.ReportMetric(median(a, round.cpu)*1e6, "cpu-us")
	b.ReportMetric(median(z, round.cpu)/median(a, round.cpu), "cpu-ratio")
	b.ReportMetric(median(a, round.p50)/median(z, round.p50), "p50-ratio")
	b.ReportMetric(median(a, round.p99)/median(z, round.p99), "p99-ratio")
	b.ReportMetric(median(a, round.p50)*1e3, "p50-ms")
	b.ReportMetric(median(a, round.p99)*1e3, "p99-ms")
}

// timed runs a round and notes the processor's time that this process took for
// it, of which the load has its part.
func timed(run func(n int) round, n int) round {
	before := processorTime()
	r := run(n)
	r.processor = processorTime() - before
	return r
}

// BenchmarkAccept is how many webhooks are answered 202, durably, while the
// application is down, beside Caddy's respond.
func BenchmarkAccept(b *testing.B) {
	c := newCourse(b, "retain 0", false)
	inbox, respond := newLoad(b, c.inbox, benchConns), newLoad(b, c.respond, benchConns)
	before := c.commits()
	written := bytesWritten(b)
	alternate(b,
		func(n int) round { return inbox.run(b, n, http.StatusAccepted) },
		func(n int) round { return respond.run(b, n, http.StatusAccepted) })
	commits := c.commits().minus(before)
	b.ReportMetric(commits.messages/commits.n, "msgs/commit")
	b.ReportMetric((bytesWritten(b)-written)/commits.messages/float64(len(benchBody)), "bytes-written/byte")
}

// BenchmarkAcceptWhileDelivering is the same while the application is up.
func BenchmarkAcceptWhileDelivering(b *testing.B) {
	c := newCourse(b, "retain 0", true)
	inbox, respond := newLoad(b, c.inbox, benchConns), newLoad(b, c.respond, benchConns)
	alternate(b,
		func(n int) round {
			defer c.empty()
			return inbox.run(b, n, http.StatusAccepted)
		},
		func(n int) round { return respond.run(b, n, http.StatusAccepted) })
}

// BenchmarkDeliver is how many are accepted and delivered, until none waits,
// beside Caddy's reverse_proxy to the same application.
func BenchmarkDeliver(b *testing.B) {
	for _, options := range []string{"retain 0", "retain 24h"} {
		b.Run(strings.ReplaceAll(options, " ", "="), func(b *testing.B) {
			c := newCourse(b, options, true)
			inbox, proxy := newLoad(b, c.inbox, benchConns), newLoad(b, c.proxy, benchConns)
			alternate(b,
				func(n int) round { return c.deliver(b, inbox, n) },
				func(n int) round { return proxy.run(b, n, http.StatusAccepted) })
		})
	}
}

// deliver runs a round that lasts until everything is delivered.
func (c *course) deliver(b *testing.B, inbox *load, n int) round {
	b.Helper()
	begun := time.Now()
	r := inbox.run(b, n, http.StatusAccepted)
	c.empty()
	r.took = time.Since(begun)
	return r
}

// BenchmarkRefuse is how many forged webhooks are refused, beside respond 401.
func BenchmarkRefuse(b *testing.B) {
	c := newCourse(b, "retain 0", true)
	inbox, refuse := newLoad(b, c.inbox, benchConns), newLoad(b, c.refuse, benchConns)
	inbox.forge = true
	alternate(b,
		func(n int) round { return inbox.run(b, n, http.StatusUnauthorized) },
		func(n int) round { return refuse.run(b, n, http.StatusUnauthorized) })
}

// BenchmarkLone is one webhook at a time, beside respond and one fdatasync of 4
// KB in the same file system.
func BenchmarkLone(b *testing.B) {
	c := newCourse(b, "retain 0", true)
	inbox, respond := newLoad(b, c.inbox, 1), newLoad(b, c.respond, 1)
	f, err := os.Create(filepath.Join(filepath.Dir(c.dir), "sync"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	page := make([]byte, 4096)
	alternate(b,
		func(n int) round {
			defer c.empty()
			return inbox.run(b, n, http.StatusAccepted)
		},
		func(n int) round {
			r := respond.run(b, n, http.StatusAccepted)
			for i := range r.latencies {
				begun := time.Now()
				if _, err := f.WriteAt(page, int64(i%256)*4096); err != nil {
					b.Fatal(err)
				}
				if err := datasync(f); err != nil {
					b.Fatal(err)
				}
				took := time.Since(begun)
				r.latencies[i] += took
				r.took += took
			}
			slices.Sort(r.latencies)
			return r
		})
}

func median(rounds []round, of func(round) float64) float64 {
	values := make([]float64, len(rounds))
	for i, r := range rounds {
		values[i] = of(r)
	}
	slices.SortFunc(values, cmp.Compare[float64])
	mid := len(values) / 2
	return (values[mid] + values[len(values)-1-mid]) / 2
}

// commits is what the metrics say of them.
type commits struct{ n, messages float64 }

func (c commits) minus(other commits) commits {
	return commits{c.n - other.n, c.messages - other.messages}
}

func (c *course) commits() (sum commits) {
	for line := range strings.Lines(c.metrics()) {
		fmt.Sscanf(line, "caddy_webhook_inbox_commit_messages_count %g", &sum.n)
		fmt.Sscanf(line, "caddy_webhook_inbox_commit_messages_sum %g", &sum.messages)
	}
	return sum
}

// bytesWritten is what this process has written to disks, as Linux counts it.
func bytesWritten(b *testing.B) (n float64) {
	data, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		fmt.Sscanf(line, "write_bytes: %g", &n)
	}
	return n
}
