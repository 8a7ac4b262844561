// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"context"
	"crypto/tls"
	"errors"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
)

// connections are those of a transport that are open.
type connections struct {
	mu  sync.Mutex
	all map[*connection]struct{}
}

// trackConnections returns the connections that the transport opens from now on.
//
// Those that Caddy secures by itself, because the server's name has a placeholder or
// there is the PROXY protocol, are not among them.
func trackConnections(transport *http.Transport) *connections {
	c := &connections{all: make(map[*connection]struct{})}
	if dial := transport.DialContext; dial != nil {
		transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dial(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return c.add(conn), nil
		}
	}
	return c
}

func (c *connections) add(conn net.Conn) *connection {
	own := &connection{Conn: conn, of: c}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all[own] = struct{}{}
	return own
}

// none reports whether no connection is open.
func (c *connections) none() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.all) == 0
}

// close closes the connections that are open.
func (c *connections) close() {
	c.mu.Lock()
	open := slices.Collect(maps.Keys(c.all))
	c.mu.Unlock()
	for _, conn := range open {
		_ = conn.Close()
	}
}

// A connection is one to the application. In HTTP/2, where many attempts share one, it
// may hang: that no answer came in it to an attempt, and none since that one began, is
// the sign. Then the next attempt is the last in it, and it is closed when there is
// nothing under way in it any more.
//
// It is not closed before, so that nothing is broken off which would be answered, and
// it does no harm to take it for one that hangs. A sender whose requests are passed
// through can do that, if it does not wait for the answers.
type connection struct {
	net.Conn
	of *connections

	mu      sync.Mutex
	answers int
	silent  bool // to an attempt that began after the last answer
}

// Close implements [net.Conn].
func (c *connection) Close() error {
	c.of.mu.Lock()
	delete(c.of.all, c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}

// ownConnection returns the connection that conn is, or is secured in: twice, if it
// leads through a proxy to which it is secured, too. It is nil for those that are not
// tracked.
func ownConnection(conn net.Conn) *connection {
	for {
		secure, ok := conn.(*tls.Conn)
		if !ok {
			break
		}
		conn = secure.NetConn()
	}
	own, _ := conn.(*connection)
	return own
}

// use is that of a connection by one attempt.
type use struct {
	of      *connection
	answers int // that there were when it began
}

// begin says that an attempt sends its request over the connection. If it is to be the
// last, its header says so to the transport, which does not send that in HTTP/2.
func (c *connection) begin(header http.Header) *use {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.silent {
		header.Set("Connection", "close")
	}
	return &use{c, c.answers}
}

// ended says that the attempt got an answer, or the error.
func (u *use) ended(ctx context.Context, err error) {
	u.of.mu.Lock()
	defer u.of.mu.Unlock()
	if err == nil {
		u.of.answers++
		u.of.silent = false
	} else if gaveUp(ctx, err) && u.answers == u.of.answers {
		u.of.silent = true
	}
}

// gaveUp reports whether an attempt ended because nobody waited for the answer any
// more. One that the application refused says nothing of the connection.
func gaveUp(ctx context.Context, err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ctx.Err() != nil || ok && timeout.Timeout()
}
