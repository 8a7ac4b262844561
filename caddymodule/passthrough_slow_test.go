// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// A sender that does not read its answer, over HTTP/1 or HTTP/2, holds no memory of its
// endpoint for much longer than the application may take to answer. What bounds it does not
// cut later requests in the connection of a sender that read its answer.
func TestPassthroughToSenderThatReadsNothingEnds(t *testing.T) {
	app := newApplication(t)
	app.handle = func(w http.ResponseWriter, r *http.Request, body []byte) {
		if !strings.HasPrefix(string(body), "endless") {
			io.WriteString(w, "an answer")
			return
		}
		for buf := make([]byte, 64<<10); r.Context().Err() == nil; {
			if _, err := w.Write(buf); err != nil {
				return
			}
		}
	}
	s := newServer(t)
	site := "webhook_inbox demo {\nverify none\ndedupe off\npassthrough *\nattempt_timeout 100ms\ndeliver " + app.addr + "\n}\n"
	options := "servers {\n protocols h1 h2c\n }\nwebhook_inbox {\n queue " + s.engine() + " {\n min_free_space 64MiB\n }\n max_in_flight 8KiB\n }"
	if err := s.tryLoad(s.caddyfile(options, site)); err != nil { // 4 KiB pass through
		t.Fatal(err)
	}
	overHTTP2 := new(http.Protocols)
	overHTTP2.SetUnencryptedHTTP2(true)
	clients := []*http.Client{{Transport: &http.Transport{}}, {Transport: &http.Transport{Protocols: overHTTP2}}}
	for n := range clients {
		s.passes(clients[n], "short")
		defer clients[n].CloseIdleConnections()
	}
	endless := "endless" + strings.Repeat("x", 1000)
	conn := s.dialRaw(t)
	fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", len(endless), endless)
	s.streamUnread(t, endless)
	for n := range len(clients) + 2 {
		receive(t, app.got, fmt.Sprintf("request %d is passed through", n))
	}
	s.expect(503, "POST", "/", nil, strings.Repeat("y", 2500))
	eventually(t, "nothing is held any more", func() bool {
		resp, _ := s.ask("POST", "/", nil, strings.Repeat("y", 3500))
		return resp.StatusCode == 200
	})
	for _, client := range clients {
		if !s.passes(client, "short") {
			t.Error("the connection of a sender that read its answer was not used again")
		}
	}
}

// passes sends a body that passes through, and reports whether it went over a connection
// that was used before.
func (s *server) passes(client *http.Client, body string) (reused bool) {
	s.t.Helper()
	ctx := httptrace.WithClientTrace(s.t.Context(), &httptrace.ClientTrace{
		GotConn: func(got httptrace.GotConnInfo) { reused = got.Reused },
	})
	r, err := http.NewRequestWithContext(ctx, "POST", "http://"+s.addr+"/", strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	resp, err := client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	if data, err := io.ReadAll(resp.Body); resp.StatusCode != 200 || string(data) != "an answer" || err != nil {
		s.t.Errorf("answered %d, %q, %v", resp.StatusCode, data, err)
	}
	return reused
}

func (s *server) dialRaw(t *testing.T) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// streamUnread sends a request over an HTTP/2 connection of its own, which gives no room for
// more of the answer than there is at first.
func (s *server) streamUnread(t *testing.T, body string) {
	t.Helper()
	conn := s.dialRaw(t)
	io.WriteString(conn, http2.ClientPreface)
	framer := http2.NewFramer(conn, conn)
	_ = framer.WriteSettings()
	var block strings.Builder
	encoder := hpack.NewEncoder(&block)
	for _, field := range [][2]string{{":method", "POST"}, {":scheme", "http"}, {":authority", "h"}, {":path", "/"}, {"content-length", strconv.Itoa(len(body))}} {
		_ = encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]})
	}
	_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte(block.String()), EndHeaders: true})
	if err := framer.WriteData(1, true, []byte(body)); err != nil {
		t.Fatal(err)
	}
}
