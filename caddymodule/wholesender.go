// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"bytes"
	"io"
	"net/http"

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
	for _, route := range routes {
		for _, handler := range route.Handlers {
			switch handler := handler.(type) {
			case *caddyhttp.Subroute:
				sendWhole(handler.Routes)
			case *reverseproxy.Handler:
				if transport, ok := handler.Transport.(*reverseproxy.HTTPTransport); ok && !busy(handler) {
					handler.Transport = wholeSender{transport}
				}
			}
		}
	}
}

// busy reports whether the proxy uses its transport already, for health checks,
// so that it must not be replaced.
func busy(proxy *reverseproxy.Handler) bool {
	checks := proxy.HealthChecks
	return checks != nil && checks.Active != nil && checks.Active.IsEnabled()
}

// wholeSender is the transport of a proxy that sends small bodies whole.
type wholeSender struct{ *reverseproxy.HTTPTransport }

// RoundTrip implements [http.RoundTripper].
func (s wholeSender) RoundTrip(r *http.Request) (*http.Response, error) {
	d, ok := r.Context().Value(deliveredKey{}).(*delivered)
	if !ok || r.Body == nil || r.ContentLength <= 0 || r.ContentLength > wholeLimit {
		return s.HTTPTransport.RoundTrip(r)
	}
	whole := *r
	whole.Body, whole.GetBody = d.readWhole(r.Body, r.ContentLength).again(d.repeat)
	return s.HTTPTransport.RoundTrip(&whole)
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
