// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

var (
	errTooLarge = errors.New("the body is larger than max_body")
	errTooLong  = errors.New("the body is longer than its Content-Length says")
	errNoMemory = errors.New("the bodies being received take all of max_in_flight, or this endpoint's half of it")
)

// firstRead is how much memory a body gets before its first byte came. It
// doubles from there, as bytes come, until a quarter of what was announced is
// there: a sender that announces much and sends nothing holds no more.
const firstRead = 4 << 10

// bodyReader reads one request body within a size, a time, and the budgets of
// its endpoint and of all.
type bodyReader struct {
	own     *budget
	shared  *budget
	garbage *garbage
	limit   int64
	timeout time.Duration
	taken   int64
	size    int // of the memory of the body
}

// read returns the whole body, nil if it is empty. Its time is counted from begun.
// The memory counts as taken until release.
func (b *bodyReader) read(w http.ResponseWriter, r *http.Request, begun time.Time) ([]byte, error) {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return nil, nil
	}
	ctrl := http.NewResponseController(w)
	limited := ctrl.SetReadDeadline(begun.Add(b.timeout)) == nil

	// One byte more than the body is expected to have: the read that fills less
	// than the buffer is the one that finds the end.
	most := b.limit + 1
	if r.ContentLength > 0 {
		most = min(most, r.ContentLength+1)
	}
	buf, err := b.grow(nil, min(most, firstRead))
	for err == nil {
		var n int
		n, err = r.Body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch {
		case int64(len(buf)) > b.limit:
			return nil, errTooLarge
		case err == io.EOF:
			if limited {
				// Left in place, it would cancel the request while its message is
				// written.
				_ = ctrl.SetReadDeadline(time.Time{})
			}
			return b.fitting(buf), nil
		case err == nil && int64(len(buf)) == most:
			return nil, errTooLong // a handler before this one changed it
		case err == nil && len(buf) == cap(buf):
			size := 2 * int64(cap(buf))
			if r.ContentLength > 0 && size >= most/2 {
				size = most
			}
			buf, err = b.grow(buf, min(most, size))
		}
	}
	return nil, err
}

// fitting returns a body in memory of about its size: a message may be kept in
// memory long after its request.
func (b *bodyReader) fitting(buf []byte) []byte {
	if cap(buf) <= 2*len(buf) {
		return buf
	}
	return bytes.Clone(buf)
}

// grow returns buf with the given capacity.
func (b *bodyReader) grow(buf []byte, size int64) ([]byte, error) {
	n := size - int64(cap(buf))
	if !b.own.take(n) {
		return nil, errNoMemory
	}
	if !b.shared.take(n) {
		b.own.give(n)
		return nil, errNoMemory
	}
	b.taken += n
	b.garbage.leave(cap(buf))
	if size >= largeGarbage {
		b.garbage.collect()
	}
	grown := make([]byte, len(buf), size)
	copy(grown, buf)
	b.size = cap(grown)
	return grown, nil
}

// release says that the body is not needed any more, but by who keeps it beyond the
// request.
func (b *bodyReader) release() {
	b.garbage.leave(b.size)
	b.own.give(b.taken)
	b.shared.give(b.taken)
}

// bodyRefusal is the refusal of a request whose body could not be read.
func bodyRefusal(err error) refusal {
	refused := refusal{unread: true}
	var handlerErr caddyhttp.HandlerError
	switch {
	case errors.Is(err, errNoMemory):
		refused.outcome, refused.cause = overloaded, err
	case errors.Is(err, errTooLarge):
		refused.outcome, refused.cause = tooLarge, err
	case errors.Is(err, os.ErrDeadlineExceeded):
		refused.outcome, refused.cause = tooSlow, errors.New("the body took longer than read_timeout")
	case errors.As(err, &handlerErr) && handlerErr.StatusCode == http.StatusRequestEntityTooLarge:
		refused.outcome, refused.cause = tooLarge, errors.New("the body is larger than request_body allows")
	case errors.As(err, new(*http.MaxBytesError)):
		refused.outcome, refused.cause = tooLarge, errors.New("the body is larger than the server allows")
	default:
		refused.outcome, refused.cause = broken, fmt.Errorf("reading the body: %w", err)
	}
	return refused
}
