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

// silences is after how many attempts in a row without an answer an HTTP/2 connection
// is closed.
const silences = 5

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

// close closes the connections that are open.
func (c *connections) close() {
	c.mu.Lock()
	open := slices.Collect(maps.Keys(c.all))
	c.mu.Unlock()
	for _, conn := range open {
		_ = conn.Close()
	}
}

// A connection is one to the application. In HTTP/2 it is closed when it hangs: nothing
// else would do it while there are answers in others, and it would get one attempt
// after the other.
//
// It hangs if five attempts in a row got no answer in it in their time, each of which
// began after the last answer that there was in it. So there was none for longer than
// an attempt may take.
type connection struct {
	net.Conn
	of *connections

	mu      sync.Mutex
	answers int
	silent  int // attempts since the last answer
}

// Close implements [net.Conn].
func (c *connection) Close() error {
	c.of.mu.Lock()
	delete(c.of.all, c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}

// ownConnection returns the connection that conn is, or is secured in. It is nil for
// those that are not tracked.
func ownConnection(conn net.Conn) *connection {
	if secure, ok := conn.(*tls.Conn); ok {
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

func (c *connection) begin() *use {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &use{c, c.answers}
}

// ended says that the attempt got an answer, or the error.
func (u *use) ended(ctx context.Context, err error) {
	if err == nil {
		u.answered()
	} else if timedOut(ctx, err) && u.hangs() {
		_ = u.of.Close()
	}
}

func (u *use) answered() {
	u.of.mu.Lock()
	defer u.of.mu.Unlock()
	u.of.answers++
	u.of.silent = 0
}

// hangs notes that there was no answer, and reports whether the connection hangs.
func (u *use) hangs() bool {
	u.of.mu.Lock()
	defer u.of.mu.Unlock()
	if u.answers == u.of.answers {
		u.of.silent++
	}
	return u.of.silent >= silences
}

// timedOut reports whether an attempt had to end because of its time. One that the
// application refused, or that was interrupted, says nothing of the connection.
func timedOut(ctx context.Context, err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return errors.Is(ctx.Err(), context.DeadlineExceeded) || ok && timeout.Timeout()
}
