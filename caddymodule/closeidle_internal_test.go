// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// A slowWriter takes its time for what is written.
type slowWriter struct{ net.Conn }

func (c slowWriter) Write(p []byte) (int, error) {
	time.Sleep(3 * time.Millisecond)
	return c.Conn.Write(p)
}

// After an attempt without an answer HTTP/2 still has to say that it gave the attempt
// up. Its connection is closed all the same, so that no other attempt finds it.
func TestNoConnectionIsLeftAfterAnAttemptWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	came, done := make(chan bool, 1), make(chan bool)
	app := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		came <- true
		<-done
	}))
	app.Config.Protocols = new(http.Protocols)
	app.Config.Protocols.SetUnencryptedHTTP2(true)
	app.Start()
	defer app.Close()
	defer close(done)

	transport := &http.Transport{Protocols: app.Config.Protocols}
	transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		return slowWriter{conn}, err
	}
	s := wholeSender{&reverseproxy.HTTPTransport{Transport: transport}, trackConnections(transport)}
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, "POST", app.URL, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		<-came
		cancel()
	}()
	if resp, err := transport.RoundTrip(r); !errors.Is(err, context.Canceled) {
		t.Fatalf("the answer is %v, the error %v", resp, err)
	}
	if s.opened.none() {
		t.Fatal("there is no connection to close")
	}
	s.closeIdle()
	if !s.opened.none() {
		t.Error("a connection is left open")
	}
}
