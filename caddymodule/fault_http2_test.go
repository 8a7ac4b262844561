// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/caddy-webhook-inbox/inbox/queue/queuetest/ledger"
)

// A framer is an application that speaks HTTP/2 a frame at a time, and so can do in
// it what no server would. It writes what it gets into the ledger.
type framer struct {
	t      *testing.T
	ledger *ledger.Ledger
	addr   string
	fault  frameFault
	serves sync.WaitGroup
	over   chan struct{} // closed when all messages are settled
	opened atomic.Int64
	conns  sync.Map // that are open: their numbers

	// answer, if set before the first delivery, answers instead.
	answer func(c *frameConn, stream uint32, q *frameRequest)

	mu       sync.Mutex
	requests map[string]int // by the attempt that they belong to
}

// A frameFault is something that an application does with the first attempt of a
// message, or with its first connection. It answers everything else with 204.
type frameFault struct {
	name  string
	greet func(*frameConn) // said at the begin of the first connection, instead of SETTINGS
	do    func(c *frameConn, stream uint32)

	ends     time.Duration // the attempt_timeout, if it is another than that of the rest
	secure   bool          // over TLS
	early    bool          // do it when there is the header, and read no body
	deaf     bool          // the application reads nothing while it does it
	once     bool          // do it to the first request only: the transport may repeat it
	delivers bool          // the inbox may take it for an answer with 200
	answers  bool          // it is an answer, though none with 2xx
	long     bool          // the message has a long body
	empty    bool          // the message has no body
	bytes    int64         // that the application can write at most, before it is not heard any more; 0 if only its time is up
}

// newFramer returns an application with a fault.
func newFramer(t *testing.T, l *ledger.Ledger, fault frameFault) *framer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &framer{t: t, ledger: l, addr: listener.Addr().String(), fault: fault, over: make(chan struct{}), requests: make(map[string]int)}
	t.Cleanup(func() {
		listener.Close()
		r.conns.Range(func(conn, _ any) bool { conn.(net.Conn).Close(); return true })
		r.serves.Wait()
	})
	r.serves.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // closed
			}
			r.serves.Go(func() { r.serve(conn) })
		}
	})
	return r
}

// certificate is that of secure applications.
var certificate = sync.OnceValue(func() []tls.Certificate {
	srv := httptest.NewTLSServer(nil)
	defer srv.Close()
	return srv.TLS.Certificates
})

// serve answers the requests of a connection.
func (r *framer) serve(bare net.Conn) {
	r.conns.Store(bare, int64(0))
	defer func() {
		bare.Close()
		r.conns.Delete(bare)
	}()
	if r.fault.deaf { // so that it soon matters
		_ = bare.(*net.TCPConn).SetReadBuffer(64 << 10)
	}
	conn := bare
	if r.fault.secure {
		conn = tls.Server(bare, &tls.Config{Certificates: certificate(), NextProtos: []string{"h2"}})
	}
	_ = conn.SetReadDeadline(time.Now().Add(2 * patience))
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(conn, preface); err != nil || string(preface) != http2.ClientPreface {
		return
	}
	c := &frameConn{rogueConn: &rogueConn{Conn: conn, over: r.over}, number: r.opened.Add(1)}
	r.conns.Store(bare, c.number)
	c.frames = http2.NewFramer(c.rogueConn, conn)
	c.frames.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.frames.AllowIllegalWrites = true
	c.fields = hpack.NewEncoder(&c.block)
	if c.number == 1 && r.fault.greet != nil {
		r.fault.greet(c)
	} else if c.say(func(f *http2.Framer) error { return f.WriteSettings() }) != nil {
		return
	}
	var doing sync.WaitGroup
	defer doing.Wait()
	defer bare.Close() // which ends what is done
	r.read(c, &doing)
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.fault.bytes > 0 {
		r.ledger.Measured("bytes written by "+r.fault.name, float64(c.written), float64(r.fault.bytes+socketBuffers))
	}
}

