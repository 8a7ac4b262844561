// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue/queuetest/ledger"
)

// halfSent is a request of which the inbox has a part.
type halfSent struct {
	s      *server
	ledger *ledger.Ledger
	id     string
	conn   net.Conn
	answer *bufio.Reader
}

const halfBody = "the first half, "

func sendHalf(s *server, l *ledger.Ledger, id, secret string) *halfSent {
	s.t.Helper()
	l.Sent(id, []byte(halfBody+id))
	h := &halfSent{s: s, ledger: l, id: id}
	var status int
	eventually(s.t, "the inbox reads the request", func() bool {
		var err error // Caddy closes the connections of who is in the queue of a listener that it closes
		status, err = h.begin(secret)
		return err == nil
	})
	if status != http.StatusContinue { // which the inbox asks for when it reads the body
		s.t.Fatalf("status %d, want 100", status)
	}
	fmt.Fprint(h.conn, halfBody)
	return h
}

// begin sends the header, and returns the first answer.
func (h *halfSent) begin(secret string) (status int, err error) {
	conn, err := net.Dial("tcp", h.s.addr)
	if err != nil {
		return 0, err
	}
	h.s.t.Cleanup(func() { conn.Close() })
	h.conn, h.answer = conn, bufio.NewReader(conn)
	fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: a\r\nX-Webhook-Token: %s\r\nX-Webhook-Id: %s\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n",
		secret, h.id, len(halfBody)+len(h.id))
	return h.next()
}

// next returns the next answer.
func (h *halfSent) next() (status int, err error) {
	if err := h.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return 0, err
	}
	resp, err := http.ReadResponse(h.answer, nil)
	if err != nil {
		return 0, err
	}
	resp.Body.Close()
	return resp.StatusCode, nil
}

// rest sends the rest, and returns the answer.
func (h *halfSent) rest() int {
	h.s.t.Helper()
	fmt.Fprint(h.conn, h.id)
	status, err := h.next()
	if err != nil {
		h.s.t.Fatal(err)
	}
	h.ledger.Answered(h.id, status)
	return status
}

// A reload comes while a request is half received. It is verified and queued as the
// configuration says that it came to, and delivered as the new one says. If that has
// no such endpoint, it waits for its return. If the queue is closed, because the new
// one has another directory or no inbox, the sender is told to send again.
func TestFaultReloadWithARequestUnderWay(t *testing.T) {
	l := new(ledger.Ledger)
	reloadWithARequestUnderWay(t, l)
	report(t, l, ledger.End{})
}

func reloadWithARequestUnderWay(t *testing.T, l *ledger.Ledger, mutations ...string) {
	t.Helper()
	var gone atomic.Int64 // deliveries along the route of the configuration before
	before := witness(t, l, func(string, int) (int, time.Duration) {
		gone.Add(1)
		return http.StatusNoContent, 0
	})
	after := witness(t, l, nil)
	old := fmt.Sprintf(tokenSite, before.addr)
	rotated := strings.Replace(fmt.Sprintf(tokenSite, after.addr), "secret-token", "another-secret", 1)
	s := newServer(t)
	s.mutations = mutations
	first, second := s.dir, filepath.Join(filepath.Dir(s.dir), "second")
	expect := func(h *halfSent, want int) {
		t.Helper()
		if status := h.rest(); status != want {
			t.Errorf("the webhook %q is answered %d, want %d", h.id, status, want)
		}
	}

	s.load(old)
	h := sendHalf(s, l, "changed", "secret-token")
	s.load(rotated)
	expect(h, http.StatusAccepted)
	s.settled("demo")

	h = sendHalf(s, l, "removed", "another-secret")
	s.load("respond 404")
	expect(h, http.StatusAccepted)
	if e := s.endpoint("demo"); e.Configured || e.Waiting != 1 {
		t.Errorf("%+v, want one webhook that waits for an endpoint that is not there", e)
	}
	s.load(rotated)
	s.settled("demo")

	for id, config := range map[string]string{
		"moved":    "webhook_inbox {\n queue badger " + second + " {\n min_free_space 64MiB\n }\n }",
		"no inbox": "# no webhook_inbox",
	} {
		h = sendHalf(s, l, id, "another-secret")
		site := rotated
		if id == "no inbox" {
			site = "respond 404"
		}
		if err := s.tryLoad(s.caddyfile(config, site)); err != nil {
			t.Fatal(err)
		}
		expect(h, http.StatusServiceUnavailable)
		s.dir = first
		s.load(rotated)
		h = sendHalf(s, l, id, "another-secret")
		expect(h, http.StatusAccepted)
	}
	rest(t, s, "demo")
	l.Measured("deliveries along a route that is not configured any more", float64(gone.Load()), 0)
}

// A reload comes while an attempt is under way, and other connections to the
// application are idle. None is closed before the attempt has ended, since one may
// just have brought an answer; then all are. It is the same for transports that are
// configured, which Caddy would clean up at once.
func TestFaultReloadClosesNoConnectionsWhileAnAttemptIsUnderWay(t *testing.T) {
	for name, transport := range map[string]string{"default": "", "configured": "transport http {\n dial_timeout 4s\n}"} {
		t.Run(name, func(t *testing.T) {
			const kept = 4
			app := newApplication(t)
			var together sync.WaitGroup
			together.Add(kept)
			ended := make(chan struct{})
			app.handle = func(w http.ResponseWriter, r *http.Request, _ []byte) {
				switch r.URL.Path {
				case "/kept":
					together.Done()
					together.Wait()
				case "/hangs":
					<-ended
				}
				w.WriteHeader(http.StatusNoContent)
			}
			end := sync.OnceFunc(func() { close(ended) })
			defer end()
			route := func(generation int) string {
				site := openSite(fmt.Sprintf("header X-Generation %d\nreverse_proxy %s {\n%s\n}", generation, app.addr, transport))
				return strings.Replace(site, "attempt_timeout 10s", "attempt_timeout 1m", 1)
			}
			s := serve(t, route(1))
			open := func() (n int) {
				app.conns.Range(func(any, any) bool { n++; return true })
				return n
			}
			for range kept {
				s.expect(202, "POST", "/kept", nil, "")
			}
			s.settled("demo")
			s.expect(202, "POST", "/hangs", nil, "")
			for range kept + 1 {
				app.next()
			}
			s.load(route(2))
			s.expect(202, "POST", "/new", nil, "")
			app.next() // in a connection of its own
			if n := open(); n != kept+1 {
				t.Errorf("%d connections are open, want the %d that were kept and a new one", n, kept)
			}
			end()
			eventually(t, "those of the old route are closed", func() bool { return open() == 1 })
			s.settled("demo")
		})
	}
}
