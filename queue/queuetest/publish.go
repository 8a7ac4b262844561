// SPDX-License-Identifier: Apache-2.0

package queuetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

func publishPromises() []promise {
	return []promise{
		{name: "a message is handed out as it was published", test: func(f *fixture) {
			for _, m := range f.diverse() {
				f.publish(queue.Accepted, m)
				f.identical(f.takeThis(m).Message, m)
			}
		}},
		{name: "a message is the same after the queue was reopened", test: func(f *fixture) {
			all := f.diverse()
			for _, m := range all {
				f.publish(queue.Accepted, m)
			}
			f.reopen()
			for _, m := range all {
				f.identical(f.takeThis(m).Message, m)
			}
		}},
		{name: "a message is the same on every attempt", test: func(f *fixture) {
			for _, m := range f.diverse() {
				f.publish(queue.Accepted, m)
				f.ok(f.takeThis(m).Lease.Nack(0, queue.History{Attempts: 1}))
				f.identical(f.takeThis(m).Message, m)
			}
		}},
		{name: "a dead letter is whole", test: func(f *fixture) {
			for _, m := range f.diverse() {
				f.publish(queue.Accepted, m)
				f.ok(f.takeThis(m).Lease.Bury("gone", queue.History{}, f.units(100)))
				d, err := f.DeadLetter(f.Context(), here, m.ID)
				f.ok(err)
				f.identical(d.Message, m)
			}
		}},
		{name: "a message without keys is always stored", test: func(f *fixture) {
			m := f.give(here)
			again := *m
			again.ID = f.Message(here).ID
			f.publish(queue.Accepted, &again)
			f.takeAll(m, &again)
		}},
		{name: "a message is for its endpoint only", test: func(f *fixture) {
			m := f.give(here)
			f.nothing(there)
			f.takeThis(m)
		}},
		{name: "publishing again after an error is safe", test: func(f *fixture) {
			ctx, cancel := context.WithCancel(f.Context())
			cancel()
			m, key := f.Message(here), Key("a", f.units(100))
			_, err := f.Publish(ctx, queue.Publication{Message: m, Keys: []queue.Key{key}})
			if err != nil {
				f.fails(err, context.Canceled)
			}
			again := f.Message(here)
			r, err := f.Publish(f.Context(), queue.Publication{Message: again, Keys: []queue.Key{key}})
			f.ok(err)
			if d := f.take(here); d.Message.ID != r.ID {
				f.Fatalf("handed out %s, the receipt names %s", d.Message.ID, r.ID)
			}
			f.nothing(here)
		}},
		{name: "a full share refuses with ErrFull and records nothing", test: func(f *fixture) {
			key := Key("a", f.units(100))
			m := f.big(here)
			_, err := f.Publish(f.Context(), queue.Publication{Message: m, Keys: []queue.Key{key}, MaxSize: int64(len(m.Request.Body))})
			f.fails(err, queue.ErrFull)
			f.nothing(here)
			f.publish(queue.Accepted, m, key)
		}},
		{name: "a share counts waiting, kept and dead messages", test: func(f *fixture) {
			const share = 5 << 19 // room for two big messages
			try := func() error {
				_, err := f.Publish(f.Context(), queue.Publication{Message: f.big(here), MaxSize: share})
				return err
			}
			f.ok(try())
			f.ok(try())
			f.fails(try(), queue.ErrFull)
			f.ok(f.take(here).Lease.Bury("gone", queue.History{}, f.units(1000)))
			f.fails(try(), queue.ErrFull)
			f.ok(f.take(here).Lease.Ack(0))
			f.ok(try())
		}},
		{name: "a share is the endpoint's own", test: func(f *fixture) {
			const share = 3 << 19
			f.publish(queue.Accepted, f.big(there))
			f.publish(queue.Accepted, f.big(there))
			_, err := f.Publish(f.Context(), queue.Publication{Message: f.big(here), MaxSize: share})
			f.ok(err)
		}},
		{name: "a duplicate is one even if the share is full", test: func(f *fixture) {
			key := Key("a", f.units(100))
			first := f.keyed(queue.Accepted, here, key)
			r, err := f.Publish(f.Context(), queue.Publication{Message: f.Message(here), Keys: []queue.Key{key}, MaxSize: 1})
			f.ok(err)
			if r != (queue.Receipt{Outcome: queue.Duplicate, ID: first.ID}) {
				f.Fatalf("the receipt is %+v", r)
			}
		}},
	}
}

