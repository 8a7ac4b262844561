// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue/queuetest/ledger"
)

// rogueTimeout is the attempt_timeout of what a rogue lets end by it, and
// rogueBackoff the shortest delay after that.
const (
	rogueTimeout = slowdown * time.Second
	rogueBackoff = 200 * time.Millisecond
)

// A rogue is an application that does to the first attempt of each message what
// its path says, on the bare connection, and answers every further one with 204.
// It writes what it gets into the ledger.
type rogue struct {
	t      *testing.T
	ledger *ledger.Ledger
	addr   string
	faults map[string]rogueFault
	serves sync.WaitGroup
	over   chan struct{} // closed when all messages are settled
	began  sync.Map      // the first attempt, by key
}

// A rogueFault is something that an application does instead of answering.
type rogueFault struct {
	name string
	do   func(*rogueConn)

	delivers bool  // the inbox may take it for an answer with 200
	bytes    int64 // that the application can write at most, before it is not heard any more
	deaf     bool  // the application does not read the body, which is a long one
}

// timeout is the attempt_timeout. What is to be delivered has time for it.
func (f rogueFault) timeout() time.Duration {
	switch {
	case f.delivers:
		return patience / 2
	case f.deaf: // which needs time for a long body
		return 2 * rogueTimeout
	default:
		return rogueTimeout
	}
}

// A rogueConn is a connection that counts what is written to it.
type rogueConn struct {
	net.Conn
	written int64
	over    <-chan struct{}
}

func (c *rogueConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.written += int64(n)
	return n, err
}

func (c *rogueConn) say(text string) { _, _ = io.WriteString(c, text) }

// endlessly says the text until nobody listens.
func (c *rogueConn) endlessly(text string) {
	for {
		if _, err := io.WriteString(c, text); err != nil {
			return
		}
	}
}

// drip says the text again and again, a byte at a time.
func (c *rogueConn) drip(text string) {
	for n := 0; ; n++ {
		if _, err := c.Write([]byte{text[n%len(text)]}); err != nil {
			return
		}
		time.Sleep(20 * time.Millisecond) // the pace of the attack
	}
}

// hang waits until nobody listens.
func (c *rogueConn) hang() { _, _ = io.Copy(io.Discard, c.Conn) }

// doze reads nothing until all messages are settled.
func (c *rogueConn) doze() { <-c.over }

// reset makes the end of the connection a reset.
func (c *rogueConn) reset() { _ = c.Conn.(*net.TCPConn).SetLinger(0) }

func newRogue(t *testing.T, l *ledger.Ledger, faults []rogueFault) *rogue {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &rogue{t: t, ledger: l, addr: listener.Addr().String(), faults: make(map[string]rogueFault), over: make(chan struct{})}
	for _, f := range faults {
		r.faults["/"+f.name] = f
	}
	t.Cleanup(func() {
		listener.Close()
		r.serves.Wait() // what hangs has a deadline
	})
	r.serves.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // closed
			}
			r.serves.Go(func() { r.serve(&rogueConn{Conn: conn, over: r.over}) })
		}
	})
	return r
}

