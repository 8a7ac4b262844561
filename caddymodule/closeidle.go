// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"net/http"
	"sync"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// deliveryRoute is the compiled delivery route of an endpoint. It keeps connections to
// the application until its configuration is replaced, and nothing is under way.
//
// While something is, none is closed: Go's transport takes a connection for idle in
// the moment in which it hands out the answer, and if it is closed then the answer is
// lost, and the message would be delivered again.
type deliveryRoute struct {
	caddyhttp.Handler
	routes caddyhttp.RouteList

	mu       sync.Mutex
	underWay int
	replaced bool
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
	r.underWay += n
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
	if r.replaced && r.underWay == 0 {
		closeIdle(r.routes)
	}
}

// closeIdle makes the proxies in routes close the connections that they keep to the
// application. Caddy does it for transports that are configured, but those of the
// default one would stay for two minutes, after each reload as many as there were
// attempts at a time.
func closeIdle(routes caddyhttp.RouteList) {
	for _, route := range routes {
		for _, handler := range route.Handlers {
			switch handler := handler.(type) {
			case *caddyhttp.Subroute:
				closeIdle(handler.Routes)
			case *reverseproxy.Handler:
				switch transport := handler.Transport.(type) {
				case wholeSender:
					transport.Transport.CloseIdleConnections()
				case *reverseproxy.HTTPTransport:
					transport.Transport.CloseIdleConnections()
				}
			}
		}
	}
}
