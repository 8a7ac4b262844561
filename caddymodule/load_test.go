// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"hash"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A load sends webhooks over connections that stay open, one after the other on
// each, every one with an id of its own and signed as Svix does. It shares the
// machine with what it measures, so it does as little as it can.
type load struct {
	conns []*loadConn
	forge bool // sign with another secret
}

const benchSecret = "whsec_YmVuY2htYXJrIHNlY3JldCBvZiAzMiBieXRlcyEh"

var (
	benchKey  = []byte("benchmark secret of 32 bytes!!")
	benchBody = []byte(`{"type":"bench","data":"` + strings.Repeat("x", 998) + `"}`)
	benchID   atomic.Int64
)

type loadConn struct {
	net.Conn
	answers *bufio.Reader
}

func newLoad(b *testing.B, addr string, conns int) *load {
	b.Helper()
	l := new(load)
	for range conns {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { c.Close() })
		l.conns = append(l.conns, &loadConn{c, bufio.NewReaderSize(c, 1024)})
	}
	return l
}

// A round is n requests.
type round struct {
	n         int
	took      time.Duration
	processor time.Duration   // of this process, in user and kernel
	latencies []time.Duration // sorted
}

func (r round) rate() float64 { return float64(r.n) / r.took.Seconds() }
func (r round) cpu() float64  { return r.processor.Seconds() / float64(r.n) }
func (r round) p50() float64  { return r.latencies[len(r.latencies)/2].Seconds() }
func (r round) p99() float64  { return r.latencies[len(r.latencies)*99/100].Seconds() }

// run sends n requests, which must all be answered with the status.
func (l *load) run(b *testing.B, n, status int) round {
	b.Helper()
	var left atomic.Int64
	left.Store(int64(n))
	latencies := make([][]time.Duration, len(l.conns))
	var senders sync.WaitGroup
	begun := time.Now()
	for i, c := range l.conns {
		senders.Go(func() {
			key := benchKey
			if l.forge {
				key = []byte("another")
			}
			request := make([]byte, 0, 2048)
			mac := hmac.New(sha256.New, key)
			for left.Add(-1) >= 0 {
				request = appendWebhook(request[:0], mac, benchID.Add(1))
				sent := time.Now()
				got, err := c.roundTrip(request)
				if err != nil || got != status {
					b.Errorf("answered %d, %v; want %d", got, err, status)
					return
				}
				latencies[i] = append(latencies[i], time.Since(sent))
			}
		})
	}
	senders.Wait()
	r := round{n: n, took: time.Since(begun), latencies: slices.Concat(latencies...)}
	if b.Failed() {
		b.FailNow()
	}
	slices.Sort(r.latencies)
	return r
}

func appendWebhook(buf []byte, mac hash.Hash, n int64) []byte {
	return appendSigned(buf, mac, "/hooks", n, benchBody)
}

// appendSigned appends a webhook, whose id is n, to a path.
func appendSigned(buf []byte, mac hash.Hash, path string, n int64, body []byte) []byte {
	id := "msg_" + strconv.FormatInt(n, 10)
	ts := strconv.FormatInt(time.Now().Unix(), 10)
	mac.Reset()
	mac.Write([]byte(id + "." + ts + "."))
	mac.Write(body)
	buf = append(buf, "POST "...)
	buf = append(buf, path...)
	buf = append(buf, " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nUser-Agent: bench\r\nSvix-Id: "...)
	buf = append(buf, id...)
	buf = append(buf, "\r\nSvix-Timestamp: "...)
	buf = append(buf, ts...)
	buf = append(buf, "\r\nSvix-Signature: v1,"...)
	buf = base64.StdEncoding.AppendEncode(buf, mac.Sum(nil))
	buf = append(buf, "\r\nContent-Length: "...)
	buf = strconv.AppendInt(buf, int64(len(body)), 10)
	buf = append(buf, "\r\n\r\n"...)
	return append(buf, body...)
}

// roundTrip returns the status of an answer without a body.
func (c *loadConn) roundTrip(request []byte) (status int, err error) {
	if _, err := c.Write(request); err != nil {
		return 0, err
	}
	return c.answer()
}

// answer reads an answer without a body and returns its status.
func (c *loadConn) answer() (status int, err error) {
	for {
		line, err := c.answers.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		switch {
		case status == 0:
			if len(line) < 12 {
				return 0, fmt.Errorf("answer %q", line)
			}
			if status, err = strconv.Atoi(string(line[9:12])); err != nil {
				return 0, err
			}
		case len(bytes.TrimRight(line, "\r\n")) == 0:
			return status, nil
		}
	}
}
