// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// Every way to refuse a request has its status, and leaves nothing in the queue:
// afterwards the same message is accepted.
func TestRefusals(t *testing.T) {
	app := newApplication(t)
	s := serve(t, fmt.Sprintf(`
	webhook_inbox demo {
		verify token X-Webhook-Token secret-token
		verify bearer secret-bearer
		message_id header X-Webhook-Id
		max_body 1KiB
		read_timeout 300ms
		deliver %s
	}
`, app.addr))
	const head = "POST / HTTP/1.1\r\nHost: h\r\nX-Webhook-Token: secret-token\r\nX-Webhook-Id: 1\r\n"

	cases := []struct {
		name, request string
		status        int
	}{
		{"no credentials", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx", 401},
		{"a wrong token", "POST / HTTP/1.1\r\nHost: h\r\nX-Webhook-Token: secret-tokem\r\nContent-Length: 1\r\n\r\nx", 401},
		{"a token given twice", "POST / HTTP/1.1\r\nHost: h\r\nX-Webhook-Token: secret-token\r\nX-Webhook-Token: secret-token\r\nContent-Length: 1\r\n\r\nx", 401},
		{"a wrong token, before any of the body came", "POST / HTTP/1.1\r\nHost: h\r\nX-Webhook-Token: wrong\r\nContent-Length: 1000\r\n\r\n", 401},
		{"an announced body that is too large", head + "Content-Length: 1025\r\n\r\n", 413},
		{"a chunked body that is too large", head + "Transfer-Encoding: chunked\r\n\r\n401\r\n" + strings.Repeat("x", 1025) + "\r\n0\r\n\r\n", 413},
		{"a body that takes too long", head + "Content-Length: 2\r\n\r\nx", 408},
		{"a chunked body without end", head + "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n", 408},
		{"a broken chunk", head + "Transfer-Encoding: chunked\r\n\r\nzz\r\nx\r\n", 400},
		{"an id given twice", head + "X-Webhook-Id: 1\r\nContent-Length: 1\r\n\r\nx", 400},
		{"a target that is no path", "POST * HTTP/1.1\r\nHost: h\r\nX-Webhook-Token: secret-token\r\nX-Webhook-Id: 1\r\nContent-Length: 1\r\n\r\nx", 400},
		{"CONNECT", "CONNECT h:443 HTTP/1.1\r\nHost: h\r\nX-Webhook-Token: secret-token\r\nX-Webhook-Id: 1\r\n\r\n", 400},
		{"early data", head + "Early-Data: 1\r\nContent-Length: 1\r\n\r\nx", 425},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			resp := s.raw(t, c.status, c.request)
			if got := resp.Header.Values("WWW-Authenticate"); (c.status == 401) != (len(got) == 1 && got[0] == "Bearer") {
				t.Errorf("WWW-Authenticate: %q", got)
			}
			if resp.ContentLength > 0 {
				t.Errorf("the answer has a body of %d bytes", resp.ContentLength)
			}
		})
	}
	s.untouched("demo")
	app.none()
	for _, id := range []string{"1", "2"} { // that of what was refused, and another one
		s.raw(t, http.StatusAccepted, strings.Replace(head, "Id: 1", "Id: "+id, 1)+"Content-Length: 1\r\n\r\nx")
		if d := app.next(); d.Body != "x" || d.Header.Get("X-Webhook-Id") != id {
			t.Errorf("delivered %+v", d)
		}
	}
	s.settled("demo")
	app.none()
}

// A body of exactly max_body is accepted, chunked or not, and an empty one too.
func TestBodySizes(t *testing.T) {
	app := newApplication(t)
	s := serve(t, fmt.Sprintf(`
	webhook_inbox demo {
		verify none
		dedupe off
		max_body 200KiB
		deliver %s
	}
`, app.addr))
	for _, size := range []int{0, 1, 4095, 4096, 4097, 64<<10 - 1, 64 << 10, 64<<10 + 1, 128 << 10, 200<<10 - 1, 200 << 10} {
		body := strings.Repeat("b", size)
		s.raw(t, 202, fmt.Sprintf("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", size, body))
		if d := app.next(); d.Body != body {
			t.Errorf("delivered %d bytes of %d", len(d.Body), size)
		}
		if size == 0 {
			continue
		}
		s.raw(t, 202, fmt.Sprintf("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", size, body))
		if d := app.next(); d.Body != body {
			t.Errorf("delivered %d bytes of %d, chunked", len(d.Body), size)
		}
	}
}

