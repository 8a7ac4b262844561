// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"net/http"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// deliveryRoute is the compiled delivery route of an endpoint. It keeps connections to
// the application until its configuration is replaced.
type deliveryRoute struct {
	caddyhttp.Handler
	routes   caddyhttp.RouteList
	replaced atomic.Bool
}

// ServeHTTP implements [caddyhttp.Handler].
func (r *deliveryRoute) ServeHTTP(w http.ResponseWriter, req *http.Request) error {
	defer func() {
		if r.replaced.Load() { // and the request may have opened another connection
			closeIdle(r.routes)
		}
	}()
	return r.Handler.ServeHTTP(w, req)
}

// letGo closes the connections that are idle, and the others when they are.
func (r *deliveryRoute) letGo() {
	r.replaced.Store(true)
	closeIdle(r.routes)
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
