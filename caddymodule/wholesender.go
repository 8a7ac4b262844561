// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"slices"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// wholeLimit is the length up to which a body is sent together with the header.
// Longer ones do not fit into the buffer of a connection beside it.
const wholeLimit = 4 << 10

// sendWhole makes the proxies in the routes of an inbox send a small body in one
// write with the header.
//
// They are made for bodies that are still on their way, and so send the header as
// soon as they have it. Ours are in memory, and a write that can be saved, with the
// second awakening of the application, is a tenth of what a delivery costs.
func sendWhole(routes caddyhttp.RouteList) {
	eachProxy(routes, func(proxy *reverseproxy.Handler) {
		if transport, ok := proxy.Transport.(*reverseproxy.HTTPTransport); ok && !busy(proxy) {
			taken := takeOver(transport)
			proxy.Transport = wholeSender{taken, trackConnections(taken.Transport)}
		}
	})
}

// busy reports whether the proxy uses its transport already, for health checks,
// so that it must not be replaced.
func busy(proxy *reverseproxy.Handler) bool {
	checks := proxy.HealthChecks
	return checks != nil && checks.Active != nil && checks.Active.IsEnabled()
}

// takeOver returns the transport, so that who configured it finds nothing any more to
// clean up: Caddy would do it while attempts are under way, and [deliveryRoute] waits.
func takeOver(transport *reverseproxy.HTTPTransport) *reverseproxy.HTTPTransport {
	taken := *transport
	transport.Transport = nil
	return &taken
}

// wholeSender is the transport of a proxy that sends small bodies whole, and repeats
// no request more than once.
type wholeSender struct {
	*reverseproxy.HTTPTransport
	opened *connections
}

// RoundTrip implements [http.RoundTripper].
func (s wholeSender) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	d, ok := r.Context().Value(deliveredKey{}).(*delivered)
	if !ok {
		return s.HTTPTransport.RoundTrip(r)
	}
	d.askForPacked(r, s.Transport)
	empty := r.Body == nil || r.Body == http.NoBody
	counts, repeat := empty || s.TLS != nil || slices.Contains(s.Versions, "h2c"), d.repeat
	if counts {
		repeat = func() error { return nil } // countRepeats does
	}
	if !empty && r.ContentLength > 0 && r.ContentLength <= wholeLimit {
		whole := *r
		rd := d.readWhole(r.Body, r.ContentLength)
		whole.Body, whole.GetBody = rd.again(repeat)
		r = &whole
		defer func() {
			if err != nil && rd.whole && d.root != nil {
				// Go's transport would not have read it to find that nobody is there. It
				// is for another proxy, of the route for errors.
				d.root.Reset(d.root.data)
			}
		}()
	} else if !empty {
		body := d.guard(r.Body)
		defer body.sent()
		guarded := *r
		guarded.Body, guarded.GetBody = body, func() (io.ReadCloser, error) {
			if err := repeat(); err != nil {
				return nil, err
			}
			return body.again()
		}
		r = &guarded
	}
	if counts {
		return s.countRepeats(r, d)
	}
	return s.HTTPTransport.RoundTrip(r)
}

// countRepeats sends a request whose repetitions the body does not tell: Go's transport
// repeats one without a body as often as it likes, and in HTTP/2 it asks for the body
// once more than it sends it.
func (s wholeSender) countRepeats(r *http.Request, d *delivered) (*http.Response, error) {
	ctx, stop := context.WithCancelCause(r.Context()) // which ends with the attempt
	var written atomic.Bool                           // since there was the last connection
	var last atomic.Pointer[use]
	resp, err := s.HTTPTransport.RoundTrip(r.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteHeaders: func() { written.Store(true) },
		GotConn: func(got httptrace.GotConnInfo) {
			last.Store(s.use(got.Conn, r.Header))
			if !written.Swap(false) || d.repeats.Add(1) == 1 {
				return
			}
			stop(errRepeated)
			if !s.multiplexes(got.Conn) { // in HTTP/1 it would still be written
				got.Conn.Close()
			}
		},
	})))
	if last := last.Load(); last != nil {
		last.ended(r.Context(), err)
	}
	if err != nil && context.Cause(ctx) == errRepeated {
		err = errRepeated
	}
	return resp, err
}

// closeIdle closes all connections, when nothing is under way in them.
//
// HTTP/2 tidies up after an attempt that has ended, and there is nothing that tells
// when it is done. It is a matter of microseconds, and of a processor. Where it takes
// longer the connection is left open; see [connection].
func (s wholeSender) closeIdle() {
	s.Transport.CloseIdleConnections()
	for range 20 {
		if s.opened.none() {
			return
		}
		time.Sleep(time.Millisecond)
		s.Transport.CloseIdleConnections()
	}
}

// multiplexes reports whether the connection speaks HTTP/2 or HTTP/3. One of HTTP/3
// must not be closed: it is none, and panics.
func (s wholeSender) multiplexes(conn net.Conn) bool {
	if conn, ok := conn.(*tls.Conn); ok {
		return conn.ConnectionState().NegotiatedProtocol == "h2"
	}
	return slices.Contains(s.Versions, "h2c") || slices.Contains(s.Versions, "3")
}

// use returns the use of a connection in which other requests may be under way too,
// or nil.
func (s wholeSender) use(conn net.Conn, header http.Header) *use {
	if own := ownConnection(conn); own != nil && s.multiplexes(conn) {
		return own.begin(header)
	}
	return nil
}

// read is what was read of a body in order to send it whole. A proxy that finds
// nobody to send it to, and tries another upstream, has it sent from here.
type read struct {
	of    io.ReadCloser
	data  []byte
	whole bool // it was as long as was said
}

// readWhole reads a body through whatever handlers of the route put around it, if
// it is not the one that was read last.
func (d *delivered) readWhole(body io.ReadCloser, length int64) read {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.last.of != body {
		d.last = readWhole(body, length)
	}
	return d.last
}

func readWhole(body io.ReadCloser, length int64) read {
	data := make([]byte, length+1) // one more, to see that it ends
	n, err := io.ReadFull(body, data)
	whole := int64(n) == length && err == io.ErrUnexpectedEOF
	if whole {
		body.Close()
	}
	return read{body, data[:n], whole}
}

// again returns the body for a request, and what returns it once more if it may be
// repeated.
//
// One that is not as long as was said is for the transport to find out, in the
// way it always does.
func (rd read) again(repeat func() error) (io.ReadCloser, func() (io.ReadCloser, error)) {
	if !rd.whole {
		return &restored{io.MultiReader(bytes.NewReader(rd.data), rd.of), rd.of}, nil
	}
	data := rd.data
	// net/http knows that a body of these types is in memory.
	body := func() io.ReadCloser { return io.NopCloser(bytes.NewReader(data)) }
	return body(), func() (io.ReadCloser, error) {
		if err := repeat(); err != nil {
			return nil, err
		}
		return body(), nil
	}
}

// restored is a body of which a part was read.
type restored struct {
	io.Reader
	io.Closer
}
