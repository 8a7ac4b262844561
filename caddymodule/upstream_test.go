// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// misbehaving is an application that answers the first attempt of each message
// as its path says, on the bare connection, and every further one with 204.
type misbehaving struct {
	addr     string
	answers  map[string]func(net.Conn)
	attempts chan string // the path and the number of each
	ended    chan string // the path of an answer that Caddy reads no further
}

func newMisbehaving(t *testing.T, answers map[string]func(net.Conn)) *misbehaving {
	t.Helper()
	m := &misbehaving{
		answers:  answers,
		attempts: make(chan string, 1000),
		ended:    make(chan string, 1000),
	}
	m.addr = accept(t, m.serve)
	return m
}

func (m *misbehaving) serve(conn net.Conn) {
	defer conn.Close()
	reader := bufio.NewReader(conn)
	for {
		r, err := http.ReadRequest(reader)
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		attempt := r.Header.Get("Webhook-Inbox-Attempt")
		m.attempts <- r.URL.Path + " " + attempt
		answer := m.answers[r.URL.Path]
		if attempt == "1" && answer != nil {
			answer(conn)
			m.ended <- r.URL.Path
			return
		}
		fmt.Fprint(conn, "HTTP/1.1 204 No Content\r\n\r\n")
	}
}

// endless writes until Caddy has closed the connection.
func endless(conn net.Conn, what string) {
	for {
		if _, err := io.WriteString(conn, what); err != nil {
			return
		}
	}
}

// wait returns when Caddy has closed the connection.
func wait(conn net.Conn) {
	_, _ = io.Copy(io.Discard, conn)
}

// Whatever an application answers, Caddy lives, reads little of it, and counts
// as delivered only what was answered with a whole 2xx, or with so much of one
// that the rest doesn't matter.
func TestAnswersOfApplication(t *testing.T) {
	say := func(text string) func(net.Conn) {
		return func(conn net.Conn) { fmt.Fprint(conn, text) }
	}
	bomb := new(bytes.Buffer)
	zip, err := gzip.NewWriterLevel(bomb, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := zip.Write(make([]byte, 16<<20)); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}

	delivered := map[string]func(net.Conn){
		"/200":         say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
		"/201":         say("HTTP/1.1 201 Created\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n"),
		"/chunked":     say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
		"/until-close": say("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall of it"),
		"/trailers":    say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n2\r\nok\r\n0\r\nX-T: v\r\n\r\n"),
		"/299":         say("HTTP/1.1 299 Fine\r\nContent-Length: 0\r\n\r\n"),
		"/103":         say("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"),
		"/100":         say("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
		"/huge": func(conn net.Conn) {
			fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", 1<<40)
			endless(conn, strings.Repeat("x", 4096))
		},
		"/endless": func(conn net.Conn) {
			fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
			endless(conn, "1000\r\n"+strings.Repeat("x", 4096)+"\r\n")
		},
		"/bomb": func(conn net.Conn) {
			fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n")
			endless(conn, bomb.String())
		},
	}
	failed := map[string]func(net.Conn){
		"/301":       say("HTTP/1.1 301 Moved\r\nLocation: /redirected\r\nContent-Length: 0\r\n\r\n"),
		"/307":       say("HTTP/1.1 307 Temporary\r\nLocation: /redirected\r\nContent-Length: 0\r\n\r\n"),
		"/304":       say("HTTP/1.1 304 Not Modified\r\n\r\n"),
		"/101":       say("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
		"/600":       say("HTTP/1.1 600 What\r\nContent-Length: 0\r\n\r\n"),
		"/nothing":   say(""),
		"/no-http":   say("220 mail.example.com ESMTP\r\n"),
		"/half-head": say("HTTP/1.1 200 OK\r\nContent-Le"),
		"/half-body": say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"),
		"/half-chunk": say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" +
			"a\r\nhalf"),
		"/huge-header": func(conn net.Conn) {
			fmt.Fprint(conn, "HTTP/1.1 200 OK\r\n")
			endless(conn, "X-Header: "+strings.Repeat("x", 4096)+"\r\n")
		},
		"/reset": func(conn net.Conn) {
			fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
			if tcp, ok := conn.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0)
			}
		},
		"/silent": wait,
		"/1xx-flood": func(conn net.Conn) {
			endless(conn, "HTTP/1.1 103 Early Hints\r\nLink: </"+strings.Repeat("x", 100)+">\r\n\r\n")
		},
		"/dripping-header": func(conn net.Conn) {
			fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nX-Header: ")
			wait(conn)
		},
		"/dripping-body": func(conn net.Conn) {
			fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nd")
			wait(conn)
		},
	}
	all := make(map[string]func(net.Conn))
	for _, some := range []map[string]func(net.Conn){delivered, failed} {
		for path, answer := range some {
			all[path] = answer
		}
	}
	app := newMisbehaving(t, all)
	s := serve(t, impatient(openSite("reverse_proxy "+app.addr)))

	for path := range all {
		t.Run(path[1:], func(t *testing.T) {
			s := s.within(t)
			// Without Accept-Encoding, so that Go asks for gzip and unpacks it.
			s.raw(t, 202, "POST "+path+" HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx")
			s.settled("demo")
			for receive(t, app.ended, "Caddy hangs up") != path {
			}
			want := path + " 1"
			if failed[path] != nil {
				want = path + " 2"
			}
			if got := app.last(); got != want {
				t.Errorf("the last attempt is %s, want %s", got, want)
			}
		})
	}
}

// last returns the last attempt that was made so far. There may be two of one
// number: Go repeats a request that got no answer in a connection used before.
func (m *misbehaving) last() (attempt string) {
	for {
		select {
		case attempt = <-m.attempts:
		default:
			return attempt
		}
	}
}
