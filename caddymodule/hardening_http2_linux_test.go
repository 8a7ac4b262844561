// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue/queuetest/ledger"
)

// A stream is a request over HTTP/2 with a body that is bad, of which many share one
// connection.
type stream struct {
	name, path, token string
	length            int64 // that is announced; -1 without
	next              func(ctx context.Context, sent int64, p []byte) (int, error)
	status            int   // that it is answered with; 0 if it is not
	most              int64 // bytes that are taken of it
}

var errGivenUp = errors.New("the sender gives up")

var badStreams = []stream{
	{"slow", "/open", "", 8 << 20, trickle(1), http.StatusRequestTimeout, 1 << 10},
	{"much, and then slow", "/open", "", 8 << 20, trickle(6 << 20), http.StatusRequestTimeout, 6<<20 + 1<<10},
	{"without end", "/open", "", -1, trickle(1 << 40), http.StatusRequestEntityTooLarge, 12 << 20},
	{"without end nor token", "/demo", "wrong", -1, trickle(1 << 40), http.StatusUnauthorized, 4 << 20},
	{"reset in the middle", "/open", "", 1 << 20, givenUp(64 << 10), 0, 64 << 10},
	{"reset in the middle, with a token", "/demo", "secret-token", 1 << 20, givenUp(64 << 10), 0, 64 << 10},
}

// trickle sends so many bytes as fast as they are taken, and then one at a time.
func trickle(fast int64) func(context.Context, int64, []byte) (int, error) {
	return func(ctx context.Context, sent int64, p []byte) (int, error) {
		if sent < fast {
			return int(min(int64(len(p)), fast-sent)), nil
		}
		pause(ctx, 50*time.Millisecond)
		return 1, ctx.Err()
	}
}

// givenUp sends so many bytes, and resets the stream.
func givenUp(after int64) func(context.Context, int64, []byte) (int, error) {
	return func(_ context.Context, sent int64, p []byte) (int, error) {
		if sent >= after {
			return 0, errGivenUp
		}
		return int(min(int64(len(p)), after-sent)), nil
	}
}

// A streamBody counts what is taken of a body.
type streamBody struct {
	ctx  context.Context
	next func(context.Context, int64, []byte) (int, error)
	sent atomic.Int64
}

func (b *streamBody) Read(p []byte) (int, error) {
	n, err := b.next(b.ctx, b.sent.Load(), p)
	b.sent.Add(int64(n))
	return n, err
}

// run returns the status, 0 if there was none, and how many bytes were sent.
func (s stream) run(ctx context.Context, client *http.Client, addr string) (status int, sent int64, err error) {
	body := &streamBody{ctx: ctx, next: s.next}
	r, err := http.NewRequestWithContext(ctx, "POST", "http://"+addr+s.path, io.NopCloser(body))
	if err != nil {
		return 0, 0, err
	}
	r.ContentLength = s.length
	r.Header.Set("X-Webhook-Token", s.token)
	resp, err := client.Do(r)
	if err != nil {
		return 0, body.sent.Load(), err
	}
	resp.Body.Close()
	return resp.StatusCode, body.sent.Load(), nil
}

// http2Client has one connection for all requests that are under way.
func http2Client() *http.Client {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Client{Transport: &http.Transport{Protocols: protocols}}
}

// Each of the bad bodies alone: it is refused with the right status, or dropped with
// its stream; little of it is taken; other streams of the connection go on; nothing of
// it is delivered, and nothing is held for it in the end.
func TestAttackStreamsOfHTTP2(t *testing.T) {
	l := new(ledger.Ledger)
	app := witness(t, l, nil)
	s := newServer(t)
	readTimeout := fmt.Sprintf("read_timeout %ds", slowdown*rounds(3, 10))
	site := strings.Replace(memorySite(app.addr, "8MiB"), "read_timeout 1m", readTimeout, 1)
	p := startCaddy(t, s, s.caddyfile(s.inFlight("2GiB"), site))
	client := http2Client()
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	var streams sync.WaitGroup
	for _, bad := range slices.Repeat(badStreams, rounds(2, 20)) {
		streams.Go(func() {
			status, sent, err := bad.run(ctx, client, s.addr)
			if status != bad.status || bad.status == 0 && !errors.Is(err, errGivenUp) || sent > bad.most {
				t.Errorf("%s: %d after %d bytes (%v), want %d after %d at most", bad.name, status, sent, err, bad.status, bad.most)
			}
		})
	}
	for n := range 20 {
		id := "genuine-" + string(rune('a'+n))
		sendTo(t, l, client, "http://"+s.addr+"/", id, []byte(id))
	}
	streams.Wait()
	s.settled("open")
	if c := judge(t, l, s, "demo"); c.Attempts != c.Accepted || c.Accepted != 20 {
		t.Errorf("%+v, want what is genuine and nothing else", c)
	}
	eventually(t, "the memory of the bodies is given back", func() bool { return s.metric("caddy_webhook_inbox_receiving_bytes") == 0 })
	p.expect(202, "POST", "/open", nil, "x")
}

// streamsAtOnce is how many streams of a connection are bad at the same time.
const streamsAtOnce = 60

// overHTTP2 runs bad streams one after the other, many at once over one connection.
var overHTTP2 = bodyAttack{
	run: func(ctx context.Context, addr string, _ int) int64 {
		client := http2Client()
		defer client.CloseIdleConnections()
		var sent atomic.Int64
		var streams sync.WaitGroup
		for n := range streamsAtOnce {
			streams.Go(func() {
				for ctx.Err() == nil {
					_, bytes, _ := badStreams[n%len(badStreams)].run(ctx, client, addr)
					sent.Add(bytes)
					pause(ctx, 200*time.Millisecond)
				}
			})
		}
		streams.Wait()
		return sent.Load()
	},
	// A connection may have a MiB under way, twice, and a stream takes as much as a
	// connection of HTTP/1.
	kib: 2<<10 + streamsAtOnce*50,
}

// Few connections have many streams with slow and endless bodies and such as are reset
// in the middle, again and again. Memory stays within its bound, and others are served.
func TestAttackManyStreamsOfHTTP2(t *testing.T) {
	t.Parallel()
	l := new(ledger.Ledger)
	attackWithBodies(t, l, overHTTP2, "16MiB", rounds(8, 40), 0)
	report(t, l, ledger.End{})
}

// Without a bound the same attack takes so much that the ledger says so.
func TestAttackManyStreamsOfHTTP2WithoutABound(t *testing.T) {
	t.Parallel()
	needsMemory(t)
	l := new(ledger.Ledger)
	attackWithBodies(t, l, overHTTP2, "8GiB", 8, 250<<20)
	expectBroken(t, l, ledger.End{}, ledger.Growth)
}
