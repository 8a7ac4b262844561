// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

const (
	metricsNamespace = "caddy"
	metricsSubsystem = "webhook_inbox"
)

// metrics counts what happens in an inbox. They belong to the inbox rather than
// to a configuration, so that they go on counting when Caddy is reloaded.
type metrics struct {
	receivedTotal  *prometheus.CounterVec
	attemptsTotal  *prometheus.CounterVec
	attemptSeconds *prometheus.HistogramVec
	buriedTotal    *prometheus.CounterVec
	tokensTotal    *prometheus.CounterVec
	commitSeconds  prometheus.Histogram
	commitMessages prometheus.Histogram
}

func newMetrics() *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: metricsNamespace, Subsystem: metricsSubsystem, Name: name, Help: help,
		}, labels)
	}
	histogram := func(name, help string, buckets []float64) prometheus.HistogramOpts {
		return prometheus.HistogramOpts{
			Namespace: metricsNamespace, Subsystem: metricsSubsystem, Name: name, Help: help, Buckets: buckets,
		}
	}
	return &metrics{
		receivedTotal: counter("received_total", "Requests received, by what became of them.", "endpoint", "outcome"),
		attemptsTotal: counter("attempts_total", "Attempts to deliver a message, by their outcome.", "endpoint", "outcome"),
		buriedTotal:   counter("buried_total", "Messages that became dead letters.", "endpoint"),
		tokensTotal:   counter("tokens_total", "Requests for a token, by what became of them.", "issuer", "outcome"),
		attemptSeconds: prometheus.NewHistogramVec(histogram("attempt_duration_seconds",
			"How long attempts took.", prometheus.ExponentialBuckets(0.001, 4, 8)), []string{"endpoint"}),
		commitSeconds: prometheus.NewHistogram(histogram("commit_duration_seconds",
			"How long the queue took to make a batch durable.", prometheus.ExponentialBuckets(0.0001, 4, 9))),
		commitMessages: prometheus.NewHistogram(histogram("commit_messages",
			"New messages that became durable together.", prometheus.ExponentialBuckets(1, 2, 10))),
	}
}

func (m *metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{
		m.receivedTotal, m.attemptsTotal, m.attemptSeconds, m.buriedTotal, m.tokensTotal, m.commitSeconds, m.commitMessages,
	}
}

// EngineObserver is told what an engine does, for the metrics.
type EngineObserver interface {
	// Committed: so many new messages became durable together, in that time.
	Committed(messages int, took time.Duration)
}

// Committed counts a commit of the queue.
func (in *inbox) Committed(messages int, took time.Duration) {
	in.metrics.commitSeconds.Observe(took.Seconds())
	if messages > 0 {
		in.metrics.commitMessages.Observe(float64(messages))
	}
}

// Health is what an engine knows about the place where the messages are.
type Health struct {
	SizeOnDisk int64 // bytes
	Free       int64 // bytes
	Lost       int64 // commits that were found missing when it was opened
	Refusing   bool  // it takes nothing new, because the disk is full
	Err        error // why it takes nothing any more
}

// HealthReporter is an [Engine] that can tell how its queue is.
type HealthReporter interface {
	Health(q queue.Queue) Health
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName(metricsNamespace, metricsSubsystem, name), help, labels, nil)
}

// The gauges, which are read from the queue when Prometheus asks.
var (
	waitingDesc   = describe("waiting", "Messages that are not delivered yet.", "endpoint")
	retryingDesc  = describe("retrying", "Those of the waiting messages that were tried before.", "endpoint")
	inFlightDesc  = describe("in_flight", "Those of the waiting messages that are being delivered.", "endpoint")
	deadDesc      = describe("dead_letters", "Messages that were given up and are kept.", "endpoint")
	keptDesc      = describe("kept", "Delivered messages that are kept.", "endpoint")
	bytesDesc     = describe("bytes", "Bytes of the endpoint's messages in the queue.", "endpoint")
	oldestDesc    = describe("oldest_age_seconds", "Age of the oldest message that is not delivered yet.", "endpoint")
	outageDesc    = describe("outage", "1 while the endpoint is in an outage.", "endpoint")
	receivingDesc = describe("receiving_bytes", "Bytes of bodies that are being received.")
	openDesc      = describe("open", "1 if the queue is open and takes messages.")
	diskDesc      = describe("disk_bytes", "Bytes that the queue takes on disk.")
	freeDesc      = describe("disk_free_bytes", "Bytes that are free where the queue is.")
	lostDesc      = describe("lost_commits", "Commits that were found missing when the queue was opened.")
)

// collector collects the metrics of the inbox that a configuration uses.
type collector struct{ app *App }

// Describe sends nothing, which makes the collector an unchecked one: what it
// collects is known only once the app has started.
func (c collector) Describe(chan<- *prometheus.Desc) {}

// Collect sends the counters of the inbox and reads the gauges from its queue.
func (c collector) Collect(out chan<- prometheus.Metric) {
	select {
	case <-c.app.ready:
		c.app.inbox.collect(c.app.engine, out)
	default:
	}
}

func (in *inbox) collect(engine Engine, out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	flag := func(b bool) float64 {
		if b {
			return 1
		}
		return 0
	}
	for _, m := range in.metrics.collectors() {
		m.Collect(out)
	}
	gauge(receivingDesc, float64(in.memory.taken.Load()))

	q := in.queue.Load()
	healthy := q != nil
	if reporter, ok := engine.(HealthReporter); ok && q != nil {
		health := reporter.Health(*q)
		healthy = health.Err == nil && !health.Refusing
		gauge(diskDesc, float64(health.SizeOnDisk))
		gauge(freeDesc, float64(health.Free))
		gauge(lostDesc, float64(health.Lost))
	}
	gauge(openDesc, flag(healthy))
	if q == nil {
		return
	}

	ctx, cancel := context.WithTimeout(in.stopped, 5*time.Second)
	defer cancel()
	endpoints, err := (*q).Endpoints(ctx)
	if err != nil {
		return // the queue is being closed, or says in its health what is wrong
	}
	for name, s := range endpoints {
		gauge(waitingDesc, float64(s.Waiting), name)
		gauge(retryingDesc, float64(s.Retrying), name)
		gauge(inFlightDesc, float64(s.InFlight), name)
		gauge(deadDesc, float64(s.Dead), name)
		gauge(keptDesc, float64(s.Kept), name)
		gauge(bytesDesc, float64(s.Bytes), name)
		gauge(oldestDesc, age(s.Oldest).Seconds(), name)
		_, out := in.outage(name)
		gauge(outageDesc, flag(out), name)
	}
}
