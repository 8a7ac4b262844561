// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue/queuetest/ledger"
)

// An attacker sends heads of requests that are larger than Caddy's max_header_size, of
// one long field or of many, with credentials and over many connections. They are
// refused, memory stays within its bound, and what is smaller is delivered as a whole.
func TestAttackHeaderFlood(t *testing.T) {
	t.Parallel()
	l := new(ledger.Ledger)
	floodWithHeads(t, l, "1MiB")
	report(t, l, ledger.End{})
}

// The test before would notice a Caddy that keeps the heads that come.
func TestAttackHeaderFloodIsNoticed(t *testing.T) {
	t.Parallel()
	needsMemory(t)
	l := new(ledger.Ledger)
	floodWithHeads(t, l, "256MiB")
	expectBroken(t, l, ledger.End{}, ledger.Growth)
}

const floodHead = "POST / HTTP/1.1\r\nHost: h\r\nX-Webhook-Token: secret-token\r\nX-Webhook-Id: 1\r\nContent-Length: 1\r\n"

func floodWithHeads(t *testing.T, l *ledger.Ledger, maxHeader string) {
	t.Helper()
	const attackers = 8
	app := newApplication(t)
	s := newServer(t)
	p := startCaddy(t, s, s.caddyfile("servers {\n max_header_size "+maxHeader+"\n }", retrySite(app.addr, "")))
	if maxHeader == "1MiB" { // which is Caddy's own
		s.raw(t, 431, floodHead+"X-Long: "+strings.Repeat("x", 2<<20)+"\r\n\r\nx")
		s.raw(t, 431, floodHead+strings.Repeat("X-Many: x\r\n", 200_000)+"\r\nx")
	}
	s.raw(t, 202, floodHead+strings.Repeat("X-Many: x\r\n", 1000)+"\r\nx")
	if n := len(app.next().Header["X-Many"]); n != 1000 {
		t.Errorf("%d of 1000 values were delivered", n)
	}

	before := p.memory().anon
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var all sync.WaitGroup
	var heads, sent atomic.Int64
	for n := range attackers {
		field := []string{"X-Many: x\r\n", strings.Repeat("x", 11)}[n%2]
		piece := strings.Repeat(field, 64<<10/len(field))
		all.Go(func() {
			for ctx.Err() == nil {
				sent.Add(sendHead(ctx, s.addr, piece, 16<<20))
				heads.Add(1)
			}
		})
	}
	// A head of many fields takes some times its size when it is read, and the
	// collector of garbage lets what is taken double.
	const bound = 2*attackers*4 + 48
	most := p.memory().anon
	until := time.Now().Add(time.Duration(rounds(1, 60)) * time.Second)
	inTime(t, time.Minute+patience, "the flood is over", func() bool {
		most = max(most, p.memory().anon)
		return time.Now().After(until) && heads.Load() >= 3*attackers || most-before > bound
	})
	stop()
	all.Wait()
	if sent.Load() < attackers<<20 {
		t.Errorf("that is no flood: %d heads of %d MiB in all", heads.Load(), sent.Load()>>20)
	}
	t.Logf("%d heads, %d MiB; memory %.0f MiB before, %.0f MiB at most", heads.Load(), sent.Load()>>20, before, most)
	measureMemory(l, most-before, bound)
	s.settled("demo")
	app.none()
}

// sendHead sends a head that does not end before it has the size, and waits for the
// end of the connection. It returns how much was sent.
func sendHead(ctx context.Context, addr, piece string, size int64) int64 {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return 0
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	head := &countedConn{Conn: conn}
	_, err = io.WriteString(head, floodHead+"X-Long: ")
	for err == nil && head.written < size {
		_, err = io.WriteString(head, piece)
	}
	if err == nil {
		_, _ = io.WriteString(head, "\r\n\r\n")
		_, _ = conn.Read(make([]byte, 1))
	}
	return head.written
}

// Hundreds of connections drip the head of a request, a byte now and then. Each is
// closed when the head has taken as long as read_header allows, however often a byte
// comes; memory stays within its bound, and others are served meanwhile.
func TestAttackSlowHeads(t *testing.T) {
	t.Parallel()
	l := new(ledger.Ledger)
	dripHeads(t, l, "timeouts {\n read_header 1s\n }", patience)
	report(t, l, ledger.End{})
}

// It is so with the minute that Caddy allows if nobody says how long.
func TestAttackSlowHeadsByDefault(t *testing.T) {
	t.Parallel()
	if !faultsAreLong {
		t.Skip("it is for -tags faults: Caddy waits a minute")
	}
	l := new(ledger.Ledger)
	dripHeads(t, l, "", time.Minute+patience)
	report(t, l, ledger.End{})
}

// The tests before would notice a Caddy that goes on waiting.
func TestAttackSlowHeadsIsNoticed(t *testing.T) {
	t.Parallel()
	l := new(ledger.Ledger)
	dripHeads(t, l, "timeouts {\n read_header 1h\n }", 2*time.Second) // no longer: they stay
	expectBroken(t, l, ledger.End{}, ledger.Growth)
}

// dripHeads notes how many connections are not closed within the time.
func dripHeads(t *testing.T, l *ledger.Ledger, options string, within time.Duration) {
	t.Helper()
	connections := rounds(200, 1000)
	app := witness(t, l, nil)
	s := newServer(t)
	p := startCaddy(t, s, s.caddyfile("servers {\n "+options+"\n }", retrySite(app.addr, "")))
	warm := startTraffic(t, l, s.addr, "warm", 4)
	eventually(t, "it is warm", func() bool { return l.Counts().Accepted > 200 })
	warm.finish(s.addr)
	before := p.memory().anon

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var all sync.WaitGroup
	var sent, open atomic.Int64
	for range connections {
		conn, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		open.Add(1)
		all.Go(func() {
			defer conn.Close()
			head := &countedConn{Conn: conn}
			_, err := io.WriteString(head, floodHead+"X-Slow: ")
			for err == nil && ctx.Err() == nil {
				err = drip(ctx, head, "x")
			}
			sent.Add(head.written)
			if ctx.Err() == nil {
				open.Add(-1)
			}
		})
	}
	accepted, most := l.Counts().Accepted, p.memory().anon
	tr := startTraffic(t, l, s.addr, "meanwhile", 2)
	eventually(t, "others are served", func() bool {
		most = max(most, p.memory().anon)
		return l.Counts().Accepted > accepted+20
	})
	for deadline := time.Now().Add(within); open.Load() > 0 && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		most = max(most, p.memory().anon)
	}
	held := open.Load()
	stop()
	all.Wait()
	tr.finish(s.addr)
	rest(t, s, "demo")
	if least := int64(connections * len(floodHead)); sent.Load() < least+int64(connections) {
		t.Errorf("that is no attack: %d bytes were sent", sent.Load())
	}
	t.Logf("%d connections sent %d bytes; memory %.0f MiB before, %.0f MiB at most", connections, sent.Load(), before, most)
	l.Measured("connections that outlast read_header", float64(held), 0)
	measureMemory(l, most-before, 2*(16+float64(connections)*overHTTP1.kib/1024)+48)
}