// serve answers one request.
func (r *rogue) serve(conn *rogueConn) {
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	_ = conn.Conn.(*net.TCPConn).SetWriteBuffer(1 << 20)
	_ = conn.Conn.(*net.TCPConn).SetReadBuffer(1 << 20)
	req, err := http.ReadRequest(bufio.NewReader(conn.Conn))
	if err != nil {
		return
	}
	key, a, f := keyOf(req), attemptOf(req), r.faults[req.URL.Path]
	first, again := r.began.LoadOrStore(key, a.Began)
	body := longBody
	if again || !f.deaf {
		if body, err = io.ReadAll(req.Body); err != nil {
			return
		}
	}
	a.Ended = time.Now() // at the earliest
	if again {
		took := a.Ended.Sub(first.(time.Time)).Seconds()
		r.ledger.Measured("seconds from "+f.name+" to the next attempt", took, (f.timeout() + 2*rogueBackoff + patience/2).Seconds())
		a.Status = http.StatusNoContent
		r.ledger.Tried(key, body, a)
		conn.say("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
		return
	}
	if f.delivers {
		a.Status = http.StatusOK
		r.ledger.Tried(key, body, a)
	}
	f.do(conn)
	conn.Close()
	if !f.delivers && !f.deaf {
		r.ledger.Tried(key, body, a)
	}
	r.ledger.Measured("bytes written by "+f.name, float64(conn.written), float64(f.bytes+socketBuffers))
	r.t.Logf("%s: %v, %d KiB", f.name, time.Since(a.Began).Round(time.Millisecond), conn.written>>10)
}

// longBody does not fit into the buffers of a connection.
var longBody = bytes.Repeat([]byte("x"), 6<<20)

// socketBuffers is what the kernel takes of an answer that nobody reads. Ours is
// bounded, and it may grow that of the inbox.
const socketBuffers = 12 << 20

// rogueSite is an endpoint for each fault, so that none is in an outage because of
// another, and the one of a bystander.
func rogueSite(r *rogue, faults []rogueFault, bystander string) string {
	const endpoint = `
	handle /%[1]s {
		webhook_inbox %[1]s {
			verify token X-Webhook-Token secret-token
			message_id header X-Webhook-Id
			attempt_timeout %[3]s
			retry {
				backoff %[4]s
			}
			deliver %[2]s
		}
	}
`
	site := fmt.Sprintf(endpoint, "bystander", bystander, patience, 2*rogueBackoff)
	for _, f := range faults {
		site += fmt.Sprintf(endpoint, f.name, r.addr, f.timeout(), 2*rogueBackoff)
	}
	return site
}

// attack sends each fault a message of its own, and waits until nothing waits. An
// inbox without mutations must then hold no more than before.
func attack(t *testing.T, l *ledger.Ledger, faults []rogueFault, mutations ...string) {
	t.Helper()
	noteStalls(t, l, rogueTimeout/4)
	r, other := newRogue(t, l, faults), newBystander(t, l)
	s := newServer(t)
	if err := s.tryLoad(s.caddyfile(s.brokenBy(mutations...), rogueSite(r, faults, other.app.addr))); err != nil {
		t.Fatal(err)
	}
	before := takeResources()
	most := watchMemory(t)
	other.start(s, "/bystander")
	// Without Accept-Encoding, for which the transport of a delivery would ask for
	// gzip and unpack it.
	client := &http.Client{Transport: &http.Transport{DisableCompression: true}, Timeout: patience}
	turns := rounds(1, 20)
	if len(mutations) > 0 {
		turns = 1 // more would be an outage, of which nothing is noticed
	}
	for round := range turns {
		for _, f := range faults {
			key := fmt.Sprintf("%s-%d", f.name, round)
			body := []byte(key)
			if f.deaf {
				body = longBody
			}
			sendTo(t, l, client, "http://"+s.addr+"/"+f.name, key, body)
		}
		for _, f := range faults {
			s.settled(f.name)
		}
	}
	close(r.over)
	other.finish(2 * time.Second)
	l.Measured("MiB of memory", float64(most()-before.heap)/(1<<20), 256)
	client.CloseIdleConnections()
	if len(mutations) > 0 {
		return
	}
	other.app.hangUp() // a connection that is kept has goroutines on both sides
	now := takeResources()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline) && now.goroutines > before.goroutines+5; now = takeResources() {
		time.Sleep(5 * time.Millisecond)
	}
	l.Measured("goroutines", float64(now.goroutines), float64(before.goroutines+5))
	l.Measured("open files", float64(now.files), float64(before.files+rounds(5, 40))) // the engine's too
}

// Whatever an application does with an attempt, the attempt ends in its time,
// little of an answer without end is read, and memory does not grow. Only a whole
// answer with 2xx is a delivery, or one of which only the end of the body is
// missing that would have been thrown away; anything else is tried again, after its
// backoff. Nobody else is delayed.
func TestFaultApplication(t *testing.T) {
	l := &ledger.Ledger{Backoff: rogueBackoff}
	var trapped atomic.Int64
	trap := newApplication(t)
	trap.handle = func(http.ResponseWriter, *http.Request, []byte) { trapped.Add(1) }
	faults := rogueFaults(trap.addr)
	attack(t, l, faults)
	l.Measured("redirects that were followed", float64(trapped.Load()), 0)
	counts := report(t, l, ledger.End{})
	if want := rounds(1, 20) * len(faults); counts.Delivered < want {
		t.Errorf("%d messages were delivered, want the %d of the faults and those of the bystander", counts.Delivered, want)
	}
}

// An engine that hands out one message at a time has everybody wait for applications
// that hang.
func TestFaultApplicationDelaysOthersIsNoticed(t *testing.T) {
	l := new(ledger.Ledger)
	hang := func(c *rogueConn) { c.hang() }
	attack(t, l, []rogueFault{{name: "a", do: hang}, {name: "b", do: hang}, {name: "c", do: hang}, {name: "d", do: hang}}, oneAtATime)
	expectBroken(t, l, ledger.End{}, ledger.Growth)
}

// An engine that takes an attempt for a delivery loses messages here, and one that
// forgets to wait is noticed.
func TestFaultApplicationIsNoticed(t *testing.T) {
	for mutation, broken := range map[string]ledger.Invariant{
		ackBeforeAnswer: ledger.Loss,
		ignoresBackoff:  ledger.Haste,
	} {
		t.Run(mutation, func(t *testing.T) {
			l := &ledger.Ledger{Backoff: rogueBackoff}
			attack(t, l, []rogueFault{
				{name: "closes", do: func(*rogueConn) {}},
				{name: "says-500", do: func(c *rogueConn) { c.say("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n") }},
			}, mutation)
			expectBroken(t, l, ledger.End{}, broken)
		})
	}
}
