// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"fmt"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// frameFaults returns what applications do to an attempt in HTTP/2.
func frameFaults() []frameFault {
	type does = func(*frameConn, uint32)
	all := func(steps ...does) does {
		return func(c *frameConn, id uint32) {
			for _, step := range steps {
				step(c, id)
			}
		}
	}
	says := func(fields ...string) does {
		return func(c *frameConn, id uint32) { _ = c.header(id, false, fields...) }
	}
	ends := func(fields ...string) does {
		return func(c *frameConn, id uint32) { _ = c.header(id, true, fields...) }
	}
	ok := says(":status", "200")
	data := func(text string, end bool) does {
		return func(c *frameConn, id uint32) {
			_ = c.say(func(f *http2.Framer) error { return f.WriteData(id, end, []byte(text)) })
		}
	}
	resets := func(code http2.ErrCode) does {
		return func(c *frameConn, id uint32) {
			_ = c.say(func(f *http2.Framer) error { return f.WriteRSTStream(id, code) })
		}
	}
	// goes says that the streams before this one, or it too, are the last.
	goes := func(with int, code http2.ErrCode) does {
		return func(c *frameConn, id uint32) {
			_ = c.say(func(f *http2.Framer) error { return f.WriteGoAway(uint32(max(0, int(id)-2+2*with)), code, nil) })
		}
	}
	endlessly := func(what func(f *http2.Framer, id uint32) error) does {
		return func(c *frameConn, id uint32) {
			c.endlessly(func(f *http2.Framer) error { return what(f, id) })
		}
	}
	closes := func(c *frameConn, _ uint32) { c.Close() }
	hangs := func(*frameConn, uint32) {}
	raw := func(text string) does {
		return func(c *frameConn, _ uint32) {
			_ = c.say(func(*http2.Framer) error { c.rogueConn.say(text); return nil })
		}
	}
	pings := endlessly(func(f *http2.Framer, _ uint32) error { return f.WritePing(false, [8]byte{}) })
	settings := endlessly(func(f *http2.Framer, _ uint32) error { return f.WriteSettings() })
	settingsOf := func(s ...http2.Setting) func(*frameConn) {
		return func(c *frameConn) { _ = c.say(func(f *http2.Framer) error { return f.WriteSettings(s...) }) }
	}
	filler := strings.Repeat("x", 8192)
	const body, header = 4 << 20, 10 << 20

	faults := []frameFault{
		{name: "answers", do: ends(":status", "200"), delivers: true},
		{name: "answers-with-trailers", do: all(ok, data("ok", false), ends("x-trailer", "x")), delivers: true},
		{name: "hints-and-answers", do: all(says(":status", "103", "retry-after", "3600"), ends(":status", "200")), delivers: true},
		{name: "answers-and-goes", do: all(goes(1, http2.ErrCodeNo), ends(":status", "200"), closes), delivers: true},
		{name: "answers-after-it-goes", do: all(goes(1, http2.ErrCodeNo), ok, data("ok", true)), delivers: true},
		{name: "answers-unheard", do: all(ends(":status", "200"), resets(http2.ErrCodeNo)), early: true, long: true, delivers: true},
		{name: "endless-body", do: all(ok, endlessly(func(f *http2.Framer, id uint32) error { return f.WriteData(id, false, []byte(filler)) })), delivers: true, bytes: body},

		{name: "refuses-once", do: resets(http2.ErrCodeRefusedStream), once: true},
		{name: "refuses-empty-once", do: resets(http2.ErrCodeRefusedStream), once: true, empty: true},
		{name: "goes-before-once", do: goes(0, http2.ErrCodeNo), once: true},
		{name: "goes-before-and-answers", do: all(goes(0, http2.ErrCodeNo), ends(":status", "200")), delivers: true},
		{name: "refuses", do: resets(http2.ErrCodeRefusedStream)},
		{name: "refuses-empty", do: resets(http2.ErrCodeRefusedStream), empty: true},
		{name: "refuses-long", do: resets(http2.ErrCodeRefusedStream), early: true, long: true},
		{name: "goes-before", do: goes(0, http2.ErrCodeNo)},
		{name: "goes-before-empty", do: goes(0, http2.ErrCodeNo), empty: true},
		{name: "goes-before-with-error", do: goes(0, http2.ErrCodeEnhanceYourCalm)},
		{name: "goes-and-hangs", do: goes(1, http2.ErrCodeNo)},
		{name: "goes-and-closes", do: all(goes(1, http2.ErrCodeInternal), closes)},

		{name: "hangs", do: hangs},
		{name: "hangs-after-header", do: ok},
		{name: "hangs-in-body", do: all(ok, data("half", false))},
		{name: "hangs-in-header", do: func(c *frameConn, id uint32) {
			_ = c.say(func(f *http2.Framer) error {
				return f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.encoded(":status", "200")})
			})
		}},
		{name: "reads-nothing", do: func(c *frameConn, _ uint32) { c.doze() }, greet: func(c *frameConn) {
			settingsOf(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1})(c)
			_ = c.say(func(f *http2.Framer) error { return f.WriteWindowUpdate(0, 1<<30) })
		}, early: true, deaf: true, long: true},
		{name: "says-no-settings", do: hangs, greet: func(*frameConn) {}},
		{name: "no-window", do: hangs, greet: settingsOf(http2.Setting{ID: http2.SettingInitialWindowSize}), early: true, long: true},
		{name: "drips-window", greet: settingsOf(http2.Setting{ID: http2.SettingInitialWindowSize}), do: func(c *frameConn, id uint32) {
			for c.say(func(f *http2.Framer) error { return f.WriteWindowUpdate(id, 1) }) == nil {
				time.Sleep(20 * time.Millisecond) // the pace of the attack
			}
		}, early: true, long: true},
		{name: "too-much-window", do: endlessly(func(f *http2.Framer, _ uint32) error { return f.WriteWindowUpdate(0, 1<<31-1) })},
		{name: "drips-body", do: all(ok, func(c *frameConn, id uint32) {
			for c.say(func(f *http2.Framer) error { return f.WriteData(id, false, []byte("x")) }) == nil {
				time.Sleep(20 * time.Millisecond)
			}
		})},

		{name: "pings", do: pings},
		{name: "pings-and-reads-nothing", do: pings, deaf: true},
		{name: "answers-and-pings-and-reads-nothing", do: all(ok, endlessly(func(f *http2.Framer, id uint32) error {
			_ = f.WriteData(id, false, []byte("x"))
			return f.WritePing(false, [8]byte{})
		})), deaf: true},
		{name: "settings", do: settings},
		{name: "settings-and-reads-nothing", do: settings, deaf: true},
		{name: "empty-data", do: all(ok, endlessly(func(f *http2.Framer, id uint32) error { return f.WriteData(id, false, nil) }))},
		{name: "padding", do: all(ok, endlessly(func(f *http2.Framer, id uint32) error {
			return f.WriteDataPadded(id, false, nil, make([]byte, 255))
		}))},
		{name: "hints", do: func(c *frameConn, id uint32) {
			for c.header(id, false, ":status", "103", "link", filler[:100]) == nil {
			}
		}, bytes: header},
		{name: "large-header", do: func(c *frameConn, id uint32) {
			_ = c.say(func(f *http2.Framer) error {
				return f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.encoded(":status", "200")})
			})
			c.endlessly(func(f *http2.Framer) error { return f.WriteContinuation(id, false, field("x-filler", filler)) })
		}, bytes: header},
		{name: "empty-continuations", do: func(c *frameConn, id uint32) {
			_ = c.say(func(f *http2.Framer) error {
				return f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.encoded(":status", "200")})
			})
			c.endlessly(func(f *http2.Framer) error { return f.WriteContinuation(id, false, nil) })
		}},
		// A byte is the field that was said before, of 4 KiB.
		{name: "header-of-references", do: func(c *frameConn, id uint32) {
			_ = c.say(func(f *http2.Framer) error {
				block := append(c.encoded(":status", "200", "x-filler", filler[:4000]), strings.Repeat("\xbe", 16000)...)
				return f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block[:16000], EndHeaders: true, EndStream: true})
			})
		}},

		{name: "resets-in-body", do: all(says(":status", "200", "content-length", "10"), data("half", false), resets(http2.ErrCodeCancel))},
		{name: "resets-before-end", do: all(ok, data("all", false), resets(http2.ErrCodeNo))},
		{name: "resets-within-request", do: resets(http2.ErrCodeInternal), early: true, long: true},
		{name: "closes", do: closes},
		{name: "closes-after-header", do: all(ok, closes)},
		{name: "closes-in-body", do: all(says(":status", "200", "content-length", "10"), data("half", false), closes)},
		{name: "closes-within-request", do: closes, early: true, long: true},
		{name: "resets-connection", do: func(c *frameConn, _ uint32) {
			if tcp, ok := c.Conn.(interface{ SetLinger(int) error }); ok {
				_ = tcp.SetLinger(0)
			}
			c.Close()
		}},
		{name: "ends-too-early", do: ends(":status", "200", "content-length", "10")},
		{name: "too-little", do: all(says(":status", "200", "content-length", "10"), data("half", true))},

		{name: "another-protocol", do: raw("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")},
		{name: "data-before-header", do: data("ok", true)},
		{name: "trailers-without-end", do: all(ok, ok)},
		{name: "status-in-trailers", do: all(ok, ends(":status", "200"))},
		{name: "answers-another-stream", do: func(c *frameConn, id uint32) { _ = c.header(id+2, true, ":status", "200") }},
		{name: "pushes", do: func(c *frameConn, id uint32) {
			_ = c.say(func(f *http2.Framer) error {
				return f.WritePushPromise(http2.PushPromiseParam{StreamID: id, PromiseID: 2, BlockFragment: c.encoded(":status", "200"), EndHeaders: true})
			})
		}},
		{name: "hints-at-the-end", do: ends(":status", "103")},
		{name: "no-status", do: ends("x-status", "200")},
		{name: "two-statuses", do: ends(":status", "500", ":status", "200")},
		{name: "late-status", do: ends("x-first", "1", ":status", "200")},
		{name: "wrong-settings", do: func(c *frameConn, _ uint32) { settingsOf(http2.Setting{ID: http2.SettingMaxFrameSize, Val: 1})(c) }},
	}
	for _, status := range []string{"", "ok", "20000000000000000000000", "101"} {
		faults = append(faults, frameFault{name: "status-" + status, do: ends(":status", status)})
	}
	for _, status := range []string{"2", "-200", "000", "099", "300", "404", "500", "600", "1000", "2000"} {
		faults = append(faults, frameFault{name: "answers-" + status, do: ends(":status", status), answers: true})
	}
	for _, code := range []http2.ErrCode{http2.ErrCodeNo, http2.ErrCodeProtocol, http2.ErrCodeInternal, http2.ErrCodeFlowControl, http2.ErrCodeCancel, http2.ErrCodeEnhanceYourCalm} {
		faults = append(faults,
			frameFault{name: fmt.Sprintf("resets-%d", code), do: resets(code)},
			frameFault{name: fmt.Sprintf("resets-after-header-%d", code), do: all(ok, resets(code))})
	}
	return faults
}

// field is a field that needs no table.
func field(name, value string) []byte {
	var b strings.Builder
	_ = hpack.NewEncoder(&b).WriteField(hpack.HeaderField{Name: name, Value: value, Sensitive: true})
	return []byte(b.String())
}
