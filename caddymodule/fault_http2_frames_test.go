// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"bytes"
	"io"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// A frameConn is a connection of a framer.
type frameConn struct {
	*rogueConn
	number int64 // counted from 1; those in which nothing is said have none

	ended bool // nothing more is said, but all is read: a reset would take back what was said

	mu     sync.Mutex // for what is written
	frames *http2.Framer
	fields *hpack.Encoder
	block  bytes.Buffer
}

// say writes frames.
func (c *frameConn) say(what func(*http2.Framer) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return what(c.frames)
}

// header returns what says a header of names and values in turn.
func (c *frameConn) header(stream uint32, end bool, fields ...string) error {
	return c.say(func(f *http2.Framer) error {
		return f.WriteHeaders(http2.HeadersFrameParam{
			StreamID: stream, BlockFragment: c.encoded(fields...), EndHeaders: true, EndStream: end,
		})
	})
}

// encoded is to be called within say.
func (c *frameConn) encoded(fields ...string) []byte {
	c.block.Reset()
	for i := 0; i < len(fields); i += 2 {
		_ = c.fields.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return c.block.Bytes()
}

// hearEnd listens again when all messages are settled, and ends what is said if the
// inbox has closed the connection by then. Of that one hears nothing before: the end
// comes after what the inbox said and what is not read, and what waits to be sent does
// not make the system of the inbox, which has no connection any more, answer at once.
func (c *frameConn) hearEnd(said <-chan struct{}) {
	select {
	case <-said:
		return
	case <-c.over:
	}
	_ = c.SetReadDeadline(time.Time{})
	_, _ = io.Copy(io.Discard, c.Conn)
	c.Close()
}

// endlessly says frames again and again, many in one write, until nobody listens.
func (c *frameConn) endlessly(what func(*http2.Framer) error) {
	var all bytes.Buffer
	f := http2.NewFramer(&all, nil)
	f.AllowIllegalWrites = true
	for range 200 {
		_ = what(f)
	}
	for {
		err := c.say(func(*http2.Framer) error {
			_, err := c.Write(all.Bytes())
			return err
		})
		if err != nil {
			return
		}
	}
}
