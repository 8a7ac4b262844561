// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
	"github.com/caddy-webhook-inbox/inbox/queue/queuetest"
	promise "github.com/caddy-webhook-inbox/inbox/queue/queuetest/ledger"
)

// The wall clock is set, by an hour or a year, forward or back, while the queue is
// open or while it is closed; messages wait, back off, are in flight, delivered and
// dead, and the endpoint has an outage. Nothing is lost, and nothing that is sent
// again within its window is delivered twice. While the queue is open nobody waits
// for longer or shorter than told, however many wait. Set back while it is closed,
// what was told counts from the opening; set forward, which is as if it had been
// closed for so long, it is over.
func TestFaultClock(t *testing.T) {
	for _, step := range clockSteps {
		for _, closed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v, closed %v", step, closed), func(t *testing.T) {
				inBubble(t, func(t *testing.T, dir string) {
					c := newClocked(t, dir)
					c.over = closed && step > 0
					c.before()
					c.step(step, closed)
					c.after(step, closed)
					for _, v := range c.ledger.Check(c.end) {
						t.Error(v)
					}
					if n := c.ledger.Counts(); n.Sent != n.Accepted || n.Delivered != n.Sent-1 {
						t.Errorf("all but the dead letter are to be delivered: %+v", n)
					}
				})
			})
		}
	}
}

var clockSteps = []time.Duration{-365 * 24 * time.Hour, -time.Hour, time.Hour, 365 * 24 * time.Hour}

// An engine that believes the clock delivers too early, or too late.
func TestFaultClockOfAnEngineThatBelievesIt(t *testing.T) {
	for _, m := range []struct {
		step time.Duration
		want promise.Invariant
	}{{-time.Hour, promise.Growth}, {time.Hour, promise.Haste}} {
		t.Run(m.step.String(), func(t *testing.T) {
			inBubble(t, func(t *testing.T, dir string) {
				c := newClocked(t, dir)
				c.before()
				c.step(m.step, false)
				c.q.clock.wall = c.q.clock.wall.Add(m.step)
				c.after(m.step, false)
				if v := (verdict{violations: c.ledger.Check(c.end)}); !v.broke(m.want) {
					t.Errorf("not noticed: %v", v)
				}
			})
		})
	}
}

// clocked is a queue whose clock is set.
type clocked struct {
	t      *testing.T
	q      *Queue
	clock  clock
	ledger promise.Ledger
	ids    map[queue.ID]string
	told   map[string]time.Duration // how long to wait
	since  map[string]time.Time
	over   bool // whatever was told
	held   queue.Delivery
	outage queue.Outage
	end    promise.End
}

const (
	clockWindow  = 96 * time.Hour
	clockWaiting = 20
	clockRan     = time.Minute // from what is told to the step
)

func newClocked(t *testing.T, dir string) *clocked {
	c := &clocked{t: t, ids: make(map[queue.ID]string), told: make(map[string]time.Duration), since: make(map[string]time.Time)}
	c.ledger.Noted = 1
	// Most of what waits is on disk only.
	few := budgets{all: 1 << 20, endpoint: 1 << 20, count: 4, load: 3, retries: 4}
	c.q = openTest(t, Options{Dir: dir, Now: c.clock.now, budgets: few})
	return c
}

// send sends a message. Its endpoint and its number are its key.
func (c *clocked) send(endpoint string, n int) {
	c.t.Helper()
	key := fmt.Sprint(endpoint, n)
	m := sender.Message(endpoint)
	m.Request.Body = []byte(key)
	c.ids[m.ID] = key
	c.ledger.Sent(key, m.Request.Body)
	_, err := c.q.Publish(c.t.Context(), queue.Publication{
		Message: m,
		Keys:    []queue.Key{queuetest.Key(key, clockWindow)},
	})
	must(c.t, err)
	c.ledger.Answered(key, 202)
}

// tried notes that a delivery was answered.
func (c *clocked) tried(d queue.Delivery, status int, retryAfter time.Duration) (key string) {
	a := attempt(d, status)
	a.RetryAfter = retryAfter
	key = c.ids[d.Message.ID]
	c.ledger.Tried(key, d.Message.Request.Body, a)
	return key
}

