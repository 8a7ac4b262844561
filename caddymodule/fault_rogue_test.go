// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"strings"
)

// rogueFaults returns what applications do to an attempt. Redirects lead to the
// trap.
func rogueFaults(trap string) []rogueFault {
	const (
		ok      = "HTTP/1.1 200 OK\r\n"
		chunked = ok + "Transfer-Encoding: chunked\r\n\r\n"
	)
	filler := strings.Repeat("x", 4096)
	say := func(text string) func(*rogueConn) {
		return func(c *rogueConn) { c.say(text) }
	}
	endlessly := func(begin, more string) func(*rogueConn) {
		return func(c *rogueConn) { c.say(begin); c.endlessly(more) }
	}
	hang := func(begin string) func(*rogueConn) {
		return func(c *rogueConn) { c.say(begin); c.hang() }
	}
	drip := func(begin, more string) func(*rogueConn) {
		return func(c *rogueConn) { c.say(begin); c.drip(more) }
	}
	reset := func(begin string) func(*rogueConn) {
		return func(c *rogueConn) { c.say(begin); c.reset() }
	}

	// What is read of a body is a MiB, and of a header what reverse_proxy takes for
	// one.
	const body, header = 1 << 20, 10 << 20
	faults := []rogueFault{
		{name: "endless-body", do: endlessly(fmt.Sprintf(ok+"Content-Length: %d\r\n\r\n", 1<<40), filler), delivers: true, bytes: body},
		{name: "endless-chunks", do: endlessly(chunked, "1000\r\n"+filler+"\r\n"), delivers: true, bytes: 2 * body},
		{name: "endless-small-chunks", do: endlessly(chunked, strings.Repeat("1\r\nx\r\n", 500)), delivers: true, bytes: 6 * body},
		{name: "endless-until-close", do: endlessly(ok+"Connection: close\r\n\r\n", filler), delivers: true, bytes: body},
		{name: "gzip-bomb", do: endlessly(ok+"Content-Encoding: gzip\r\n\r\n", zipped(16<<20)), delivers: true, bytes: body},
		{name: "gzip-of-nothing", do: endlessly(ok+"Content-Encoding: gzip\r\n\r\n", strings.Repeat(zipped(0), 1000)), delivers: true, bytes: body},
		// A block of nothing, of which there may be any number.
		{name: "gzip-of-empty-blocks", do: endlessly(ok+"Content-Encoding: gzip\r\n\r\n"+zipped(0)[:10], strings.Repeat("\x00\x00\x00\xff\xff", 1000)), delivers: true, bytes: body},
		{name: "no-gzip-at-all", do: say(ok + "Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nplain"), delivers: true},
		{name: "hints-and-answer", do: say("HTTP/1.1 103 Early Hints\r\nRetry-After: 3600\r\n\r\n" + ok + "Content-Length: 0\r\n\r\n"), delivers: true},
		{name: "answers-unheard", do: func(c *rogueConn) { c.say(ok + "Content-Length: 0\r\n\r\n"); c.doze() }, delivers: true, deaf: true},

		{name: "silence", do: hang("")},
		{name: "reads-nothing", do: (*rogueConn).doze, deaf: true},
		{name: "hangs-in-status", do: hang("HTTP/1.1 2")},
		{name: "hangs-in-header", do: hang(ok + "X-Header: ")},
		{name: "hangs-after-header", do: hang(ok + "Content-Length: 10\r\n\r\n")},
		{name: "hangs-in-body", do: hang(ok + "Content-Length: 10\r\n\r\nhalf")},
		{name: "hangs-before-last-chunk", do: hang(chunked + "4\r\nhalf\r\n")},
		{name: "drips-header", do: drip(ok, "X-Header: x\r\n")},
		{name: "drips-body", do: drip(ok+"Content-Length: 100000\r\n\r\n", "x")},
		{name: "drips-chunks", do: drip(chunked, "1\r\nx\r\n")},
		{name: "drips-hints", do: drip("", "HTTP/1.1 102 Processing\r\n\r\n")},

		{name: "endless-status", do: endlessly("HTTP/1.1 200 ", filler), bytes: header},
		{name: "endless-header", do: endlessly(ok+"X-Header: ", filler), bytes: header},
		{name: "endless-headers", do: endlessly(ok, "X-Header: "+filler+"\r\n"), bytes: header},
		{name: "endless-hints", do: endlessly("", "HTTP/1.1 103 Early Hints\r\nLink: </"+filler[:100]+">\r\n\r\n"), bytes: header},
		{name: "endless-large-hints", do: endlessly("", "HTTP/1.1 103 Early Hints\r\n"+strings.Repeat("Link: </"+filler+">\r\n", 100)+"\r\n"), bytes: header},
		{name: "endless-chunk-extension", do: endlessly(chunked+"1;x=", filler), bytes: body},
		{name: "endless-trailer", do: endlessly(chunked+"1\r\nx\r\n0\r\n", "X-Trailer: "+filler+"\r\n"), bytes: body},

		{name: "closes", do: say("")},
		{name: "closes-in-header", do: say(ok + "Content-Le")},
		{name: "closes-in-body", do: say(ok + "Content-Length: 10\r\n\r\nhalf")},
		{name: "closes-in-chunk", do: say(chunked + "a\r\nhalf")},
		{name: "closes-before-last-chunk", do: say(chunked + "4\r\nhalf\r\n")},
		{name: "resets", do: reset("")},
		{name: "resets-in-header", do: reset(ok + "Content-Le")},
		{name: "resets-in-body", do: reset(ok + "Content-Length: 10\r\n\r\nhalf")},

		{name: "another-protocol", do: say("220 mail.example.com ESMTP\r\n")},
		{name: "switches-protocol", do: hang("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")},
		{name: "two-lengths", do: say(ok + "Content-Length: 0\r\nContent-Length: 1\r\n\r\n")},
		{name: "negative-length", do: say(ok + "Content-Length: -1\r\n\r\n")},
		{name: "status-000", do: say("HTTP/1.1 000 Nothing\r\nContent-Length: 2\r\n\r\nok")},
		{name: "status-099", do: say("HTTP/1.1 099 Nothing\r\nContent-Length: 2\r\n\r\nok")},
		{name: "status-600", do: say("HTTP/1.1 600 What\r\nContent-Length: 2\r\n\r\nok")},
		{name: "status-2000", do: say("HTTP/1.1 2000 What\r\nContent-Length: 2\r\n\r\nok")},
	}
	for _, status := range []int{300, 301, 302, 303, 307, 308} {
		faults = append(faults, rogueFault{
			name: fmt.Sprintf("redirects-%d", status),
			do:   say(fmt.Sprintf("HTTP/1.1 %d Elsewhere\r\nLocation: http://%s/\r\nContent-Length: 0\r\n\r\n", status, trap)),
		})
	}
	return faults
}

// zipped returns so many bytes in as few as possible.
func zipped(size int) string {
	b := new(bytes.Buffer)
	w, _ := gzip.NewWriterLevel(b, gzip.BestCompression) // which never fails
	_, _ = w.Write(make([]byte, size))
	_ = w.Close()
	return b.String()
}
