// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue/queuetest/ledger"
)

// memorySite has an endpoint that everyone may send to, with bodies as large as
// said, and beside it that of startTraffic.
func memorySite(app, maxBody string) string {
	return fmt.Sprintf(`
	handle /open* {
		webhook_inbox open {
			verify none
			dedupe off
			max_body %[2]s
			read_timeout 1m
			deliver %[1]s
		}
	}
	handle {
		%[3]s
	}
`, app, maxBody, fmt.Sprintf(tokenSite, app))
}

// inFlight are global options with a bound of the memory of bodies.
func (s *server) inFlight(most string) string {
	return "servers {\n protocols h1 h2c\n }\n" +
		"webhook_inbox {\n queue badger " + s.dir + " {\n min_free_space 64MiB\n }\n max_in_flight " + most + "\n }"
}

// Hundreds of connections drip their bodies or heads, others send bodies without end, in
// chunks or announced, with credentials or without. Memory stays within its bound, others
// are served meanwhile and lose nothing, and what the attackers held is given back.
func TestAttackSlowAndEndlessBodies(t *testing.T) {
	t.Parallel()
	l := new(ledger.Ledger)
	attackWithBodies(t, l, overHTTP1, "16MiB", rounds(200, 2000), 0)
	report(t, l, ledger.End{})
}

// Without a bound the same attack takes so much that the ledger says so.
func TestAttackSlowAndEndlessBodiesWithoutABound(t *testing.T) {
	t.Parallel()
	needsMemory(t)
	l := new(ledger.Ledger)
	attackWithBodies(t, l, overHTTP1, "8GiB", 200, 150<<20)
	expectBroken(t, l, ledger.End{}, ledger.Growth)
}

// A bodyAttack sends bad bodies over one connection.
type bodyAttack struct {
	run func(ctx context.Context, addr string, n int) (sent int64)
	kib float64 // that a connection takes of Caddy's beside max_in_flight
}

var overHTTP1 = bodyAttack{
	run: func(ctx context.Context, addr string, n int) int64 { return badBodies[n%len(badBodies)].run(ctx, addr) },
	kib: 50,
}

// attackWithBodies goes on until the attackers have been given as many bytes at once
// as held says.
func attackWithBodies(t *testing.T, l *ledger.Ledger, attack bodyAttack, inFlight string, connections int, held float64) {
	app := witness(t, l, nil)
	s := newServer(t)
	p := startCaddy(t, s, s.caddyfile(s.inFlight(inFlight), memorySite(app.addr, "8MiB")))
	warm := startTraffic(t, l, s.addr, "warm", 8)
	eventually(t, "it is warm", func() bool { return l.Counts().Accepted > 200 })
	warm.finish(s.addr)
	before := l.Counts().Accepted
	memoryBefore, filesBefore := p.memory().anon, p.openFiles()

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var attackers sync.WaitGroup
	var sent, begun atomic.Int64
	for n := range connections {
		attackers.Go(func() {
			for ctx.Err() == nil {
				begun.Add(1)
				sent.Add(attack.run(ctx, s.addr, n))
				pause(ctx, 200*time.Millisecond)
			}
		})
	}
	most, taken := p.memory().anon, 0.0
	tr := startTraffic(t, l, s.addr, "meanwhile", 4)
	for deadline := time.Now().Add(time.Duration(rounds(1, 60)) * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		most = max(most, p.memory().anon)
	}
	inTime(t, 3*patience, "the attackers hold what they can", func() bool {
		most = max(most, p.memory().anon)
		taken = max(taken, s.metric("caddy_webhook_inbox_receiving_bytes"))
		return taken >= max(held, 1<<20) && most-memoryBefore >= held/(1<<20) // it is also written to
	})
	eventually(t, "others are served", func() bool { return l.Counts().Accepted > before+20 })
	stop()
	attackers.Wait()
	tr.finish(s.addr)
	rest(t, s, "demo")
	eventually(t, "the memory of the bodies is given back", func() bool { return s.metric("caddy_webhook_inbox_receiving_bytes") == 0 })
	eventually(t, "the connections of the attackers are closed", func() bool { return p.openFiles() < filesBefore+50 })

	if sent.Load() < int64(connections)<<10 || begun.Load() < int64(connections) || taken == 0 {
		t.Errorf("that is no attack: %d requests, %d bytes, of which %v were held at once", begun.Load(), sent.Load(), taken)
	}
	t.Logf("%d connections sent %d MiB in %d requests; memory %.0f MiB before, %.0f MiB at most", connections, sent.Load()>>20, begun.Load(), memoryBefore, most)
	// The collector of garbage lets what is taken double.
	measureMemory(l, most-memoryBefore, 2*(16+float64(connections)*attack.kib/1024)+48)
}

// measureMemory notes by how many MiB a process has grown, unless the race detector
// takes memory of its own for each byte.
func measureMemory(l *ledger.Ledger, grown, bound float64) {
	if slowdown == 1 {
		l.Measured("MiB of memory", grown, bound)
	}
}

func needsMemory(t *testing.T) {
	t.Helper()
	if slowdown > 1 {
		t.Skip("needs a build without the race detector, which takes memory of its own")
	}
}

// A badBody is a request whose body is bad. The run ends with the connection.
type badBody struct {
	name, head string
	body       func(ctx context.Context, conn net.Conn) error // sends all of it
}

const wrongToken = "POST /demo HTTP/1.1\r\nHost: h\r\nX-Webhook-Token: wrong\r\n"

