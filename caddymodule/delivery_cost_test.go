// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-webhook-inbox/inbox/caddymodule"
	"github.com/caddy-webhook-inbox/inbox/queue"
)

// deliveringTo returns the handler of an endpoint with a delivery route, which
// nothing is sent to.
func deliveringTo(t testing.TB, route string) *caddymodule.Handler {
	t.Helper()
	s := newServer(t)
	if err := s.tryLoad(s.caddyfile("", "webhook_inbox bench {\nverify none\ndedupe off\ndeliver {\n"+route+"\n}\n}")); err != nil {
		t.Fatal(err)
	}
	app, err := caddy.ActiveContext().App("http")
	if err != nil {
		t.Fatal(err)
	}
	for _, server := range app.(*caddyhttp.App).Servers {
		if h := findHandler(server.Routes); h != nil {
			return h
		}
	}
	t.Fatal("no inbox in the configuration")
	return nil
}

// messageToDeliver returns a message of 1 KB, as Svix would send it.
func messageToDeliver() *queue.Message {
	return &queue.Message{
		ID:         queue.ID{1},
		Endpoint:   "bench",
		ReceivedAt: time.Now(),
		Scheme:     "svix",
		Request: queue.Request{
			Method:      "POST",
			URI:         "/hooks",
			OriginalURI: "/hooks",
			Proto:       "HTTP/1.1",
			Host:        "localhost",
			Header: header("Content-Type", "application/json", "User-Agent", "bench",
				"Svix-Id", "msg_1", "Svix-Timestamp", "1750000000", "Svix-Signature", "v1,AAAA",
				"Content-Length", strconv.Itoa(len(benchBody))),
			Body:       benchBody,
			RemoteAddr: "127.0.0.1:1234",
			ClientIP:   "127.0.0.1",
		},
	}
}

// bareRequest returns the request that m was, which can be sent once.
func bareRequest(m *queue.Message) *http.Request {
	stored := m.Request
	return &http.Request{
		Method:        stored.Method,
		URL:           &url.URL{Path: stored.URI},
		RequestURI:    stored.URI,
		Proto:         stored.Proto,
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        stored.Header,
		Host:          stored.Host,
		RemoteAddr:    stored.RemoteAddr,
		ContentLength: int64(len(stored.Body)),
	}
}

// BenchmarkAttempt is an attempt to deliver a message through reverse_proxy, with
// nothing before it, beside the same route with a request from a server.
func BenchmarkAttempt(b *testing.B) {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusAccepted)
	}))
	b.Cleanup(app.Close)
	h := deliveringTo(b, fmt.Sprintf(benchProxy, app.Listener.Addr()))
	m := messageToDeliver()
	for _, atOnce := range []int{1, 8, 32} {
		run := func(name string, once func() int) {
			b.Run(fmt.Sprintf("%s/%d", name, atOnce), func(b *testing.B) {
				b.ReportAllocs()
				before := processorTime()
				var left atomic.Int64
				left.Store(int64(b.N))
				var senders sync.WaitGroup
				for range atOnce {
					senders.Go(func() {
						for left.Add(-1) >= 0 {
							if status := once(); status != http.StatusAccepted {
								b.Errorf("answered %d", status)
								return
							}
						}
					})
				}
				senders.Wait()
				b.ReportMetric(float64((processorTime()-before).Microseconds())/float64(b.N), "cpu-us")
			})
		}
		run("ours", func() int { return h.Attempt(b.Context(), m).Status })
		run("route", func() int {
			r := bareRequest(m).WithContext(b.Context())
			r.Body = io.NopCloser(&onTheWay{data: m.Request.Body})
			status, _ := h.Route(r)
			return status
		})
	}
}

// onTheWay is a body that comes from a connection, for all that a proxy knows.
type onTheWay struct{ data []byte }

func (o *onTheWay) Read(p []byte) (int, error) {
	if len(o.data) == 0 {
		return 0, io.EOF
	}
	n := copy(p, o.data)
	o.data = o.data[n:]
	return n, nil
}