// fail lets a delivery fail.
func (c *clocked) fail(d queue.Delivery, delay time.Duration) {
	c.t.Helper()
	least := delay
	if c.over {
		least = 0
	}
	key := c.tried(d, 500, least)
	c.told[key], c.since[key] = delay, time.Now()
	must(c.t, d.Lease.Nack(delay, queue.History{Attempts: d.History.Attempts + 1}))
}

// succeed lets a delivery succeed, and notes how long it came too late.
func (c *clocked) succeed(d queue.Delivery, closed bool) {
	c.t.Helper()
	key := c.tried(d, 204, 0)
	if told, ok := c.told[key]; ok {
		bound := told
		if closed {
			bound += clockRan
		}
		c.ledger.Measured("seconds of waiting of "+key, time.Since(c.since[key]).Seconds(), bound.Seconds())
	}
	must(c.t, d.Lease.Ack(0))
}

func (c *clocked) before() {
	c.t.Helper()
	for n := range clockWaiting {
		c.send("waiting", n)
		c.send("backing off", n)
	}
	for n := range clockWaiting {
		c.fail(receive(c.t, c.q, "backing off"), time.Duration(n+2)*3*time.Minute)
	}
	c.send("probed", 0)
	d := receive(c.t, c.q, "probed")
	c.tried(d, 500, 0) // a probe comes before its time
	must(c.t, d.Lease.Nack(time.Hour, queue.History{Attempts: 1}))
	c.send("delivered", 0)
	c.succeed(receive(c.t, c.q, "delivered"), false)
	c.send("dead", 0)
	d = receive(c.t, c.q, "dead")
	c.tried(d, 410, 0)
	must(c.t, d.Lease.Bury("gone", queue.History{Attempts: 1}, 0))
	c.outage = queue.Outage{Since: time.Now().Round(0), NextProbe: time.Now().Add(time.Minute).Round(0)}
	must(c.t, c.q.SetOutage(c.t.Context(), "probed", &c.outage))
	c.send("in flight", 0)
	c.held = receive(c.t, c.q, "in flight")
	time.Sleep(clockRan)
}

func (c *clocked) step(step time.Duration, closed bool) {
	c.t.Helper()
	if closed {
		must(c.t, c.q.Close())
	}
	c.clock.set(step)
	if closed {
		c.q = openTest(c.t, c.q.opts)
	}
}

func (c *clocked) after(step time.Duration, closed bool) {
	c.t.Helper()
	if closed {
		c.held = receive(c.t, c.q, "in flight")
	}
	c.succeed(c.held, closed)
	d, err := c.q.Probe(c.t.Context(), "probed", queue.Pick{}, time.Hour)
	must(c.t, err)
	c.succeed(d, closed)
	outage, err := c.q.Outage(c.t.Context(), "probed")
	must(c.t, err)
	if !reflect.DeepEqual(*outage, c.outage) {
		c.t.Errorf("the outage is %+v, want %+v", outage, c.outage)
	}
	for n := range clockWaiting {
		c.send("waiting", n)
		c.send("backing off", n)
	}
	if step < clockWindow {
		c.send("delivered", 0)
	}
	var all sync.WaitGroup
	for _, endpoint := range []string{"waiting", "probed", "in flight", "delivered", "backing off"} {
		all.Go(func() { c.drain(endpoint, closed) })
	}
	all.Wait()
	for s, err := range c.q.DeadLetters(c.t.Context(), "dead", queue.ID{}) {
		must(c.t, err)
		c.end.Dead = map[string]bool{c.ids[s.Message.ID]: true}
	}
}

// drain delivers what waits and backs off, as soon as it comes.
func (c *clocked) drain(endpoint string, closed bool) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 10*time.Hour)
	defer cancel()
	for {
		d, err := c.q.Receive(ctx, endpoint, time.Hour)
		if err != nil {
			return
		}
		c.succeed(d, closed)
	}
}
