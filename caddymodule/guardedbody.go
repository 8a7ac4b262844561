// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"sync"
)

// errChanged ends an attempt whose request would have to be repeated, with a body that
// handlers of the route made and that is gone.
var errChanged = errors.New("the application closed a connection without an answer, and the body that the route made cannot be sent again")

// guardedBody is a long body. HTTP/2 may close it while it is read, which the one that
// a proxy makes does not bear. And it can be sent again if it is the one that is
// stored, which it need not be: handlers of the route may have replaced it.
type guardedBody struct {
	stored []byte

	mu     sync.Mutex
	route  io.ReadCloser // what the route made of the body
	from   io.Reader     // what is read: that, or what is stored
	asked  bool          // for the body again: from then on it is what is stored
	read   int           // how much of it was
	differ bool          // what was read, and what is stored
	closed bool          // by the transport
	over   bool          // the request, so that it is not asked for again
}

// guard returns the body to be sent. A proxy that finds nobody to send it to, and tries
// another upstream, has what was asked for again sent from what is stored.
func (d *delivered) guard(body io.ReadCloser) *guardedBody {
	d.mu.Lock()
	defer d.mu.Unlock()
	next := &guardedBody{stored: d.message.Request.Body, route: body, from: body}
	if d.long != nil && d.long.route == body && d.long.isStored() {
		next.from, next.asked = newWholeBody(next.stored, http.NoBody), true
	}
	d.long = next
	return next
}

// Read implements [io.Reader].
func (b *guardedBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return 0, http.ErrBodyReadAfterClose
	}
	n, err := b.from.Read(p)
	b.compare(p[:n])
	return n, err
}

// compare compares what comes next with what is stored there.
func (b *guardedBody) compare(next []byte) {
	b.differ = b.differ || !bytes.HasPrefix(b.stored[b.read:], next)
	if !b.differ {
		b.read += len(next)
	}
}

// again returns the body from its beginning, if all of it is what is stored.
func (b *guardedBody) again() (io.ReadCloser, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.asked {
		b.asked = true
		read := b.read
		rest := make([]byte, 32<<10)
		var err error
		for n := 0; err == nil && !b.differ; {
			n, err = b.route.Read(rest)
			b.compare(rest[:n])
		}
		b.differ = b.differ || err != io.EOF || b.read < len(b.stored)
		b.from = bytes.NewReader(b.stored[read:]) // for who did not begin to read
		b.read = read
	}
	if b.differ {
		b.from = brokenBody{}
		return nil, errChanged
	}
	return newWholeBody(b.stored, http.NoBody), nil
}

// isStored reports whether the body was found to be what is stored.
func (b *guardedBody) isStored() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.asked && !b.differ
}

// Close implements [io.Closer].
func (b *guardedBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	return b.closeRoute()
}

// sent says that nobody asks for the body again.
func (b *guardedBody) sent() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over = true
	_ = b.closeRoute()
}

// closeRoute closes what the route made when nobody reads it any more.
func (b *guardedBody) closeRoute() error {
	if !b.closed || !b.over {
		return nil
	}
	return b.route.Close()
}

// brokenBody is what was read, and is not there again.
type brokenBody struct{}

func (brokenBody) Read([]byte) (int, error) { return 0, errChanged }
