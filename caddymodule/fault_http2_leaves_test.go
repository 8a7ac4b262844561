// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue/queuetest/ledger"
)

// A leaver is a sender that sends a request that is passed through, and may leave
// before it is answered.
type leaver struct {
	leave context.CancelFunc
	done  chan int // the status of the answer, or 0
}

// passed sends a request that is passed through with that body.
func (s *server) passed(body string) *leaver {
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	l := &leaver{cancel, make(chan int, 1)}
	r, err := http.NewRequestWithContext(ctx, "POST", "http://"+s.addr+"/", strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	go func() {
		defer cancel()
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			l.done <- 0
			return
		}
		resp.Body.Close()
		l.done <- resp.StatusCode
	}()
	return l
}

// securedSite is passthroughSite, over TLS if there are options of the transport.
func (r *framer) securedSite(mayTake time.Duration, options string) string {
	site := r.passthroughSite(mayTake)
	if options == "" {
		return site
	}
	return strings.Replace(site, "h2c://"+r.addr, "https://"+r.addr+` {
		transport http {
			tls_insecure_skip_verify
			`+options+`
		}
	}`, 1)
}

// A connection hangs, and the senders of what is passed through leave before the time
// of an attempt is up. After the first one another connection is opened.
func TestFaultHTTP2ConnectionHangsWhileSendersLeave(t *testing.T) {
	app := newFramer(t, new(ledger.Ledger), frameFault{name: "demo"})
	hung, _ := app.hangsFirst()
	s := newLogged(t)
	s.loadLogged("INFO", "", app.passthroughSite(patience)+"\nlog")
	first := s.passed("x")
	eventually(t, "it comes to the application", func() bool { return hung.Load() == 1 })
	first.leave()
	eventually(t, "the inbox knows that it left", func() bool { return len(s.entries("handled request")) == 1 })
	for range 3 {
		s.expect(http.StatusNoContent, "POST", "/", nil, "x")
	}
	if n := hung.Load(); n != 1 {
		t.Errorf("%d requests came to the connection that hangs, want 1", n)
	}
}

// A connection hangs, and there is always a sender that still waits, though none for
// long. After a few of them another connection is opened, and this one is closed as
// soon as the last of them has left. It does not matter how it is secured.
func TestFaultHTTP2ConnectionHangsWhileSendersOverlap(t *testing.T) {
	for name, options := range map[string]string{
		"h2c":                   "",
		"TLS":                   "versions 2",
		"TLS over a TLS tunnel": "versions 2\nnetwork_proxy url " + newTunnels(t),
	} {
		t.Run(name, func(t *testing.T) { hangWhileSendersOverlap(t, options) })
	}
}

func hangWhileSendersOverlap(t *testing.T, options string) {
	const few = 10 // when the inbox learns that a sender left, the next ones may have come
	app := newFramer(t, new(ledger.Ledger), frameFault{name: "demo", secure: options != ""})
	hung, answered := app.hangsFirst()
	s := serve(t, app.securedSite(patience, options))
	var waiting []*leaver
	for n := int64(1); n <= few && answered.Load() == 0; n++ {
		waiting = append(waiting, s.passed("x"))
		eventually(t, "it comes to the application", func() bool { return hung.Load() == n || answered.Load() > 0 })
		if len(waiting) > 2 {
			waiting[0].leave()
			<-waiting[0].done
			waiting = waiting[1:]
		}
	}
	if answered.Load() == 0 {
		t.Errorf("%d requests came to the connection that hangs, and none to another", hung.Load())
	}
	for _, sender := range waiting {
		sender.leave()
	}
	eventually(t, "the connection is closed", func() bool { return !app.hasOpen(1) })
}

