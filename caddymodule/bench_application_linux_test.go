// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A bareApplication takes deliveries on bare connections, and does as little as it
// can. It answers 204 to as many as it is allowed, and nothing to the others, whose
// connections it holds.
type bareApplication struct {
	b        *testing.B
	addr     string
	allowed  atomic.Int64
	answered atomic.Int64
	first    atomic.Int64 // when a delivery came first since arm, in Unix nanoseconds

	mu       sync.Mutex
	listener net.Listener // nil while it is down
	conns    map[net.Conn]struct{}
}

const allOfThem = math.MaxInt64

// newBareApplication returns one that is down.
func newBareApplication(b *testing.B) *bareApplication {
	b.Helper()
	a := &bareApplication{b: b, addr: freeAddr(b), conns: make(map[net.Conn]struct{})}
	a.allowed.Store(allOfThem)
	b.Cleanup(a.down)
	return a
}

func (a *bareApplication) up() {
	a.b.Helper()
	l, err := net.Listen("tcp", a.addr)
	if err != nil {
		a.b.Fatal(err)
	}
	a.mu.Lock()
	a.listener = l
	a.mu.Unlock()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // closed
			}
			go a.serve(conn)
		}
	}()
}

// down closes everything.
func (a *bareApplication) down() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.listener == nil {
		return
	}
	a.listener.Close()
	a.listener = nil
	for conn := range a.conns {
		conn.Close()
	}
}

// arm makes the next delivery the first one. All who delivered before must have
// ended.
func (a *bareApplication) arm() {
	a.b.Helper()
	eventually(a.b, "the connections of a process that has ended are closed", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return len(a.conns) == 0
	})
	a.first.Store(0)
}

// awaitFirst returns when the first delivery came.
func (a *bareApplication) awaitFirst(patience time.Duration) time.Time {
	a.b.Helper()
	waitFor(a.b, patience, "the first delivery comes", func() bool { return a.first.Load() != 0 })
	return time.Unix(0, a.first.Load())
}

func (a *bareApplication) serve(conn net.Conn) {
	a.mu.Lock()
	if a.listener == nil {
		a.mu.Unlock()
		conn.Close()
		return
	}
	a.conns[conn] = struct{}{}
	a.mu.Unlock()
	defer func() {
		conn.Close()
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.conns, conn)
	}()
	in := bufio.NewReaderSize(conn, 4096)
	for {
		if err := a.take(in); err != nil {
			return
		}
		if a.answered.Add(1) > a.allowed.Load() {
			a.answered.Add(-1)
			_, _ = io.Copy(io.Discard, in)
			return
		}
		if _, err := io.WriteString(conn, "HTTP/1.1 204 No Content\r\n\r\n"); err != nil {
			return
		}
	}
}

var (
	contentLength    = []byte("Content-Length: ")
	transferEncoding = []byte("Transfer-Encoding:")
)

// take reads one request.
func (a *bareApplication) take(in *bufio.Reader) error {
	length := 0
	for n := 0; ; n++ {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err // mostly that it is closed
		}
		if n == 0 && a.first.Load() == 0 {
			a.first.CompareAndSwap(0, time.Now().UnixNano())
		}
		line = bytes.TrimRight(line, "\r\n")
		if text, ok := bytes.CutPrefix(line, contentLength); ok {
			if length, err = strconv.Atoi(string(text)); err != nil {
				a.b.Errorf("a delivery with %q", line)
				return err
			}
		}
		if bytes.HasPrefix(line, transferEncoding) {
			a.b.Errorf("a delivery with %q: its length should be known", line)
			return fmt.Errorf("%q", line)
		}
		if len(line) == 0 {
			_, err := in.Discard(length)
			return err
		}
	}
}
