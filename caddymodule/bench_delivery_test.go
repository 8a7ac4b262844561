// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"net"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"
)

// BenchmarkFirstByte is how long it takes from the 202 to the first byte at the
// application, for one webhook at a time. At best, the application has it before
// the sender knows.
func BenchmarkFirstByte(b *testing.B) {
	app := newStopwatch(b)
	s := newServer(b)
	inbox := freeAddr(b)
	config := s.caddyfile("log {\n\toutput discard\n}", "") +
		site(inbox, "webhook_inbox bench {\nverify svix "+benchSecret+"\ndeliver "+app.addr+"\n}")
	if err := s.tryLoad(config); err != nil {
		b.Fatalf("loading %s: %v", config, err)
	}
	sender := newLoad(b, inbox, 1).conns[0]
	mac := hmac.New(sha256.New, benchKey)
	var request []byte
	waits := make([]float64, 0, b.N)
	for range b.N {
		request = appendWebhook(request[:0], mac, benchID.Add(1))
		if status, err := sender.roundTrip(request); status != http.StatusAccepted || err != nil {
			b.Fatalf("answered %d, %v", status, err)
		}
		answered := time.Now()
		waits = append(waits, (<-app.began).Sub(answered).Seconds()*1e3)
	}
	slices.Sort(waits)
	b.ReportMetric(waits[len(waits)/2], "p50-ms")
	b.ReportMetric(waits[len(waits)*99/100], "p99-ms")
}

// A stopwatch is an application that notes when the first byte of a request came.
type stopwatch struct {
	addr  string
	began chan time.Time
}

func newStopwatch(b *testing.B) *stopwatch {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	s := &stopwatch{l.Addr().String(), make(chan time.Time, 1)}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // closed
			}
			go s.serve(conn)
		}
	}()
	return s
}

// serve answers requests whose bodies have a length.
func (s *stopwatch) serve(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	for {
		if _, err := in.Peek(1); err != nil {
			return
		}
		began := time.Now()
		length := 0
		for line := []byte(nil); !bytes.Equal(line, []byte("\r\n")); {
			var err error
			if line, err = in.ReadSlice('\n'); err != nil {
				return
			}
			if text, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
				length, _ = strconv.Atoi(string(bytes.TrimSpace(text)))
			}
		}
		if _, err := in.Discard(length); err != nil {
			return
		}
		if _, err := conn.Write([]byte("HTTP/1.1 204 No Content\r\n\r\n")); err != nil {
			return
		}
		s.began <- began
	}
}
