// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue/queuetest/ledger"
)

// fickleFaults is what an application does with a connection that it has answered
// one request in.
var fickleFaults = map[string]func(net.Conn, *bufio.Reader){
	"closes-at-once": func(net.Conn, *bufio.Reader) {},
	"closes-at-the-next-request": func(_ net.Conn, r *bufio.Reader) {
		_, _ = r.Peek(1)
	},
	"resets-at-the-next-request": func(c net.Conn, r *bufio.Reader) {
		_, _ = r.Peek(1)
		_ = c.(*net.TCPConn).SetLinger(0)
	},
	"closes-after-the-next-request": func(_ net.Conn, r *bufio.Reader) {
		if req, err := http.ReadRequest(r); err == nil {
			_, _ = io.Copy(io.Discard, req.Body)
		}
	},
}

// fickle is an application that says that it keeps its connections, and does not.
type fickle struct {
	ledger *ledger.Ledger
	addr   string
	fault  func(net.Conn, *bufio.Reader)
	serves sync.WaitGroup
	conns  sync.Map // that were accepted
}

func newFickle(t *testing.T, l *ledger.Ledger, fault func(net.Conn, *bufio.Reader)) *fickle {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fickle{ledger: l, addr: listener.Addr().String(), fault: fault}
	f.serves.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // closed
			}
			f.conns.Store(conn, true)
			f.serves.Go(func() { f.serve(conn) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		f.conns.Range(func(conn, _ any) bool { conn.(net.Conn).Close(); return true })
		f.serves.Wait()
	})
	return f
}

func (f *fickle) serve(conn net.Conn) {
	defer func() {
		conn.Close()
		f.conns.Delete(conn)
	}()
	reader := bufio.NewReader(conn)
	r, err := http.ReadRequest(reader)
	if err != nil {
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	a := attemptOf(r)
	a.Ended, a.Status = a.Began, http.StatusNoContent
	f.ledger.Tried(keyOf(r), body, a)
	fmt.Fprint(conn, "HTTP/1.1 204 No Content\r\n\r\n")
	f.fault(conn, reader)
}

// An application closes a connection that it kept alive just when the next request
// comes. Nothing is lost, nothing is delivered twice, and it costs no attempt: a
// request that got no answer in a connection that had been used is sent once more
// in a new one. (So an application may read an attempt twice that it answers once,
// which is why the ledger has the answered ones only.)
func TestFaultApplicationClosesKeptConnections(t *testing.T) {
	l := new(ledger.Ledger)
	closesKeptConnections(t, l, rounds(50, 5000))
	if counts := report(t, l, ledger.End{}); counts.Delivered != counts.Sent {
		t.Errorf("that is no load: %+v", counts)
	}
}

func closesKeptConnections(t *testing.T, l *ledger.Ledger, messages int, mutations ...string) {
	t.Helper()
	apps, site := make(map[string]*fickle), ""
	for name, fault := range fickleFaults {
		apps[name] = newFickle(t, l, fault)
		site += fmt.Sprintf(`
	handle /%[1]s {
		webhook_inbox %[1]s {
			verify token X-Webhook-Token secret-token
			message_id header X-Webhook-Id
			concurrency 1
			deliver %[2]s
		}
	}
`, name, apps[name].addr)
	}
	s := newServer(t)
	s.mutations = mutations
	s.load(site)
	var senders sync.WaitGroup
	for name := range apps {
		senders.Go(func() {
			client := &http.Client{Transport: &http.Transport{}, Timeout: patience}
			defer client.CloseIdleConnections()
			for n := range messages {
				key := fmt.Sprintf("%s-%d", name, n)
				sendTo(t, l, client, "http://"+s.addr+"/"+name, key, []byte(key))
			}
		})
	}
	senders.Wait()
	for name := range apps {
		s.settled(name)
		failed := s.metric(fmt.Sprintf(`caddy_webhook_inbox_attempts_total{endpoint=%q,outcome="retried"}`, name))
		l.Measured("failed attempts at an application that "+name, failed, 0)
	}
}

// A message makes the application reset its connection, as if a worker of it had
// died, while others are kept. The message goes through two of them at most before
// its backoff, and not through all: it would end all workers at once. That holds
// behind another proxy of the route too, which is asked with a request without a body.
func TestFaultMessageThatBreaksConnections(t *testing.T) {
	well := newApplication(t)
	for name, before := range map[string]string{
		"alone":         "",
		"after another": "forward_auth " + well.addr + " {\n uri /auth\n }\n",
	} {
		t.Run(name, func(t *testing.T) {
			l := &ledger.Ledger{Backoff: 50 * time.Millisecond}
			breaksConnections(t, l, before)
			report(t, l, ledger.End{})
		})
	}
}

// breaksConnections delivers through a route that begins with what is before.
func breaksConnections(t *testing.T, l *ledger.Ledger, before string, mutations ...string) {
	t.Helper()
	const kept = 12
	app := newApplication(t)
	var together sync.WaitGroup
	var mu sync.Mutex
	requests := make(map[string]int) // by the attempt that they belong to
	app.handle = func(w http.ResponseWriter, r *http.Request, body []byte) {
		a := attemptOf(r)
		a.Ended, a.Status = time.Now(), http.StatusNoContent
		if r.URL.Path != "/poison" {
			l.Tried(keyOf(r), body, a)
			together.Done()
			together.Wait()
			w.WriteHeader(http.StatusNoContent)
			return
		}
		mu.Lock()
		attempt := fmt.Sprintf("attempt %d with %s", a.Number, keyOf(r))
		requests[attempt]++
		l.Measured("requests in "+attempt, float64(requests[attempt]), 2)
		if a.Number < 3 {
			a.Status = 0
		}
		if requests[attempt] == 1 {
			l.Tried(keyOf(r), body, a)
		}
		mu.Unlock()
		if a.Number < 3 {
			poisons["resets"](w, r)
		}
	}
	s := newServer(t)
	s.mutations = mutations
	s.load(retrySite("{\n"+before+"reverse_proxy "+app.addr+"\n}", fmt.Sprintf("retry {\n backoff %[1]v %[1]v\n }", 2*l.Backoff)))
	client := &http.Client{Transport: &http.Transport{}, Timeout: patience}
	defer client.CloseIdleConnections()
	for _, body := range [][]byte{nil, []byte("small"), longBody} {
		together.Add(kept) // anew: after an attempt without an answer none is kept
		for n := range kept {
			key := fmt.Sprintf("%d before %d bytes", n, len(body))
			sendTo(t, l, client, "http://"+s.addr+"/", key, []byte(key))
		}
		s.settled("demo")
		sendTo(t, l, client, "http://"+s.addr+"/poison", fmt.Sprintf("poison of %d bytes", len(body)), body)
		s.settled("demo")
	}
}

// The tests before would notice an engine that delivers twice, or does not wait.
func TestFaultBrokenConnectionsShowWhatIsBroken(t *testing.T) {
	t.Run(deliversTwice, func(t *testing.T) {
		l := new(ledger.Ledger)
		closesKeptConnections(t, l, 5, deliversTwice)
		expectBroken(t, l, ledger.End{}, ledger.Repetition)
	})
	t.Run(ignoresBackoff, func(t *testing.T) {
		l := &ledger.Ledger{Backoff: patience / 4} // which a slow disk is not to hide
		breaksConnections(t, l, "", ignoresBackoff)
		expectBroken(t, l, ledger.End{}, ledger.Haste)
	})
}