// While the bodies being received by an endpoint take its half of max_in_flight,
// further ones are answered 503 and can be sent again, and other endpoints are
// not affected. Those who announce much and send nothing hold next to nothing.
func TestBodiesInFlightAreBounded(t *testing.T) {
	app := newApplication(t)
	s := newServer(t)
	var site strings.Builder
	for _, name := range []string{"one", "two"} {
		fmt.Fprintf(&site, `
	webhook_inbox /%[1]s %[1]s {
		verify none
		dedupe off
		deliver %[2]s
	}
`, name, app.addr)
	}
	err := s.tryLoad(s.caddyfile(`webhook_inbox {
		queue badger `+s.dir+`
		max_in_flight 600KiB
	}`, site.String()))
	if err != nil {
		t.Fatal(err)
	}

	// stall begins to send a body to the first endpoint.
	stall := func(body string) {
		conn, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		if _, err := io.WriteString(conn, "POST /one HTTP/1.1\r\nHost: h\r\nContent-Length: 8388608\r\nExpect: 100-continue\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		// The server asks for the body when it begins to read it.
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || resp.StatusCode != http.StatusContinue {
			t.Fatalf("got %v, %v", resp, err)
		}
		if _, err := io.WriteString(conn, body); err != nil {
			t.Fatal(err)
		}
	}
	body := strings.Repeat("x", 60<<10)
	for range 30 {
		stall("")
	}
	s.expect(202, "POST", "/one", nil, body)
	app.next()

	stall(strings.Repeat("x", 100<<10)) // for which 128 KiB are taken
	eventually(t, "the body is being received", func() bool {
		return strings.Contains(s.metrics(), fmt.Sprintf("caddy_webhook_inbox_receiving_bytes %d\n", 30*4<<10+128<<10))
	})
	resp := s.expect(503, "POST", "/one", nil, body)
	if resp.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	s.expect(202, "POST", "/two", nil, body)
	app.next()
}

// A sender that is slow in sending its header or keeps its connection open is
// Caddy's to deal with; one that disconnects leaves nothing behind.
func TestSenderThatDisconnectsLeavesNothing(t *testing.T) {
	app := newApplication(t)
	s := serve(t, fmt.Sprintf(tokenSite, app.addr))
	for range 3 {
		conn, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: h\r\nX-Webhook-Token: secret-token\r\nX-Webhook-Id: cut\r\nContent-Length: 10\r\n\r\n12345")
		conn.Close()
	}
	s.expect(202, "POST", "/", tokenHeader("cut"), "1234567890")
	if d := app.next(); d.Body != "1234567890" {
		t.Errorf("delivered %q", d.Body)
	}
	s.settled("demo")
	app.none()
}

// A delivery that a route sends back to an inbox is not taken for a duplicate
// of itself, which would lose it: it is refused, and waits.
func TestLoopIsDetected(t *testing.T) {
	s := newServer(t)
	s.load(`
	webhook_inbox demo {
		verify none
		message_id header X-Webhook-Id
		deliver ` + s.addr + `
	}
`)
	s.expect(202, "POST", "/", header("X-Webhook-Id", "1"), "x")
	eventually(t, "the failed attempt is noted", func() bool {
		return strings.Contains(s.metrics(), `caddy_webhook_inbox_received_total{endpoint="demo",outcome="loop"}`)
	})
	if e := s.endpoint("demo"); e.Waiting != 1 {
		t.Errorf("%d wait, want 1", e.Waiting)
	}

	app := newApplication(t)
	s.load(fmt.Sprintf(`
	webhook_inbox demo {
		verify none
		message_id header X-Webhook-Id
		deliver %s
	}
`, app.addr))
	if d := app.next(); d.Body != "x" {
		t.Errorf("delivered %q", d.Body)
	}
}

// metrics returns what Prometheus would get.
func (s *server) metrics() string {
	s.t.Helper()
	status, data := s.admin("GET", "/metrics")
	if status != http.StatusOK {
		s.t.Fatalf("metrics: status %d", status)
	}
	return string(data)
}
