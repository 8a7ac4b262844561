// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/caddy-webhook-inbox/inbox/caddymodule"
	"github.com/caddy-webhook-inbox/inbox/queue"
	"github.com/caddy-webhook-inbox/inbox/queue/queuetest/ledger"
)

// Four times as many senders come at once as there is memory for their bodies, of a
// megabyte each, while the disk first hangs and then is slow. Memory stays within its bound; who is
// answered 503 is told when to come again, is accepted then, and whatever was
// accepted is delivered.
func TestFaultOverload(t *testing.T) {
	t.Parallel()
	l := new(ledger.Ledger)
	refused := overload(t, l, "32MiB", "", 64)
	report(t, l, ledger.End{})
	if refused == 0 {
		t.Error("nobody was refused: that is no overload")
	}
}

// Without a bound twice that load takes so much memory that the ledger says so.
func TestFaultOverloadWithoutABound(t *testing.T) {
	t.Parallel()
	needsMemory(t)
	l := new(ledger.Ledger)
	overload(t, l, "8GiB", "", 128)
	expectBroken(t, l, ledger.End{}, ledger.Growth)
}

// An engine that accepts, under overload, what it does not store loses messages.
func TestFaultOverloadLoses(t *testing.T) {
	t.Parallel()
	l := new(ledger.Ledger)
	overload(t, l, "32MiB", "loses", 64)
	expectBroken(t, l, ledger.End{}, ledger.Loss)
}

// overload has bodies of a megabyte sent by many at once: 64 are four times as many
// as 32 MiB of max_in_flight let in, of which an endpoint has half. It returns how
// many requests were answered 503.
func overload(t *testing.T, l *ledger.Ledger, inFlight, mutation string, sending int) (refused int) {
	app := witness(t, l, nil)
	s := newServer(t)
	options := fmt.Sprintf("webhook_inbox {\n queue slow \"%s\" %s {\n min_free_space 64MiB\n }\n max_in_flight %s\n }", mutation, s.dir, inFlight)
	// What was delivered is erased, since no disk would hold it: 4 messages of a MiB in
	// 20 ms are 12 GB in a minute.
	p := startCaddy(t, s, s.caddyfile(options, retrySite(app.addr, "retain 0")))
	for n := range 20 { // which makes the memory that it takes anyway
		id := fmt.Sprint("warm", n)
		l.Sent(id, []byte(id))
		l.Answered(id, s.send("POST", "/", tokenHeader(id), id).StatusCode)
	}
	before, files := p.memory().anon, p.openFiles()

	var mu sync.Mutex
	most, waits := before, make(map[string]int)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	hangs := s.dir + ".hangs"
	if err := os.WriteFile(hangs, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		for ctx.Err() == nil {
			most = max(most, p.memory().anon)
			pause(ctx, 10*time.Millisecond)
		}
	}()
	var senders sync.WaitGroup
	for sender := range sending {
		senders.Go(func() {
			client := &http.Client{Transport: &http.Transport{}, Timeout: patience}
			defer client.CloseIdleConnections()
			for n := 0; ctx.Err() == nil; n++ {
				id := fmt.Sprintf("%d-%d", sender, n)
				for status := 0; status != http.StatusAccepted; {
					var wait string
					status, wait = sendLarge(t, l, client, s.addr, id)
					mu.Lock()
					if waits[wait]++; status == http.StatusServiceUnavailable {
						refused++
					}
					mu.Unlock()
					if status != http.StatusAccepted {
						time.Sleep(20 * time.Millisecond)
					}
				}
			}
		})
	}
	eventually(t, "everybody waits for the disk, or was refused", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return refused > 2*sending || s.metric("caddy_webhook_inbox_receiving_bytes") > float64(sending-1)*(1<<20)
	})
	if err := os.Remove(hangs); err != nil {
		t.Fatal(err)
	}
	pause(ctx, time.Duration(rounds(500, 60_000))*time.Millisecond)
	stop()
	senders.Wait()
	<-watched
	rest(t, s, "demo")
	eventually(t, "the connections are closed", func() bool { return p.openFiles() < files+50 })
	delete(waits, "")
	t.Logf("%.0f MiB before, %.0f MiB at most; %d times 503, with Retry-After of %v", before, most, refused, waits)
	if refused > 50 && len(waits) < 3 {
		t.Errorf("all who are refused are told to come again at the same time: %v", waits)
	}
	measureMemory(l, most-before, 4*32)
	return refused
}

