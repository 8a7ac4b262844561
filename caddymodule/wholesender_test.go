// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// A listener is an application that notes what comes with the first read of each
// request, and answers 204.
type listener struct {
	addr  string
	first chan string
}

func newListener(t *testing.T) *listener {
	t.Helper()
	app := &listener{first: make(chan string, 1000)}
	app.addr = accept(t, app.serve)
	return app
}

// serve takes requests with a body that ends with a full stop.
func (l *listener) serve(conn net.Conn) {
	defer conn.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		l.first <- string(buf[:n])
		for !bytes.HasSuffix(buf[:n], []byte(".")) {
			if n, err = conn.Read(buf); err != nil {
				return
			}
		}
		if _, err := io.WriteString(conn, "HTTP/1.1 204 No Content\r\n\r\n"); err != nil {
			return
		}
	}
}

// An application is woken once for a small message.
func TestSmallBodyComesWithItsHeader(t *testing.T) {
	app, other := newListener(t), newApplication(t)
	for name, route := range map[string]string{
		"proxy":          "reverse_proxy " + app.addr,
		"in a handle":    "handle /* {\n route {\n reverse_proxy " + app.addr + "\n }\n }",
		"after another":  "reverse_proxy " + other.addr + " {\n method GET\n @ok status 2xx\n handle_response @ok {\n reverse_proxy " + app.addr + "\n }\n }",
		"with a rewrite": "reverse_proxy " + app.addr + " {\n rewrite /elsewhere\n header_up X-Added yes\n }",
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, openSite(route))
			for i := range 50 {
				body := fmt.Sprintf("message %d of %s.", i, name)
				s.expect(202, "POST", "/", nil, body)
				got := receive(t, app.first, "it is delivered")
				if header, rest, _ := strings.Cut(got, "\r\n\r\n"); rest != body {
					t.Fatalf("%q came with the header\n%s\nwant %q", rest, header, body)
				}
			}
			s.settled("demo")
		})
	}
}

// However long a body is, it arrives byte for byte.
func TestBodiesOfAnyLengthArrive(t *testing.T) {
	app := newApplication(t)
	s := serve(t, openSite("reverse_proxy "+app.addr))
	for _, length := range []int{0, 1, 2, 1000, 3500, 4095, 4096, 4097, 8192, 40_000, 1 << 20} {
		body := strings.Repeat(fmt.Sprintf("%d,", length), length/2+1)[:length]
		s.expect(202, "POST", "/", nil, body)
		if d := app.next(); d.Body != body || d.Header.Get("Content-Length") != fmt.Sprint(length) && length > 0 {
			t.Errorf("%d bytes were delivered as %d with a Content-Length of %q", length, len(d.Body), d.Header.Get("Content-Length"))
		}
	}
	s.settled("demo")
}

// What handlers of the route make of the body is what is sent, and not what was
// received.
func TestBodyThatRouteChangesIsDeliveredChanged(t *testing.T) {
	app := newApplication(t)
	s := newServer(t)
	for name, set := range map[string]string{"shorter": "new", "as long": "another", "longer": strings.Repeat("much longer ", 10)} {
		t.Run(name, func(t *testing.T) {
			s, app := s.within(t), app.within(t)
			s.load(openSite("request_body {\n set \"" + set + "\"\n }\nreverse_proxy " + app.addr))
			s.expect(202, "POST", "/", nil, "the old")
			if d := app.next(); d.Body != set {
				t.Errorf("delivered %q, want %q", d.Body, set)
			}
			s.settled("demo")
		})
	}
}

// A body that the route allows no more is no delivery.
func TestBodyThatRouteLimitsIsNotDelivered(t *testing.T) {
	app := newApplication(t)
	s := serve(t, openSite("request_body {\n max_size 5B\n }\nreverse_proxy "+app.addr))
	s.expect(202, "POST", "/", nil, "too long")
	eventually(t, "attempts fail", func() bool { return s.failures() >= 2 })
	app.none()
	s.expect(202, "POST", "/", nil, "short")
	if d := app.next(); d.Body != "short" {
		t.Errorf("delivered %q", d.Body)
	}
}