var badBodies = []badBody{
	{"dripped", "POST /open HTTP/1.1\r\nHost: h\r\nContent-Length: 8388608\r\n\r\n", dripped},
	{"dripped chunks", "POST /open HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", drippedChunks},
	{"much, and then nothing", "POST /open HTTP/1.1\r\nHost: h\r\nContent-Length: 8388608\r\n\r\n", muchAndNothing},
	{"chunks without end", "POST /open HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", endlessChunks},
	{"chunks without end nor token", wrongToken + "Transfer-Encoding: chunked\r\n\r\n", endlessChunks},
	{"nothing, without a token", wrongToken + "Content-Length: 8388608\r\n\r\n", dripped},
	{"no body, but a head without end", "POST /open HTTP/1.1\r\nHost: h\r\nX-Slow: ", dripped},
}

// run returns how many bytes were sent until the connection was closed.
func (a badBody) run(ctx context.Context, addr string) int64 {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return 0
	}
	counted := &countedConn{Conn: conn}
	ended := context.AfterFunc(ctx, func() { conn.Close() })
	defer ended()
	defer conn.Close()
	go func() { // the answer ends the attack
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err == nil && resp.StatusCode != http.StatusContinue {
			conn.Close()
		}
	}()
	if _, err := io.WriteString(counted, a.head); err == nil {
		_ = a.body(ctx, counted)
	}
	return counted.written
}

type countedConn struct {
	net.Conn
	written int64
}

func (c *countedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.written += int64(n)
	return n, err
}

func dripped(ctx context.Context, conn net.Conn) error { return drip(ctx, conn, "x") }

func drippedChunks(ctx context.Context, conn net.Conn) error { return drip(ctx, conn, "1\r\nx\r\n") }

func drip(ctx context.Context, conn net.Conn, drop string) error {
	for ctx.Err() == nil {
		if _, err := io.WriteString(conn, drop); err != nil {
			return err
		}
		pause(ctx, 50*time.Millisecond)
	}
	return ctx.Err()
}

// pause leaves some of the processor to who is attacked.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

func muchAndNothing(ctx context.Context, conn net.Conn) error {
	if _, err := io.WriteString(conn, strings.Repeat("x", 6<<20)); err != nil {
		return err
	}
	return drip(ctx, conn, "x")
}

func endlessChunks(ctx context.Context, conn net.Conn) error {
	chunk := fmt.Sprintf("%x\r\n%s\r\n", 64<<10, strings.Repeat("x", 64<<10))
	for ctx.Err() == nil {
		if _, err := io.WriteString(conn, chunk); err != nil {
			return err
		}
		pause(ctx, 5*time.Millisecond)
	}
	return ctx.Err()
}

// systemBuffers is what the system takes of a connection at most, on both sides,
// before who sends has to wait.
func systemBuffers(t *testing.T) (most int64) {
	t.Helper()
	for _, of := range []string{"tcp_rmem", "tcp_wmem"} {
		data, err := os.ReadFile("/proc/sys/net/ipv4/" + of)
		if err != nil {
			t.Fatal(err)
		}
		var least, usual, max int64
		if _, err := fmt.Sscan(string(data), &least, &usual, &max); err != nil {
			t.Fatalf("reading %s: %v", of, err)
		}
		most += max
	}
	return most
}

// A body of 10 GB in chunks is refused once it is larger than max_body, and what the
// attacker goes on sending is not read: Argo Workflows kept all of it before it looked
// at the signature (CVE-2026-42294). Without credentials none of it is read.
func TestAttackBodyOf10GB(t *testing.T) {
	t.Parallel()
	app := newApplication(t)
	s := newServer(t)
	p := startCaddy(t, s, s.caddyfile(s.inFlight("64MiB"), memorySite(app.addr, "8MiB")))
	before := p.memory().anon
	type attack struct {
		head   string
		status int
		most   int64 // of 10 GB that can be sent, with what is in buffers of the system
	}
	tooLarge := attack{badBodies[3].head, http.StatusRequestEntityTooLarge, 10<<20 + systemBuffers(t)}
	unknown := attack{badBodies[4].head, http.StatusUnauthorized, 2<<20 + systemBuffers(t)}
	cases, unheard := []attack{tooLarge, unknown, tooLarge, unknown}, 0
	for _, c := range cases {
		conn, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		answered := make(chan int, 1)
		go func() {
			status := 0
			if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err == nil {
				status = resp.StatusCode
			}
			answered <- status
		}()
		counted := &countedConn{Conn: conn}
		_, err = io.WriteString(counted, c.head)
		chunk := fmt.Sprintf("%x\r\n%s\r\n", 1<<20, strings.Repeat("x", 1<<20))
		for err == nil && counted.written < 10<<30 {
			_, err = io.WriteString(counted, chunk)
		}
		if err == nil || errors.Is(err, os.ErrDeadlineExceeded) || counted.written > c.most {
			t.Errorf("%d MiB could be sent (%v), want the connection closed after %d MiB", counted.written>>20, err, c.most>>20)
		}
		if status := receive(t, answered, "it is answered"); status != c.status && status != 0 {
			t.Errorf("status %d, want %d", status, c.status)
		} else if status == 0 { // what is sent into a closed connection takes the answer back
			unheard++
		}
	}
	if unheard > len(cases)/2 {
		t.Errorf("%d of %d attackers were not answered", unheard, len(cases))
	}
	s.settled("demo")
	app.none()
	if grown := p.memory().anon - before; grown > 64*slowdown*slowdown {
		t.Errorf("the memory has grown by %.0f MiB", grown)
	}
}
