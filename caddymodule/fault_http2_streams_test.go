// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"cmp"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/caddy-webhook-inbox/inbox/queue/queuetest/ledger"
)

// An ending is what becomes of requests that are under way in one connection: how
// many are answered, how many are not said to be refused, and whether it is closed.
type ending struct {
	answered, taken int
	closes          bool
}

const underWay = 8 // in a connection that ends

var endings = map[string]ending{
	"closes":                      {0, underWay, true},
	"goes-and-answers":            {underWay, underWay, true},
	"goes-and-answers-half":       {underWay / 2, underWay / 2, false},
	"goes-with-half-and-closes":   {0, underWay / 2, true},
	"goes-without-any-and-closes": {0, 0, true},
}

// heldRequest is a request that waits until there are enough of them.
type heldRequest struct {
	stream uint32
	q      *frameRequest
}

// endsWith makes the first connection end so when enough is under way in it: all of its
// first streams, since the last one that is taken says so of those before it. Bodies
// need not come to their ends in that order.
func (r *framer) endsWith(e ending) {
	var held []heldRequest // in the order of their streams
	over := false
	r.answer = func(c *frameConn, stream uint32, q *frameRequest) {
		if c.number > 1 {
			_ = r.accepts(c, stream, q)
			return
		}
		held = append(held, heldRequest{stream, q}) // of one connection only, which reads them in turn
		slices.SortFunc(held, func(a, b heldRequest) int { return cmp.Compare(a.stream, b.stream) })
		if over || len(held) < underWay || held[underWay-1].stream != 2*underWay-1 {
			return
		}
		over = true
		last := uint32(0)
		for n, h := range held[:e.taken] {
			last = h.stream
			if n >= e.answered {
				h.q.a.Ended = time.Now()
				r.ledger.Tried(h.q.key, h.q.body, h.q.a)
			}
		}
		_ = c.say(func(f *http2.Framer) error { return f.WriteGoAway(last, http2.ErrCodeNo, nil) })
		for _, h := range held[:e.answered] {
			_ = r.accepts(c, h.stream, h.q)
		}
		if e.closes {
			c.ended = true
			_ = c.Conn.(*net.TCPConn).CloseWrite()
		}
	}
}

// endMany delivers messages, many at a time, over a connection that ends.
func endMany(t *testing.T, l *ledger.Ledger, e ending, mutations ...string) (failed float64) {
	t.Helper()
	app := newFramer(t, l, frameFault{name: "demo", ends: patience / 2})
	app.endsWith(e)
	s := newLogged(t)
	s.loadLogged("INFO", s.brokenBy(mutations...), app.site("concurrency 16"))
	var senders sync.WaitGroup
	for sender := range 16 {
		senders.Go(func() {
			client := &http.Client{Transport: &http.Transport{}, Timeout: patience}
			defer client.CloseIdleConnections()
			for n := range 5 {
				key := fmt.Sprintf("%d-%d", sender, n)
				sendTo(t, l, client, "http://"+s.addr+"/demo", key, []byte(key))
			}
		})
	}
	senders.Wait()
	s.settled("demo")
	if app.opened.Load() < 2 {
		t.Error("no connection ended")
	}
	for _, e := range s.entries("attempt failed") {
		t.Logf("attempt %v failed: %v", e["attempt"], e["cause"])
	}
	return s.metric(`caddy_webhook_inbox_attempts_total{endpoint="demo",outcome="retried"}`)
}

// A connection ends while many deliveries are under way in it. None is lost. Those
// that the application said it did not take are repeated and cost no attempt, and no
// other is made twice.
func TestFaultHTTP2ConnectionEnds(t *testing.T) {
	for name, e := range endings {
		t.Run(name, func(t *testing.T) {
			for range rounds(1, 20) {
				l := new(ledger.Ledger)
				failed := endMany(t, l, e)
				l.Measured("failed attempts", failed, float64(e.taken-e.answered))
				report(t, l, ledger.End{})
			}
		})
	}
}

// An engine that takes an attempt for a delivery loses what was under way.
func TestFaultHTTP2ConnectionEndsIsNoticed(t *testing.T) {
	l := new(ledger.Ledger)
	endMany(t, l, endings["closes"], ackBeforeAnswer)
	expectBroken(t, l, ledger.End{}, ledger.Loss)
}

// hangings are what an application does with its first connection, in which nothing
// is answered.
var hangings = map[string]frameFault{
	"takes-one-at-a-time": {greet: func(c *frameConn) {
		_ = c.say(func(f *http2.Framer) error {
			return f.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 1})
		})
	}},
	"takes-many": {},
	"has-no-window": {greet: func(c *frameConn) {
		_ = c.say(func(f *http2.Framer) error {
			return f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		})
	}},
}

// A connection hangs, and the application is well. What is under way in it ends by its
// timeout. If the connection takes one at a time, nobody else is delayed; if it takes
// many, then no longer than an attempt may take, and all is delivered over another.
func TestFaultHTTP2ConnectionHangs(t *testing.T) {
	for name := range hangings {
		t.Run(name, func(t *testing.T) {
			l := new(ledger.Ledger)
			hang(t, l, name)
			report(t, l, ledger.End{})
		})
	}
}

// An engine that takes an attempt for a delivery loses what hangs.
func TestFaultHTTP2ConnectionHangsIsNoticed(t *testing.T) {
	l := new(ledger.Ledger)
	hang(t, l, "takes-many", ackBeforeAnswer)
	expectBroken(t, l, ledger.End{}, ledger.Loss)
}

// hang delivers messages to an application whose first connection hangs.
func hang(t *testing.T, l *ledger.Ledger, name string, mutations ...string) {
	t.Helper()
	noteStalls(t, l, rogueTimeout/8)
	f := hangings[name]
	f.name = "demo"
	f.ends = rogueTimeout / 2
	if name == "takes-one-at-a-time" {
		f.ends = 2 * rogueTimeout
	}
	app := newFramer(t, l, f)
	var others atomic.Int64
	first := make(chan string, 1)
	app.answer = func(c *frameConn, stream uint32, q *frameRequest) {
		if c.number > 1 {
			_ = app.accepts(c, stream, q)
			if q.a.Number == 1 {
				others.Add(1)
			}
			return
		}
		select {
		case first <- q.key:
		default:
		}
		q.a.Ended = time.Now()
		l.Tried(q.key, q.body, q.a)
	}
	s := newServer(t)
	if err := s.tryLoad(s.caddyfile(s.brokenBy(mutations...), app.site("concurrency 4"))); err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{}, Timeout: patience}
	defer client.CloseIdleConnections()
	send := func(n int) {
		key := fmt.Sprint(n)
		sendTo(t, l, client, "http://"+s.addr+"/demo", key, []byte(key))
	}
	send(0)
	if name != "has-no-window" {
		receive(t, first, "the first is under way")
	}
	began := time.Now()
	for n := range 20 {
		send(n + 1)
	}
	if name == "takes-one-at-a-time" {
		eventually(t, "all others are delivered", func() bool { return others.Load() == 20 })
		l.Measured("seconds that others are delayed", time.Since(began).Seconds(), (f.timeout() / 2).Seconds())
	}
	s.settled("demo")
	l.Measured("seconds until all is delivered", time.Since(began).Seconds(), (4*f.timeout() + patience/4).Seconds())
}
