// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"hash"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A flood is a load of any number of webhooks. Every body is another and none
// compresses, like text that is mostly numbers and names. What is answered 503 is
// sent again, and counted.
type flood struct {
	*load
	paths   []string // taken in turn
	refused atomic.Int64

	// hold, if set, is asked before each webhook, and waits.
	hold func()
}

func newFlood(b *testing.B, addr string, paths ...string) *flood {
	b.Helper()
	if len(paths) == 0 {
		paths = []string{"/hooks"}
	}
	return &flood{load: newLoad(b, addr, benchConns), paths: paths}
}

// webhookBytes is the length of one webhook of a flood as it is sent, about.
var webhookBytes = float64(len(appendSigned(nil, hmac.New(sha256.New, benchKey), "/hooks", 1_000_000, appendBody(nil, 1, floodBody))))

// floodBody is the length of a body.
const floodBody = 1000

// floodText is what bodies are cut from.
var floodText = randomText(1 << 20)

func randomText(n int) []byte {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	random := rand.New(rand.NewPCG(1, 2))
	text := make([]byte, n)
	for i := range text {
		text[i] = letters[random.IntN(len(letters))]
	}
	return text
}

// appendBody appends a body of about so many bytes that is the nth's own, and has
// nothing in common with the next ones.
func appendBody(buf []byte, n int64, size int) []byte {
	const stride = 4099
	at := int(n * stride % int64(len(floodText)-size))
	buf = append(buf, `{"type":"bench","data":"`...)
	buf = append(buf, floodText[at:at+size]...)
	return append(buf, `"}`...)
}

// run sends n webhooks, and returns when all are accepted.
func (f *flood) run(b *testing.B, n int) round {
	b.Helper()
	deadline := time.Now().Add(extent{n: n}.patience())
	var left atomic.Int64
	left.Store(int64(n))
	latencies := make([][]time.Duration, len(f.conns))
	var senders sync.WaitGroup
	begun := time.Now()
	for i, c := range f.conns {
		if err := c.SetDeadline(deadline); err != nil {
			b.Fatal(err)
		}
		senders.Go(func() {
			s := floodSender{flood: f, conn: c, mac: hmac.New(sha256.New, benchKey)}
			for left.Add(-1) >= 0 && !b.Failed() {
				if f.hold != nil {
					f.hold()
				}
				took, ok := s.send(b, deadline)
				if !ok {
					return
				}
				latencies[i] = append(latencies[i], took)
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

// A floodSender has one connection.
type floodSender struct {
	*flood
	conn          *loadConn
	mac           hash.Hash
	body, request []byte
}

// send sends one webhook until it is accepted, and returns how long the answer
// took that accepted it.
func (s *floodSender) send(b *testing.B, deadline time.Time) (time.Duration, bool) {
	id := benchID.Add(1)
	s.body = appendBody(s.body[:0], id, floodBody)
	for {
		s.request = appendSigned(s.request[:0], s.mac, s.paths[id%int64(len(s.paths))], id, s.body)
		sent := time.Now()
		got, err := s.conn.roundTrip(s.request)
		switch {
		case err == nil && got == http.StatusAccepted:
			return time.Since(sent), true
		case err == nil && got == http.StatusServiceUnavailable && sent.Before(deadline):
			s.refused.Add(1)
			time.Sleep(10 * time.Millisecond)
		default:
			b.Errorf("answered %d, %v; want 202", got, err)
			return 0, false
		}
	}
}