// A proxy that finds one upstream down sends the whole message to the next.
func TestBodyIsWholeAtSecondUpstream(t *testing.T) {
	app := newApplication(t)
	down := freeAddr(t)
	for name, options := range map[string]string{"as it is": "", "buffered": "request_buffers 1MB\n"} {
		t.Run(name, func(t *testing.T) {
			s, app := serve(t, openSite("reverse_proxy "+down+" "+app.addr+" {\n lb_policy round_robin\n lb_retries 1\n "+options+"}")), app.within(t)
			for _, length := range []int{10, 4000, 4096, 4097, 100_000} {
				body := strings.Repeat("x", length)
				for range 4 { // half of them try the one that is down first
					s.expect(202, "POST", "/", nil, body)
					if d := app.next(); d.Body != body || d.Header.Get("Webhook-Inbox-Attempt") != "1" {
						t.Errorf("%d of %d bytes were delivered, in attempt %s", len(d.Body), length, d.Header.Get("Webhook-Inbox-Attempt"))
					}
				}
			}
			s.settled("demo")
		})
	}
}

// A message that comes to a connection which the application closes is sent on
// another, and is what the route made of it there too. What the route made of a long
// one is not there any more: then that is another attempt.
func TestBodyIsWholeOnSecondConnection(t *testing.T) {
	long := strings.Repeat("0123456789", 10_000)
	changed := strings.Replace(long, "0", "x", 1)
	changedLate := long[:len(long)-1] + "x"
	for name, c := range map[string]struct {
		stored, set string
		attempts    int
	}{
		"small, changed":      {"as it was", "changed", 1},
		"long":                {long, "", 1},
		"long, made small":    {long, "changed", 1},
		"long, changed":       {long, changed, 2},
		"long, changed late":  {long, changedLate, 2},
		"long, made longer":   {long, long + "x", 2},
		"long, made shorter":  {long, long[1:], 2},
		"long, its beginning": {long, long[:len(long)-1], 2},
		"small, made long":    {"as it was", long, 2},
	} {
		t.Run(name, func(t *testing.T) { bodyOnSecondConnection(t, c.stored, c.set, c.attempts) })
	}
}

func bodyOnSecondConnection(t *testing.T, stored, set string, attempts int) {
	t.Helper()
	got := make(chan string, 100)
	addr := accept(t, func(conn net.Conn) {
		defer conn.Close()
		in := bufio.NewReader(conn)
		for _, answer := range []string{"HTTP/1.1 204 No Content\r\n\r\n", ""} {
			r, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			body, _ := io.ReadAll(r.Body)
			got <- r.Header.Get("Webhook-Inbox-Attempt") + " " + string(body)
			io.WriteString(conn, answer)
		}
	})
	route, want := "reverse_proxy "+addr, stored
	if set != "" {
		route, want = "request_body {\n set "+set+"\n }\n"+route, set
	}
	s := serve(t, openSite(route))
	s.expect(202, "POST", "/", nil, stored)
	if body := receive(t, got, "it is delivered"); body != "1 "+want {
		t.Fatalf("the application got %.50q, %d bytes", body, len(body))
	}
	s.settled("demo")
	for range 2 {
		s.expect(202, "POST", "/", nil, stored)
		// First on the connection of the message before.
		for _, attempt := range []int{1, attempts} {
			if body := receive(t, got, "it is delivered"); body != fmt.Sprint(attempt, " ", want) {
				t.Fatalf("the application got %.50q, %d bytes, want %d of attempt %d", body, len(body), len(want), attempt)
			}
		}
		s.settled("demo")
	}
}

func TestPassthroughSendsSmallBodyWithItsHeader(t *testing.T) {
	app := newListener(t)
	s := serve(t, "webhook_inbox demo {\nverify none\ndedupe off\npassthrough *\ndeliver "+app.addr+"\n}")
	for range 20 {
		s.expect(204, "POST", "/", nil, "a command.")
		if got := receive(t, app.first, "it is passed through"); !strings.HasSuffix(got, "\r\n\r\na command.") {
			t.Fatalf("first came %q", got)
		}
	}
}
