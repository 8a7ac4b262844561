// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-webhook-inbox/inbox/caddymodule"
	"github.com/caddy-webhook-inbox/inbox/queue"
	"github.com/caddy-webhook-inbox/inbox/verify"
)

// acceptingQueue accepts every message at once, and forgets it: what a request
// costs is then the handler's alone.
type acceptingQueue struct {
	queue.Queue // what is not asked for here

	// publish, if it is set, is told what is published.
	publish func(context.Context, queue.Publication)
}

func (q *acceptingQueue) Publish(ctx context.Context, p queue.Publication) (queue.Receipt, error) {
	if q.publish != nil {
		q.publish(ctx, p)
	}
	return queue.Receipt{Outcome: queue.Accepted, ID: p.Message.ID}, nil
}

// A desk is the handler of an inbox whose queue accepts everything, without a
// socket before it.
type desk struct {
	handler *caddymodule.Handler
	server  *caddyhttp.Server
	queue   *acceptingQueue
}

// newDesk runs Caddy with an endpoint that has the options.
func newDesk(t testing.TB, options string) *desk {
	t.Helper()
	s := newServer(t)
	if err := s.tryLoad(s.caddyfile("", "\twebhook_inbox bench {\n\t\t"+options+"\n\t\tdeliver 127.0.0.1:1\n\t}")); err != nil {
		t.Fatal(err)
	}
	return deskOf(t)
}

// deskOf returns the desk of the one endpoint that Caddy runs.
func deskOf(t testing.TB) *desk {
	t.Helper()
	app, err := caddy.ActiveContext().App("http")
	if err != nil {
		t.Fatal(err)
	}
	for _, server := range app.(*caddyhttp.App).Servers {
		if h := findHandler(server.Routes); h != nil {
			d := &desk{h, server, new(acceptingQueue)}
			t.Cleanup(h.PublishTo(d.queue))
			return d
		}
	}
	t.Fatal("no inbox in the configuration")
	return nil
}

func findHandler(routes caddyhttp.RouteList) *caddymodule.Handler {
	for _, route := range routes {
		for _, h := range route.Handlers {
			switch h := h.(type) {
			case *caddymodule.Handler:
				return h
			case *caddyhttp.Subroute:
				if found := findHandler(h.Routes); found != nil {
					return found
				}
			}
		}
	}
	return nil
}

// A webhook is a request that can be received again and again.
type webhook struct {
	*http.Request
	body   bytes.Reader
	answer silentWriter
}

// newWebhook returns a webhook as Caddy hands it to its handlers.
func (d *desk) newWebhook(h http.Header, body []byte) *webhook {
	r, _ := http.NewRequest("POST", "/hooks", nil)
	r.Host = "localhost"
	r.RequestURI = "/hooks"
	r.RemoteAddr = "192.0.2.1:1234"
	r.Header = h
	r.ContentLength = int64(len(body))
	w := &webhook{answer: silentWriter{header: make(http.Header)}}
	w.body.Reset(body)
	w.Request = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), &w.answer, d.server)
	w.Request.Body = io.NopCloser(&w.body)
	return w
}

// receive lets the handler receive the webhook and returns the status.
func (d *desk) receive(w *webhook) int {
	if _, err := w.body.Seek(0, io.SeekStart); err != nil {
		return 0
	}
	clear(w.answer.header)
	w.answer.status = 0
	if err := d.handler.ServeHTTP(&w.answer, w.Request, nil); err != nil {
		return 0
	}
	return w.answer.status
}

// silentWriter is the http.ResponseWriter of nobody.
type silentWriter struct {
	header http.Header
	status int
}

func (w *silentWriter) Header() http.Header             { return w.header }
func (w *silentWriter) WriteHeader(status int)          { w.status = status }
func (w *silentWriter) Write(p []byte) (int, error)     { return 0, errors.New("an answer has no body") }
func (w *silentWriter) SetReadDeadline(time.Time) error { return nil }

// A costed is a scheme whose cost is measured, and a webhook that it accepts.
type costed struct {
	name    string
	options string // of the endpoint
	sign    func(h http.Header, body []byte)
}

var costedSchemes = []costed{
	{"svix", "verify svix " + benchSecret, func(h http.Header, body []byte) {
		signer, _ := verify.NewStandardSigner([]verify.Secret{{Text: benchSecret}})
		signer.Sign(h, "msg_1", body, time.Now())
	}},
	{"github", "verify github " + benchSecret, func(h http.Header, body []byte) {
		mac := hmac.New(sha256.New, []byte(benchSecret))
		mac.Write(body)
		h.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
		h.Set("X-Github-Delivery", "1")
		h.Set("X-Github-Event", "push")
	}},
	{"token", "verify token X-Webhook-Token " + benchSecret + "\n\t\tmessage_id header X-Webhook-Id", func(h http.Header, _ []byte) {
		h.Set("X-Webhook-Token", benchSecret)
		h.Set("X-Webhook-Id", "1")
	}},
}

// webhookOf returns a webhook of the scheme. A forged one has the signature of
// another body, or a wrong token.
func (d *desk) webhookOf(c costed, forged bool) *webhook {
	h := header("Content-Type", "application/json", "User-Agent", "bench",
		"Accept", "*/*", "Accept-Encoding", "gzip", "Content-Length", strconv.Itoa(len(benchBody)))
	signed := benchBody
	if forged {
		signed = benchBody[1:]
	}
	c.sign(h, signed)
	if forged && h.Get("X-Webhook-Token") != "" {
		h.Set("X-Webhook-Token", "wrong")
	}
	return d.newWebhook(h, benchBody)
}

// BenchmarkReceive is what a request costs between Caddy and the queue.
func BenchmarkReceive(b *testing.B) {
	for _, c := range costedSchemes {
		b.Run(c.name, func(b *testing.B) {
			d := newDesk(b, c.options)
			b.Run("accepted", func(b *testing.B) { d.benchmark(b, d.webhookOf(c, false), http.StatusAccepted) })
			b.Run("refused", func(b *testing.B) { d.benchmark(b, d.webhookOf(c, true), http.StatusUnauthorized) })
		})
	}
}

func (d *desk) benchmark(b *testing.B, w *webhook, want int) {
	b.ReportAllocs()
	for b.Loop() {
		if status := d.receive(w); status != want {
			b.Fatalf("answered %d", status)
		}
	}
}

// BenchmarkReceiveOverSockets is the same with all that is around it, beside
// Caddy's respond.
func BenchmarkReceiveOverSockets(b *testing.B) {
	for _, forged := range []bool{false, true} {
		name, status := "accepted", http.StatusAccepted
		if forged {
			name, status = "refused", http.StatusUnauthorized
		}
		b.Run(name, func(b *testing.B) {
			s, receive, respond := newServer(b), freeAddr(b), freeAddr(b)
			config := s.caddyfile("log {\n\t\toutput discard\n\t}", "") +
				site(receive, "webhook_inbox bench {\nverify svix "+benchSecret+"\ndeliver 127.0.0.1:1\n}") +
				site(respond, "respond "+strconv.Itoa(status))
			if err := s.tryLoad(config); err != nil {
				b.Fatal(err)
			}
			deskOf(b)
			ours, theirs := newLoad(b, receive, benchConns), newLoad(b, respond, benchConns)
			ours.forge = forged
			alternate(b,
				func(n int) round { return ours.run(b, n, status) },
				func(n int) round { return theirs.run(b, n, status) })
		})
	}
}