// A frameRequest is a request of which frames came.
type frameRequest struct {
	key  string
	a    ledger.Attempt
	body []byte
}

// read reads frames until there are no more.
func (r *framer) read(c *frameConn, doing *sync.WaitGroup) {
	streams := make(map[uint32]*frameRequest)
	for {
		frame, err := c.frames.ReadFrame()
		if err != nil {
			return
		}
		ended := false
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			streams[frame.StreamID] = newFrameRequest(frame)
			ended = frame.StreamEnded()
		case *http2.DataFrame:
			if q := streams[frame.StreamID]; q != nil {
				q.body = append(q.body, frame.Data()...)
			}
			ended = frame.StreamEnded()
			err = r.window(c, frame)
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				err = c.say((*http2.Framer).WriteSettingsAck)
			}
		case *http2.PingFrame:
			if !frame.IsAck() {
				err = c.say(func(f *http2.Framer) error { return f.WritePing(true, frame.Data) })
			}
		}
		if err != nil && !c.ended {
			return
		}
		id := frame.Header().StreamID
		q := streams[id]
		if q == nil || !ended && !(r.fault.early && q.a.Number == 1) {
			continue
		}
		delete(streams, id)
		if !r.answers(c, id, q, doing) {
			return
		}
	}
}

// window lets the inbox send more, unless it is the window that is at fault.
func (r *framer) window(c *frameConn, data *http2.DataFrame) error {
	if r.fault.greet != nil && c.number == 1 || len(data.Data()) == 0 {
		return nil
	}
	n := uint32(len(data.Data()))
	return c.say(func(f *http2.Framer) error {
		if err := f.WriteWindowUpdate(0, n); err != nil || data.StreamEnded() {
			return err
		}
		return f.WriteWindowUpdate(data.StreamID, n)
	})
}

func newFrameRequest(frame *http2.MetaHeadersFrame) *frameRequest {
	q := &frameRequest{}
	for _, field := range frame.RegularFields() {
		switch http.CanonicalHeaderKey(field.Name) {
		case "X-Webhook-Id":
			q.key = field.Value
		case "Webhook-Inbox-Attempt":
			q.a.Number, _ = strconv.Atoi(field.Value)
		case "Webhook-Inbox-Id":
			q.a.Message = field.Value
		}
	}
	q.a.Began = time.Now()
	return q
}

// answers answers a request, and reports whether to read on.
func (r *framer) answers(c *frameConn, stream uint32, q *frameRequest, doing *sync.WaitGroup) bool {
	r.mu.Lock()
	attempt := "attempt " + strconv.Itoa(q.a.Number) + " with " + q.key
	r.requests[attempt]++
	n := r.requests[attempt]
	r.ledger.Measured("requests in "+attempt, float64(n), 2)
	r.mu.Unlock()
	if r.answer != nil {
		r.answer(c, stream, q)
		return true
	}
	q.a.Ended = time.Now() // at the earliest
	if r.fault.do == nil || q.a.Number > 1 || r.fault.once && n > 1 {
		return r.accepts(c, stream, q) == nil
	}
	if r.fault.delivers {
		q.a.Status = http.StatusOK
	}
	if body := q.body; n == 1 && !r.fault.once {
		if r.fault.early {
			body = longBody
		}
		r.ledger.Tried(q.key, body, q.a)
	}
	if r.fault.deaf {
		said := make(chan struct{})
		doing.Go(func() { c.hearEnd(said) })
		r.fault.do(c, stream)
		close(said)
		return false
	}
	doing.Go(func() { r.fault.do(c, stream) })
	return true
}

// accepts answers 204.
func (r *framer) accepts(c *frameConn, stream uint32, q *frameRequest) error {
	q.a.Ended, q.a.Status = time.Now(), http.StatusNoContent
	r.ledger.Tried(q.key, q.body, q.a)
	return c.header(stream, true, ":status", "204")
}
