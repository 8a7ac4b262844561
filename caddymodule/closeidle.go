// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"net/http"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/intercept"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// deliveryRoute is the compiled delivery route of an endpoint. It keeps connections to
// the application until its configuration is replaced, and nothing is under way.
//
// While something is, none is closed: Go's transport takes a connection for idle in
// the moment in which it hands out the answer, and if it is closed then the answer is
// lost, and the message would be delivered again. Only proxies with active health
// checks, and those of named routes, keep a transport that is configured to
// themselves, and Caddy closes theirs.
//
// After an attempt without an answer none is trusted, and those that there are are
// closed before the next attempt. In HTTP/2 that would go through the same one, which
// may hang, and be given up only after a hundred attempts. Where something is always
// under way, a [connection] that may hang is let go of by itself.
type deliveryRoute struct {
	caddyhttp.Handler
	routes caddyhttp.RouteList

	mu       sync.Mutex
	underWay int
	replaced bool
	doubtful bool // the connections
}

// ServeHTTP implements [caddyhttp.Handler].
func (r *deliveryRoute) ServeHTTP(w http.ResponseWriter, req *http.Request) error {
	r.change(+1)
	defer r.change(-1)
	return r.Handler.ServeHTTP(w, req)
}

func (r *deliveryRoute) change(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n > 0 && r.underWay == 0 {
		r.closeUnused() // once more: by now nothing is under way for Go's transport, too
		r.doubtful = false
	}
	r.underWay += n
	r.closeUnused()
}

// doubt says that an attempt got no answer, or not all of it.
func (r *deliveryRoute) doubt() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.doubtful = true
	r.closeUnused()
}

// letGo closes the connections as soon as nothing is under way in them.
func (r *deliveryRoute) letGo() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.replaced = true
	r.closeUnused()
}

func (r *deliveryRoute) closeUnused() {
	if (r.replaced || r.doubtful) && r.underWay == 0 {
		closeIdle(r.routes, r.replaced)
	}
}

// closeIdle makes the proxies in routes close the connections that they keep to the
// application. Otherwise they would stay for two minutes, after each reload as many as
// there were attempts at a time. If it is for good, there are to be no others.
func closeIdle(routes caddyhttp.RouteList, forGood bool) {
	eachProxy(routes, func(proxy *reverseproxy.Handler) {
		switch transport := proxy.Transport.(type) {
		case wholeSender:
			if forGood {
				_ = transport.Cleanup()
				transport.opened.close() // those in which HTTP/2 still tidies up, too
			} else {
				transport.closeIdle()
			}
		case *reverseproxy.HTTPTransport:
			transport.Transport.CloseIdleConnections()
		}
	})
}

// boundWrites makes the proxies in routes close an HTTP/2 connection to an application
// that reads nothing of it, before an attempt with that timeout ends. All that is under
// way in a connection waits for a write in it, even what wants to end.
func boundWrites(routes caddyhttp.RouteList, timeout time.Duration) {
	eachProxy(routes, func(proxy *reverseproxy.Handler) {
		if transport, ok := proxy.Transport.(*reverseproxy.HTTPTransport); ok && !busy(proxy) {
			transport.Transport.HTTP2 = &http.HTTP2Config{WriteByteTimeout: timeout / 2}
		}
	})
}

// eachProxy calls do with each proxy in routes, and in the routes that are within
// them: of errors, and for the answers of other proxies.
func eachProxy(routes caddyhttp.RouteList, do func(*reverseproxy.Handler)) {
	answers := func(handlers []caddyhttp.ResponseHandler) {
		for _, handler := range handlers {
			eachProxy(handler.Routes, do)
		}
	}
	for _, route := range routes {
		for _, handler := range route.Handlers {
			switch handler := handler.(type) {
			case *caddyhttp.Subroute:
				eachProxy(handler.Routes, do)
				if handler.Errors != nil {
					eachProxy(handler.Errors.Routes, do)
				}
			case *reverseproxy.Handler:
				do(handler)
				answers(handler.HandleResponse)
			case *intercept.Intercept:
				answers(handler.HandleResponse)
			}
		}
	}
}
