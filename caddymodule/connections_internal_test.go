// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"context"
	"crypto/tls"
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

// After an attempt that nobody waited for any more the next one is the last in a
// connection, unless there was an answer since it began. Attempts that ended for
// another reason say nothing.
func TestConnectionTakesOneAttemptMoreAfterSilence(t *testing.T) {
	t.Parallel()
	opened := trackConnections(new(http.Transport))
	near, far := net.Pipe()
	defer far.Close()
	conn := opened.add(near)
	gone, leave := context.WithCancel(t.Context())
	leave()
	expect := func(what, want string) {
		t.Helper()
		header := make(http.Header)
		conn.begin(header)
		if got := header.Get("Connection"); got != want {
			t.Errorf("after %s: Connection %q, want %q", what, got, want)
		}
	}
	begin := func() *use { return conn.begin(make(http.Header)) }

	expect("nothing", "")
	early := begin()
	begin().ended(t.Context(), nil)
	early.ended(t.Context(), os.ErrDeadlineExceeded)
	expect("a silence during which there was an answer", "")
	begin().ended(t.Context(), errors.New("the application resets the stream"))
	begin().ended(t.Context(), context.Canceled)
	expect("errors while somebody waits", "")
	for what, ended := range map[string]func(*use){
		"a timeout":            func(u *use) { u.ended(t.Context(), os.ErrDeadlineExceeded) },
		"a sender that leaves": func(u *use) { u.ended(gone, context.Canceled) },
	} {
		ended(begin())
		expect(what, "close")
		begin().ended(t.Context(), errors.New("the application resets the stream"))
		expect(what+" and an error", "close")
		begin().ended(t.Context(), nil)
		expect(what+" and an answer", "")
	}
	if len(opened.all) != 1 {
		t.Error("it is closed")
	}
}

// A connection that is secured twice, through a proxy to which it is secured, is ours.
func TestConnectionThroughSecureProxyIsOurs(t *testing.T) {
	t.Parallel()
	near, far := net.Pipe()
	defer far.Close()
	conn := trackConnections(new(http.Transport)).add(near)
	secured := net.Conn(conn)
	for layers := range 3 {
		if got := ownConnection(secured); got != conn {
			t.Errorf("secured %d times: %v", layers, got)
		}
		secured = tls.Client(secured, new(tls.Config))
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
	if s.use(conn, make(http.Header)) != nil {
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
