// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue/queuetest/ledger"
)

// hangsFirst makes the application answer nothing in its first connection, and returns
// how many requests there were in that one, and in others.
func (r *framer) hangsFirst() (hung, answered *atomic.Int64) {
	hung, answered = new(atomic.Int64), new(atomic.Int64)
	r.answer = func(c *frameConn, stream uint32, q *frameRequest) {
		if c.number > 1 {
			_ = r.accepts(c, stream, q)
			answered.Add(1)
			return
		}
		hung.Add(1)
		q.a.Ended = time.Now()
		r.ledger.Tried(q.key, q.body, q.a)
	}
	return hung, answered
}

// A connection hangs, while deliveries are always under way in that of another
// upstream. It does not take one attempt after the other: after the first one without
// an answer, and those that were under way with it, it takes no more than one.
func TestFaultHTTP2ConnectionHangsBesideAnother(t *testing.T) {
	const concurrency = 8
	l := new(ledger.Ledger)
	noteStalls(t, l, rogueTimeout/4)
	app, well := newFramer(t, l, frameFault{name: "demo"}), newFramer(t, l, frameFault{name: "demo"})
	hung, answered := app.hangsFirst()
	slow := make(chan bool, 1000) // deliveries that are under way
	well.answer = func(c *frameConn, stream uint32, q *frameRequest) {
		slow <- true
		well.serves.Go(func() {
			defer func() { <-slow }()
			for end := time.Now().Add(200 * time.Millisecond); len(slow) < 2 && time.Now().Before(end); {
				time.Sleep(time.Millisecond) // until there is another one
			}
			_ = well.accepts(c, stream, q)
		})
	}
	s := newServer(t)
	s.load(fmt.Sprintf(`
	webhook_inbox demo {
		verify token X-Webhook-Token secret-token
		message_id header X-Webhook-Id
		attempt_timeout %s
		concurrency %d
		retry {
			backoff 20ms 20ms
		}
		deliver {
			reverse_proxy h2c://%s h2c://%s {
				lb_policy round_robin
			}
		}
	}`, rogueTimeout, concurrency, app.addr, well.addr))
	client := &http.Client{Transport: &http.Transport{}, Timeout: patience}
	defer client.CloseIdleConnections()
	for i := 0; answered.Load() == 0 && hung.Load() < 100; i++ {
		sendTo(t, l, client, "http://"+s.addr+"/", fmt.Sprint(i), []byte("x"))
		time.Sleep(5 * time.Millisecond) // the pace of the sender
	}
	s.settled("demo")
	l.Measured("attempts in a connection that hangs", float64(hung.Load()), concurrency+1)
	report(t, l, ledger.End{})
}

// passthroughSite passes all requests through to the application, which may take so long.
func (r *framer) passthroughSite(mayTake time.Duration) string {
	return fmt.Sprintf(`
	webhook_inbox demo {
		verify none
		dedupe off
		attempt_timeout %s
		passthrough *
		deliver {
			reverse_proxy h2c://%s
		}
	}`, mayTake, r.addr)
}

// A connection hangs, and requests that are passed through it get no answer. They do
// not all: after the first one another connection is opened.
func TestFaultHTTP2ConnectionHangsWithPassthrough(t *testing.T) {
	app := newFramer(t, new(ledger.Ledger), frameFault{name: "demo"})
	hung, _ := app.hangsFirst()
	s := serve(t, app.passthroughSite(rogueTimeout))
	statuses := make(map[int]int)
	for range 10 {
		resp, _ := s.ask("POST", "/", nil, "x")
		statuses[resp.StatusCode]++
	}
	if hung.Load() != 1 || statuses[http.StatusGatewayTimeout] != 1 || statuses[http.StatusNoContent] != 9 {
		t.Errorf("%d requests came to the connection that hangs; the answers: %v", hung.Load(), statuses)
	}
}

// An answer that breaks off is no sign that its connection is well, either.
func TestPassthroughOfBrokenAnswerDoubtsConnections(t *testing.T) {
	app := newFramer(t, new(ledger.Ledger), frameFault{name: "demo"})
	app.answer = func(c *frameConn, stream uint32, q *frameRequest) {
		if c.number > 1 {
			_ = app.accepts(c, stream, q)
			return
		}
		_ = c.header(stream, false, ":status", "200", "content-length", "100")
	}
	s := serve(t, app.passthroughSite(rogueTimeout))
	resp, err := s.trySend("POST", "/", nil, "x")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if data, err := io.ReadAll(resp.Body); err == nil {
		t.Fatalf("the answer is whole: %q", data)
	}
	s.expect(http.StatusNoContent, "POST", "/", nil, "x")
}

// The configuration is replaced while an attempt is under way in HTTP/2, or when it
// has just ended. Its connection is closed with it, and not only when it was idle for
// long, though HTTP/2 still tidies up when the attempt is over.
func TestFaultReloadClosesHTTP2Connections(t *testing.T) {
	for range rounds(5, 100) {
		app := newFramer(t, new(ledger.Ledger), frameFault{name: "demo"})
		came := make(chan bool, 100)
		app.answer = func(*frameConn, uint32, *frameRequest) { came <- true }
		s := newServer(t)
		s.load(strings.Replace(app.site(""), app.fault.timeout().String(), "200ms", 1))
		s.expect(202, "POST", "/demo", tokenHeader("1"), "x")
		receive(t, came, "the attempt")
		s.load("respond 404")
		eventually(t, "the connection is closed", func() bool { return app.open() == 0 })
		s.stop()
	}
}