// fullPromises are about queues that are opened with a limit.
func fullPromises() []promise {
	const limit = 8 << 20
	return []promise{
		{name: "a full queue refuses with ErrFull until there is room", maxSize: limit, test: func(f *fixture) {
			f.fill()
			_, err := f.Publish(f.Context(), queue.Publication{Message: f.big(there)})
			f.fails(err, queue.ErrFull)
			for range 2 {
				f.ok(f.take(here).Lease.Ack(0))
			}
			f.publish(queue.Accepted, f.big(there))
		}},
		{name: "kept messages make room", maxSize: limit, test: func(f *fixture) {
			n := f.fill()
			for range n {
				f.ok(f.take(here).Lease.Ack(f.units(1000)))
			}
			f.publish(queue.Accepted, f.big(there))
			if left := len(f.kept(here)); left == 0 || left >= n {
				f.Fatalf("%d of %d kept messages are left", left, n)
			}
		}},
		{name: "dead letters do not make room", maxSize: limit, test: func(f *fixture) {
			n := f.fill()
			for range n {
				f.ok(f.take(here).Lease.Bury("gone", queue.History{}, f.units(1000)))
			}
			_, err := f.Publish(f.Context(), queue.Publication{Message: f.big(there)})
			f.fails(err, queue.ErrFull)
			if left := len(f.dead(here)); left != n {
				f.Fatalf("%d of %d dead letters are left", left, n)
			}
		}},
	}
}

// fill publishes big messages until there is no room, and returns how many.
func (f *fixture) fill() int {
	f.Helper()
	for n := range 50 {
		_, err := f.Publish(f.Context(), queue.Publication{Message: f.big(here)})
		if errors.Is(err, queue.ErrFull) {
			return n
		}
		f.ok(err)
	}
	f.Fatal("the limit is not kept")
	return 0
}

// big returns a message with a body of 1 MiB that cannot be compressed.
func (f *fixture) big(endpoint string) *queue.Message {
	m := f.Message(endpoint)
	m.Request.Body = noise(1 << 20)
	return m
}

// diverse returns messages that are easy to get wrong.
func (f *fixture) diverse() []*queue.Message {
	full := f.Message(here)
	full.Scheme = "standard_webhooks"
	full.Request = queue.Request{
		Method:      "PROPFIND",
		URI:         "/a%2Fb/?x=1;y=2&z=%zz",
		OriginalURI: "//in/a%2Fb/?x=1;y=2&z=%zz",
		Proto:       "HTTP/2.0",
		Host:        "hooks.example.com:8443",
		Header: http.Header{
			"X-Twice":  {"one", "two"},
			"X-Empty":  {""},
			"X-Latin1": {"caf\xe9"},
			"x-lower":  {"kept as it is"},
			"X-Commas": {"a, b", "c"},
			"X-None":   {},
		},
		Body:         []byte(`{"a":1}`),
		RemoteAddr:   "[2001:db8::1]:443",
		ClientIP:     "203.0.113.7",
		TrustedProxy: true,
		Placeholders: map[string]string{"http.vars.tenant": "a", "http.regexp.path.1": ""},
		TLS:          &queue.TLS{Version: 0x0304, CipherSuite: 0x1301, ServerName: "hooks.example.com", NegotiatedProtocol: "h2"},
	}

	bare := f.Message(here)
	bare.FreshUntil = time.Time{}
	bare.Scheme = ""
	bare.Request = queue.Request{Method: "POST", URI: "/", OriginalURI: "/"}

	empty := f.Message(here)
	empty.Request.Body = []byte{}
	empty.Request.Header = http.Header{}
	empty.Request.TLS = &queue.TLS{}

	notText := f.Message(here)
	notText.Request.URI = "/\xff\xfe"
	notText.Request.Body = []byte("\x00\xff\xfe\r\n\x00")

	long := f.Message(here)
	long.Request.Header.Set("X-Long", strings.Repeat("x", 60_000))

	large := f.Message(here)
	large.Request.Body = noise(3 << 20)

	nanoseconds := f.Message(here)
	nanoseconds.ReceivedAt = nanoseconds.ReceivedAt.Add(123_456_789)

	return []*queue.Message{full, bare, empty, notText, long, large, nanoseconds}
}

// identical checks that two messages are the same, but for whether something
// empty is nil, and for the time zone.
func (f *fixture) identical(got, want *queue.Message) {
	f.Helper()
	if !got.ReceivedAt.Equal(want.ReceivedAt) || !got.FreshUntil.Equal(want.FreshUntil) ||
		got.FreshUntil.IsZero() != want.FreshUntil.IsZero() {
		f.Fatalf("times are %v and %v, want %v and %v", got.ReceivedAt, got.FreshUntil, want.ReceivedAt, want.FreshUntil)
	}
	if !bytes.Equal(got.Request.Body, want.Request.Body) {
		f.Fatalf("the body of %d bytes differs from the one of %d bytes published", len(got.Request.Body), len(want.Request.Body))
	}
	a, b := plain(got), plain(want)
	if !reflect.DeepEqual(a, b) {
		f.Fatalf("the message differs:\n got %+v\nwant %+v", a, b)
	}
}

// plain returns a copy of m without what identical compares itself.
func plain(m *queue.Message) queue.Message {
	p := *m
	p.ReceivedAt, p.FreshUntil, p.Request.Body = time.Time{}, time.Time{}, nil
	p.Request.Header = http.Header{}
	for name, values := range m.Request.Header {
		if len(values) > 0 {
			p.Request.Header[name] = values
		}
	}
	return p
}

func noise(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}