// newTunnels returns the URL of a proxy that is spoken to over TLS, and leads where
// it is asked to.
func newTunnels(t *testing.T) string {
	var all sync.WaitGroup
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		to, err := net.Dial("tcp", r.Host)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		from, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			to.Close()
			return
		}
		_, _ = io.WriteString(from, "HTTP/1.1 200 OK\r\n\r\n") // nothing of the tunnel is read before
		for _, pair := range [][2]net.Conn{{from, to}, {to, from}} {
			all.Go(func() {
				_, _ = io.Copy(pair[0], pair[1])
				from.Close()
				to.Close()
			})
		}
	}))
	t.Cleanup(func() {
		srv.Close()
		all.Wait()
	})
	return srv.URL
}

// hasOpen reports whether the connection with that number is open.
func (r *framer) hasOpen(number int64) (open bool) {
	r.conns.Range(func(_, n any) bool {
		open = open || n.(int64) == number
		return !open
	})
	return open
}

// The time of five requests is up, in a connection in which a later one is under way.
// That one is answered, in its time.
func TestFaultHTTP2SilencesBreakNoOther(t *testing.T) {
	const mayTake = 2 * rogueTimeout
	app := newFramer(t, new(ledger.Ledger), frameFault{name: "demo"})
	came, answer := app.holds("later")
	s := serve(t, app.passthroughSite(mayTake))
	var hanging []*leaver
	for range 5 {
		hanging = append(hanging, s.passed("hangs"))
	}
	for range hanging {
		receive(t, came, "one that hangs")
	}
	time.Sleep(mayTake / 2) // so that it has as much more time
	later := s.passed("later")
	receive(t, came, "the later one")
	for _, sender := range hanging {
		if status := <-sender.done; status != http.StatusGatewayTimeout {
			t.Errorf("one that hangs is answered %d", status)
		}
	}
	answer()
	if status := <-later.done; status != http.StatusNoContent {
		t.Errorf("the later one is answered %d, want 204", status)
	}
}

// holds makes the application answer nothing but a request with that body, and that one
// only when answer is called. Each request that it got is in came.
func (r *framer) holds(body string) (came chan bool, answer func()) {
	came = make(chan bool, 1000)
	held := make(chan func(), 1)
	r.answer = func(c *frameConn, stream uint32, q *frameRequest) {
		if string(q.body) == body {
			held <- func() { _ = r.accepts(c, stream, q) }
		}
		came <- true
	}
	return came, func() { (<-held)() }
}

// Senders leave at once, again and again, and so there is no answer for longer than an
// attempt may take. One that comes while that goes on, and waits, is answered: who leaves
// costs connections, as in HTTP/1, but breaks off none in which others wait.
func TestAttackHTTP2SendersThatLeave(t *testing.T) {
	for name, options := range map[string]string{"h2c": "", "TLS": "versions 2"} {
		t.Run(name, func(t *testing.T) { leaveWhileAnotherWaits(t, options) })
	}
}

func leaveWhileAnotherWaits(t *testing.T, options string) {
	const mayTake = rogueTimeout
	app := newFramer(t, new(ledger.Ledger), frameFault{name: "demo", secure: options != ""})
	came := make(chan bool, 10000)
	app.answer = func(c *frameConn, stream uint32, q *frameRequest) {
		if string(q.body) == "leaves" {
			came <- true
			return
		}
		app.serves.Go(func() {
			time.Sleep(mayTake * 3 / 10)
			_ = app.accepts(c, stream, q)
		})
	}
	s := serve(t, app.securedSite(mayTake, options))
	var leaving sync.WaitGroup
	var over atomic.Bool
	leaving.Go(func() {
		last := s.passed("leaves")
		for !over.Load() {
			select { // there is always one that waits
			case <-came:
			case <-last.done:
			}
			next := s.passed("leaves")
			time.Sleep(time.Millisecond) // the pace of the senders
			last.leave()
			last = next
		}
		last.leave()
	})
	time.Sleep(mayTake * 3 / 4)
	if status := <-s.passed("waits").done; status != http.StatusNoContent {
		t.Errorf("one that waits is answered %d, want 204", status)
	}
	over.Store(true)
	leaving.Wait()
	eventually(t, "no more than one connection is open", func() bool { return app.open() <= 1 })
}
