// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"slices"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/intercept"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// A connection hangs after five attempts in a row whose time was up, all of which
// began after its last answer. Attempts that ended for another reason say nothing.
func TestConnectionHangsAfterSilencesInARow(t *testing.T) {
	t.Parallel()
	opened := trackConnections(new(http.Transport))
	near, far := net.Pipe()
	defer far.Close()
	conn := opened.add(near)
	open := func() bool { return len(opened.all) == 1 }
	timeout := os.ErrDeadlineExceeded

	var early []*use
	for range silences {
		early = append(early, conn.begin())
	}
	conn.begin().ended(t.Context(), nil)
	for _, u := range early { // there was an answer while they waited
		u.ended(t.Context(), timeout)
	}
	for range silences - 1 {
		conn.begin().ended(t.Context(), timeout)
	}
	for range 2 * silences {
		conn.begin().ended(t.Context(), errors.New("the application resets the stream"))
		conn.begin().ended(t.Context(), context.Canceled)
	}
	conn.begin().ended(t.Context(), nil)
	for range silences - 1 {
		conn.begin().ended(t.Context(), timeout)
	}
	if !open() {
		t.Fatal("it is closed after fewer in a row")
	}
	conn.begin().ended(t.Context(), timeout)
	if open() {
		t.Error("it is open")
	}
	if _, err := near.Write(nil); err == nil {
		t.Error("it can be written to")
	}
}

// One that is not ours, as those of HTTP/3 are, is never closed: they would panic.
func TestConnectionsOfHTTP3AreLeftAlone(t *testing.T) {
	t.Parallel()
	conn, _ := net.Pipe()
	s := wholeSender{HTTPTransport: &reverseproxy.HTTPTransport{Versions: []string{"3"}}}
	if !s.multiplexes(conn) {
		t.Error("it is taken for one in which the request would still be written")
	}
	if s.use(conn) != nil {
		t.Error("it is one that may be closed")
	}
}

// The proxies of a route are all that there are in it, wherever they are.
func TestEachProxyIsFound(t *testing.T) {
	t.Parallel()
	var all []*reverseproxy.Handler
	route := func(handlers ...caddyhttp.MiddlewareHandler) caddyhttp.RouteList {
		proxy := new(reverseproxy.Handler)
		all = append(all, proxy)
		return caddyhttp.RouteList{{}, {Handlers: append(handlers, proxy)}}
	}
	answers := func(handlers ...caddyhttp.MiddlewareHandler) []caddyhttp.ResponseHandler {
		return []caddyhttp.ResponseHandler{{}, {Routes: route(handlers...)}}
	}
	routes := route(
		&caddyhttp.Subroute{Routes: route(), Errors: &caddyhttp.HTTPErrorConfig{Routes: route()}},
		&reverseproxy.Handler{HandleResponse: answers(&caddyhttp.Subroute{Routes: route()})},
		&intercept.Intercept{HandleResponse: answers()},
	)
	var found []*reverseproxy.Handler
	eachProxy(routes, func(proxy *reverseproxy.Handler) { found = append(found, proxy) })
	for i, proxy := range all {
		if !slices.Contains(found, proxy) {
			t.Errorf("proxy %d is not found", i)
		}
	}
	if len(found) != len(all)+1 {
		t.Errorf("%d were found, want %d", len(found), len(all)+1)
	}
}