// sendLarge sends a webhook of a megabyte, and returns how it is answered.
func sendLarge(t *testing.T, l *ledger.Ledger, client *http.Client, addr, id string) (status int, retryAfter string) {
	body := bytes.Repeat([]byte(id+"."), (1<<20)/(len(id)+1))
	l.Sent(id, body)
	defer func() { l.Answered(id, status) }()
	r, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+addr+"/", bytes.NewReader(body))
	if err != nil {
		return 0, ""
	}
	r.Header = tokenHeader(id)
	resp, err := client.Do(r)
	if err != nil {
		return 0, "" // it was refused, and the connection closed, while it was sent
	}
	defer resp.Body.Close()
	after := resp.Header.Get("Retry-After")
	if (resp.StatusCode == http.StatusServiceUnavailable) != (after != "") {
		t.Errorf("status %d with Retry-After %q", resp.StatusCode, after)
	}
	return resp.StatusCode, after
}

// When the memory for bodies is taken, a sender that waits for the word to send its
// body is told at once that there is no room, and the word never comes.
func TestFaultOverloadIsToldBeforeTheBody(t *testing.T) {
	app := newApplication(t)
	s := newServer(t)
	if err := s.tryLoad(s.caddyfile(s.inFlight("64KiB"), fmt.Sprintf(tokenSite, app.addr))); err != nil {
		t.Fatal(err)
	}
	const head = "POST / HTTP/1.1\r\nHost: h\r\nX-Webhook-Token: secret-token\r\nX-Webhook-Id: %s\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n"
	stalled, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer stalled.Close()
	if _, err := io.WriteString(stalled, fmt.Sprintf(head, "1")+strings.Repeat("x", 20<<10)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the half of the endpoint is taken", func() bool { return s.metric("caddy_webhook_inbox_receiving_bytes") == 32<<10 })
	resp := s.raw(t, http.StatusServiceUnavailable, fmt.Sprintf(head, "2"))
	if resp.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	app.none()
	stalled.Close()
	eventually(t, "the memory is given back", func() bool { return s.metric("caddy_webhook_inbox_receiving_bytes") == 0 })
	s.expect(202, "POST", "/", tokenHeader("2"), strings.Repeat("x", 20<<10))
	if d := app.next(); d.Header.Get("X-Webhook-Id") != "2" {
		t.Errorf("delivered %+v", d)
	}
}

func init() {
	if os.Getenv(asCaddy) != "" { // and no test finds it
		caddy.RegisterModule(new(slowEngine))
	}
}

// slowEngine is the Badger engine on a disk that takes four messages at a time, and
// 20 ms for them, and hangs while there is a file <directory>.hangs. With the mutation "loses", one in ten is accepted and not stored.
type slowEngine struct {
	caddymodule.BadgerEngine

	Loses bool `json:"loses,omitempty"`
}

func (*slowEngine) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "webhook_inbox.queues.slow",
		New: func() caddy.Module { return new(slowEngine) },
	}
}

// UnmarshalCaddyfile reads
//
//	slow "<mutation>" [<directory>] { <as of badger> }
func (e *slowEngine) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // its name
	if !d.NextArg() {
		return d.ArgErr()
	}
	e.Loses = d.Val() == "loses"
	d.Prev() // the rest is that of badger, whose name the mutation stands for
	return e.BadgerEngine.UnmarshalCaddyfile(d)
}

func (e *slowEngine) Open(o caddymodule.EngineObserver, log *zap.Logger) (queue.Queue, error) {
	q, err := e.BadgerEngine.Open(o, log)
	if err != nil {
		return nil, err
	}
	return &slowQueue{Queue: q, engine: e, disk: make(chan int, 4)}, nil
}

func (e *slowEngine) Configure(q queue.Queue) { e.BadgerEngine.Configure(q.(*slowQueue).Queue) }

func (e *slowEngine) Health(q queue.Queue) caddymodule.Health {
	return e.BadgerEngine.Health(q.(*slowQueue).Queue)
}

type slowQueue struct {
	queue.Queue
	engine *slowEngine
	disk   chan int // who writes

	mu        sync.Mutex
	published int
}

func (q *slowQueue) Publish(ctx context.Context, p queue.Publication) (queue.Receipt, error) {
	select {
	case q.disk <- 1:
	case <-ctx.Done():
		return queue.Receipt{}, ctx.Err()
	}
	defer func() { <-q.disk }()
	for _, hangs := os.Stat(q.engine.Dir() + ".hangs"); hangs == nil && ctx.Err() == nil; _, hangs = os.Stat(q.engine.Dir() + ".hangs") {
		pause(ctx, 5*time.Millisecond)
	}
	time.Sleep(20 * time.Millisecond)
	q.mu.Lock()
	q.published++
	lost := q.engine.Loses && q.published%10 == 0
	q.mu.Unlock()
	if lost {
		return queue.Receipt{Outcome: queue.Accepted, ID: p.Message.ID}, nil
	}
	return q.Queue.Publish(ctx, p)
}
