// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"hash"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	largeBody     = 8 << 20
	largeConns    = 64
	largeInFlight = 256 << 20 // max_in_flight, and its default
)

// BenchmarkLargeBodies is memory while 64 senders send bodies of 8 MiB at the same
// time: twice of what max_in_flight has room for, so that many are answered 503, and
// sent again a second later. most-MiB is all of the process's own memory,
// and limit-ratio what it is of twice max_in_flight and 100 MiB.
func BenchmarkLargeBodies(b *testing.B) {
	b.Run("application=down", func(b *testing.B) { largeBodies(b, false) })
	b.Run("application=up", func(b *testing.B) { largeBodies(b, true) })
}

func largeBodies(b *testing.B, up bool) {
	e, ok := extentOf(b, largeConns)
	if !ok {
		return
	}
	e.n = min(e.n, 1000) // whatever the other benchmarks are asked for
	app := newBareApplication(b)
	if up {
		app.up()
	}
	// Two endpoints, because one gets half of max_in_flight at most.
	directives := ""
	for _, name := range []string{"bench", "other"} {
		directives += "webhook_inbox /" + name + " " + name + " {\nverify svix " + benchSecret + "\nretain 0\ndeliver " + app.addr + "\n}\n"
	}
	inbox := startInbox(b, newServer(b), directives)
	idle := inbox.memory().anon

	l := &largeLoad{B: b, addr: inbox.addr, text: randomText(largeBody + 1<<20)}
	most := watch(func() float64 { return inbox.memory().anon })
	begun := time.Now()
	l.run(e)
	took := time.Since(begun)
	if up {
		waitFor(b, e.patience(), "all are delivered", func() bool { return app.answered.Load() >= int64(e.n) })
	}
	m := most()
	const mib = 1 << 20
	b.ReportMetric(float64(l.refused.Load()), "503s")
	b.ReportMetric(float64(l.cut.Load()), "cut")
	b.ReportMetric(float64(e.n)*largeBody/mib/took.Seconds(), "accepted-MiB/s")
	b.ReportMetric(idle, "idle-MiB")
	b.ReportMetric(m, "most-MiB")
	b.ReportMetric(m/(2*largeInFlight/mib+100), "limit-ratio")
	b.ReportMetric(e.rest(time.Minute), "rested-s")
	b.ReportMetric(inbox.memory().anon, "rested-MiB")
	inbox.finish()
}

// largeLoad sends large webhooks.
type largeLoad struct {
	*testing.B
	addr     string
	text     []byte
	accepted atomic.Int64
	refused  atomic.Int64 // 503
	cut      atomic.Int64 // the connection was closed before the answer was read
}

// run sends n webhooks, and returns when all are accepted.
func (l *largeLoad) run(e extent) {
	l.Helper()
	var left atomic.Int64
	left.Store(int64(e.n))
	deadline := time.Now().Add(2*time.Minute + time.Duration(e.n)*time.Second)
	var senders sync.WaitGroup
	for range largeConns {
		senders.Go(func() {
			s := largeSender{largeLoad: l, mac: hmac.New(sha256.New, benchKey), deadline: deadline}
			for left.Add(-1) >= 0 && !l.Failed() && time.Now().Before(deadline) {
				s.send()
			}
			s.hangUp()
		})
	}
	senders.Wait()
	if accepted := l.accepted.Load(); accepted != int64(e.n) {
		l.Fatalf("%d of %d are accepted in time, with %d answers of 503", accepted, e.n, l.refused.Load())
	}
}

// A largeSender has one connection, or none.
type largeSender struct {
	*largeLoad
	conn     *loadConn
	mac      hash.Hash
	deadline time.Time
	request  []byte
}

// send sends one webhook until it is accepted.
func (s *largeSender) send() {
	id := benchID.Add(1)
	path := []string{"/bench", "/other"}[id%2]
	at := id * 4099 % (1 << 20)
	s.request = appendSigned(s.request[:0], s.mac, path, id, s.text[at:at+largeBody])
	for !s.sendOnce() && !s.Failed() && time.Now().Before(s.deadline) {
		time.Sleep(time.Second)
	}
}

// sendOnce sends the request and reports whether it was accepted. The answer
// may come while the request is being written; there is no use in sending the rest
// then.
func (s *largeSender) sendOnce() bool {
	if s.conn == nil && !s.dial() {
		return false
	}
	written := make(chan error, 1)
	go func() {
		_, err := s.conn.Write(s.request)
		written <- err
	}()
	status, err := s.conn.answer()
	switch {
	case err != nil:
		s.cut.Add(1)
	case status == http.StatusAccepted:
		if err := <-written; err != nil {
			s.Errorf("accepted, but not sent: %v", err)
		}
		s.accepted.Add(1)
		return true
	case status == http.StatusServiceUnavailable:
		s.refused.Add(1)
	default:
		s.Errorf("answered %d, want 202 or 503", status)
	}
	s.conn.Close()
	<-written
	s.conn = nil
	return false
}

func (s *largeSender) dial() bool {
	conn, err := net.Dial("tcp", s.addr)
	if err == nil {
		err = conn.SetDeadline(s.deadline)
	}
	if err != nil {
		s.Error(err)
		return false
	}
	s.conn = &loadConn{conn, bufio.NewReaderSize(conn, 1024)}
	return true
}

func (s *largeSender) hangUp() {
	if s.conn != nil {
		s.conn.Close()
	}
}
