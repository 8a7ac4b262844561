// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
)

// openSite accepts everything and delivers it by the given directives. Failed
// attempts are repeated at once, so that tests need not wait for them. None fails
// because the machine is slow.
func openSite(deliver string) string {
	return `
	webhook_inbox demo {
		verify none
		dedupe off
		attempt_timeout 10s
		deliver {
			` + deliver + `
		}
		retry {
			backoff 10ms 20ms
		}
	}
`
}

// impatient is the site with little time for each attempt. It is for those that end
// only by that.
func impatient(openSite string) string {
	return strings.Replace(openSite, "attempt_timeout 10s", "attempt_timeout 500ms", 1)
}

func TestDeliveryTakesUnixSocket(t *testing.T) {
	app := &application{t: t, got: make(chan delivery, 10)}
	app.status.Store(http.StatusNoContent)
	socket := filepath.Join(shortTempDir(t), "app.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(app)
	srv.Listener.Close()
	srv.Listener = l
	srv.Start()
	t.Cleanup(srv.Close)

	s := serve(t, openSite("reverse_proxy unix/"+socket))
	s.expect(202, "POST", "/a?b", header("Host", "hooks.example.com"), "x")
	if d := app.next(); d.URI != "/a?b" || d.Host != "hooks.example.com" || d.Body != "x" {
		t.Errorf("delivered %+v", d)
	}
	s.settled("demo")
}

// An application whose certificate is not trusted gets nothing, and the message
// waits until the configuration trusts it.
func TestDeliveryVerifiesTLSOfApplication(t *testing.T) {
	app := &application{t: t, got: make(chan delivery, 10)}
	app.status.Store(http.StatusNoContent)
	srv := httptest.NewUnstartedServer(app)
	srv.EnableHTTP2 = true
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	addr := srv.Listener.Addr().String()

	s := serve(t, openSite("reverse_proxy https://"+addr))
	s.expect(202, "POST", "/", nil, "x")
	eventually(t, "attempts fail", func() bool { return s.attempts("retried") >= 2 })
	app.none()

	certificate := filepath.Join(t.TempDir(), "app.pem")
	data := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	if err := os.WriteFile(certificate, data, 0o600); err != nil {
		t.Fatal(err)
	}
	s.load(openSite("reverse_proxy https://" + addr + " {\n transport http {\n tls_trust_pool file " + certificate + "\n tls_server_name example.com\n }\n }"))
	if d := app.next(); d.Body != "x" {
		t.Errorf("delivered %+v", d)
	}
	s.load(openSite("reverse_proxy https://" + addr + " {\n transport http {\n tls_insecure_skip_verify\n }\n }"))
	s.expect(202, "POST", "/", nil, "y")
	if d := app.next(); d.Body != "y" || d.Header.Get("Via") == "" {
		t.Errorf("delivered %+v", d)
	}
}

// A dead upstream costs one attempt, not the message: the next one goes to the
// other, and passive health checks keep the dead one out.
func TestDeliveryAvoidsUpstreamThatIsDown(t *testing.T) {
	app := newApplication(t)
	s := serve(t, openSite("reverse_proxy "+freeAddr(t)+" "+app.addr+" {\n lb_policy round_robin\n fail_duration 1m\n }"))
	for n := range 10 {
		s.expect(202, "POST", "/", nil, strconv.Itoa(n))
		if d := app.next(); d.Body != strconv.Itoa(n) {
			t.Errorf("delivered %q, want %d", d.Body, n)
		}
	}
	s.settled("demo")
	if n := s.attempts("retried"); n > 1 {
		t.Errorf("%v attempts failed, want 1 at most", n)
	}
}

// Active health checks run for a delivery route as for any other.
func TestDeliveryAvoidsUpstreamThatIsSick(t *testing.T) {
	well := newApplication(t)
	var sick atomic.Bool
	var checks atomic.Int64
	two := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/health" && sick.Load():
			w.WriteHeader(http.StatusServiceUnavailable)
			checks.Add(1)
		case r.URL.Path == "/health":
		case sick.Load():
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	t.Cleanup(two.Close)
	sick.Store(true)
	well.handle = func(w http.ResponseWriter, r *http.Request, _ []byte) {
		if r.URL.Path == "/health" {
			<-well.got
		}
	}
	s := serve(t, openSite("reverse_proxy "+two.Listener.Addr().String()+" "+well.addr+` {
		lb_policy round_robin
		health_uri /health
		health_interval 20ms
	}`))
	// The second check begins after the first was taken note of.
	eventually(t, "the sick upstream was checked", func() bool { return checks.Load() >= 2 })
	for range 10 {
		s.expect(202, "POST", "/", nil, "x")
		well.next()
	}
	s.settled("demo")
	if n := s.attempts("retried"); n > 0 {
		t.Errorf("%v attempts went to the sick upstream", n)
	}
}

// Whatever directives a site may have, before the inbox or in its delivery
// route, do there what they do elsewhere.
func TestDeliveryRouteIsOrdinaryRoute(t *testing.T) {
	app := newApplication(t)
	proxy := "reverse_proxy " + app.addr
	cases := []struct {
		name, site string
		uri        string // of the request
		want       string // URI of the delivery
		header     map[string]string
	}{
		{
			name: "rewrite in the route",
			site: openSite("rewrite * /api{uri}\n" + proxy),
			uri:  "/a?b=c", want: "/api/a?b=c",
		}, {
			name: "rewrite before the inbox",
			site: "rewrite * /api{uri}\n" + openSite(proxy+" {\n header_up X-Orig {http.request.orig_uri}\n header_up X-Uri {uri}\n }"),
			uri:  "/a?b=c", want: "/api/a?b=c",
			header: map[string]string{"X-Orig": "/a?b=c", "X-Uri": "/api/a?b=c"},
		}, {
			name: "rewrites in both places",
			site: "rewrite * /outer{uri}\n" + openSite("rewrite * /inner{uri}\n"+proxy+" {\n header_up X-Orig {http.request.orig_uri}\n }"),
			uri:  "/a?b=c", want: "/inner/outer/a?b=c",
			header: map[string]string{"X-Orig": "/a?b=c"},
		}, {
			name: "strip_prefix in the route",
			site: openSite("uri strip_prefix /hooks\n" + proxy),
			uri:  "/hooks/a%2Fb?c", want: "/a%2Fb?c",
		}, {
			name: "strip_prefix before the inbox",
			site: "uri strip_prefix /hooks\n" + openSite(proxy),
			uri:  "/hooks/a%2Fb?c", want: "/a%2Fb?c",
		}, {
			name: "handle_path before the inbox",
			site: "handle_path /hooks/* {\n" + openSite(proxy+" {\n header_up X-Orig {http.request.orig_uri}\n header_up X-Path {http.request.orig_uri.path}\n }") + "}\nrespond 404",
			uri:  "/hooks/a?b=%20", want: "/a?b=%20",
			header: map[string]string{"X-Orig": "/hooks/a?b=%20", "X-Path": "/hooks/a"},
		}, {
			name: "the inbox's placeholders",
			site: openSite(proxy + ` {
				header_up X-Id {http.webhook_inbox.id}
				header_up X-Rest "{http.webhook_inbox.endpoint} {http.webhook_inbox.attempt} {http.webhook_inbox.scheme}"
				header_up X-Received-At {http.webhook_inbox.received_at}
			}`),
			uri: "/", want: "/",
			header: map[string]string{"X-Rest": "demo 1 none"},
		}, {
			name: "the request's placeholders",
			site: openSite(proxy + ` {
				header_up X-Request "{method} {scheme} {host} {path} {query} {remote_host} {client_ip}"
			}`),
			uri: "/a?b", want: "/a?b",
			header: map[string]string{"X-Request": "POST http 127.0.0.1 /a b 127.0.0.1 127.0.0.1"},
		}, {
			name: "request_header before the inbox",
			site: "request_header X-Added outside\n" + openSite(proxy),
			uri:  "/", want: "/",
			header: map[string]string{"X-Added": "outside"},
		}, {
			name: "request_header in the route",
			site: openSite("request_header X-Added inside\n" + proxy),
			uri:  "/", want: "/",
			header: map[string]string{"X-Added": "inside"},
		}, {
			name: "nested handles with matchers",
			site: `@outer path /orders/*
				` + openSite(`
				@inner header X-Kind order
				handle @inner {
					route {
						vars kind order
						rewrite @outer /matched/{vars.kind}
						`+proxy+`
					}
				}
				handle {
					error 500
				}`),
			uri: "/orders/1", want: "/matched/order",
		}, {
			name: "map and vars",
			site: openSite("map {path} {target} {\n /a /mapped\n default /other\n }\nrewrite * {target}\n" + proxy),
			uri:  "/a", want: "/mapped",
		}, {
			name: "named route",
			site: openSite("invoke shared"),
			uri:  "/a", want: "/a",
			header: map[string]string{"X-Shared": "yes"},
		},
	}
	s := newServer(t)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s, app := s.within(t), app.within(t)
			config := s.caddyfile("", c.site)
			if strings.Contains(c.site, "invoke shared") {
				end := strings.Index(config, "\n}\n") + len("\n}\n")
				config = config[:end] + "&(shared) {\n" + proxy + " {\n header_up X-Shared yes\n }\n}\n" + config[end:]
			}
			if err := s.tryLoad(config); err != nil {
				t.Fatal(err)
			}
			s.expect(202, "POST", c.uri, header("X-Kind", "order"), "x")
			d := app.next()
			if d.URI != c.want || d.Body != "x" {
				t.Errorf("delivered %q to %s, want it to %s", d.Body, d.URI, c.want)
			}
			for name, want := range c.header {
				if got := d.Header.Get(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			for placeholder, field := range map[string]string{"X-Id": "Webhook-Inbox-Id", "X-Received-At": "Webhook-Inbox-Received-At"} {
				if got := d.Header.Get(placeholder); got != "" && got != d.Header.Get(field) {
					t.Errorf("%s is %q, but %s is %q", placeholder, got, field, d.Header.Get(field))
				}
			}
			s.settled("demo")
		})
	}
}

// A route may take a message itself.
func TestRouteThatRespondsItselfTakesMessage(t *testing.T) {
	s := serve(t, openSite("respond 204"))
	s.expect(202, "POST", "/", nil, "x")
	eventually(t, "it is delivered", func() bool { return s.attempts("delivered") == 1 })
	s.settled("demo")
}

// A message is not lost in a route that comes to no answer, not even if it says
// that the message is gone: that is for the application to say.
func TestRouteThatDoesNotAnswerKeepsMessage(t *testing.T) {
	app := newApplication(t)
	s := newServer(t)
	for name, route := range map[string]string{
		"no handler":              "request_header X-A b",
		"no matching handler":     "handle /nowhere {\n respond 204\n }",
		"error":                   "error 410",
		"abort":                   "abort",
		"failing handler":         "error {http.webhook_inbox.id} 500",
		"answer that is no 2xx":   "respond 302",
		"no upstream at all":      "reverse_proxy {\n dynamic a 127.0.0.1.invalid 80\n }",
		"an upstream placeholder": "reverse_proxy {http.webhook_inbox.nothing}",
	} {
		t.Run(name, func(t *testing.T) {
			s, app := s.within(t), app.within(t)
			s.load(impatient(openSite(route))) // a server of names may not answer
			failed := s.failures()
			s.expect(202, "POST", "/", nil, name)
			eventually(t, "attempts fail", func() bool { return s.failures() >= failed+2 })
			if e := s.endpoint("demo"); e.Waiting != 1 || e.DeadLetters != 0 {
				t.Errorf("%d wait and %d are dead, want 1 to wait", e.Waiting, e.DeadLetters)
			}
			s.load(openSite("reverse_proxy " + app.addr))
			if d := app.next(); d.Body != name {
				t.Errorf("delivered %q", d.Body)
			}
			s.settled("demo")
		})
	}
}

// What was trusted when a message was received counts when it is delivered,
// whatever is trusted by then.
func TestTrustOfProxiesIsThatOfReceipt(t *testing.T) {
	app := newApplication(t)
	s := newServer(t)
	trusting := "servers {\n trusted_proxies static 127.0.0.0/8\n }"
	waiting := openSite("error 500")
	delivering := openSite("reverse_proxy " + app.addr + " {\n header_up X-Client {client_ip}\n }")
	load := func(options, site string) {
		t.Helper()
		if err := s.tryLoad(s.caddyfile(options, site)); err != nil {
			t.Fatal(err)
		}
	}
	sent := header("X-Forwarded-For", "192.0.2.7", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "hooks.example.com")

	load(trusting, waiting)
	s.expect(202, "POST", "/", sent, "from a trusted proxy")
	load("", delivering)
	d := app.next()
	if got := d.Header.Values("X-Forwarded-For"); !slices.Equal(got, []string{"192.0.2.7, 127.0.0.1"}) {
		t.Errorf("X-Forwarded-For of a trusted proxy: %q", got)
	}
	if d.Header.Get("X-Forwarded-Proto") != "https" || d.Header.Get("X-Forwarded-Host") != "hooks.example.com" || d.Header.Get("X-Client") != "192.0.2.7" {
		t.Errorf("from a trusted proxy: %q", d.Header)
	}
	s.settled("demo")

	load("", waiting)
	s.expect(202, "POST", "/", sent, "from a stranger")
	load(trusting, delivering)
	d = app.next()
	if got := d.Header.Values("X-Forwarded-For"); !slices.Equal(got, []string{"127.0.0.1"}) {
		t.Errorf("X-Forwarded-For of a stranger: %q", got)
	}
	if d.Header.Get("X-Forwarded-Proto") != "http" || d.Header.Get("X-Client") != "127.0.0.1" {
		t.Errorf("from a stranger: %q", d.Header)
	}
}

// The application can recognize a message by one key in all attempts.
func TestIdempotencyKeyIsTheMessage(t *testing.T) {
	app := newApplication(t)
	app.status.Store(http.StatusInternalServerError)
	s := serve(t, openSite("reverse_proxy "+app.addr))
	s.expect(202, "POST", "/", nil, "x")
	first := app.next()
	app.status.Store(http.StatusOK)
	second := app.next()
	key := first.Header.Get("Idempotency-Key")
	if key == "" || key != first.Header.Get("Webhook-Inbox-Id") || key != second.Header.Get("Idempotency-Key") {
		t.Errorf("the keys are %q and %q, want the message's id %q", key, second.Header.Get("Idempotency-Key"), first.Header.Get("Webhook-Inbox-Id"))
	}
	if first.Header.Get("Webhook-Inbox-Attempt") != "1" || first.Header.Get("Webhook-Inbox-Received-At") != second.Header.Get("Webhook-Inbox-Received-At") {
		t.Errorf("the first attempt has %q", first.Header)
	}
}

// What concerns the sender's connection ends at the inbox.
func TestConnectionOfSenderIsNotDelivered(t *testing.T) {
	app := newApplication(t)
	s := serve(t, openSite("reverse_proxy "+app.addr))
	for name, request := range map[string]string{
		"Expect":    "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
		"WebSocket": "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
		"h2c":       "POST / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\nContent-Length: 1\r\n\r\nx",
		"trailers":  "POST / HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nTrailer: X-Late\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-Late: field\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			s.raw(t, http.StatusAccepted, request)
			d := app.next()
			for _, field := range []string{"Connection", "Expect", "Upgrade", "Te", "Trailer", "X-Late", "Http2-Settings", "Transfer-Encoding"} {
				if value, ok := d.Header[field]; ok {
					t.Errorf("%s: %q was delivered", field, value)
				}
			}
		})
	}
}

// HTTPS and HTTP/2 are the sender's, and placeholders of the delivery route say
// what they were, also though there is no such connection any more.
func TestDeliveryKnowsHowItWasReceived(t *testing.T) {
	app := newApplication(t)
	s := newServer(t)
	deliver := openSite("reverse_proxy " + app.addr + ` {
		header_up X-Received "{scheme} {http.request.proto} {http.request.tls.server_name} {http.request.tls.version} {http.request.tls.proto}"
	}`)
	secure := freeAddr(t)
	_, port, _ := net.SplitHostPort(secure)
	certificate, key := testCertificate(t)
	config := s.caddyfile("servers {\n protocols h1 h2 h2c\n }", deliver) +
		"https://example.com:" + port + " {\n bind 127.0.0.1\n tls " + certificate + " " + key + "\n" + deliver + "}\n"
	if err := s.tryLoad(config); err != nil {
		t.Fatal(err)
	}

	for _, c := range []struct {
		name, url, want, proto string
		protocol               func(*http.Protocols)
	}{
		{"HTTP/1.1", "http://" + s.addr, "http HTTP/1.1", "http", func(p *http.Protocols) { p.SetHTTP1(true) }},
		{"h2c", "http://" + s.addr, "http HTTP/2.0", "http", func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) }},
		{"HTTPS", "https://" + secure, "https HTTP/1.1 example.com tls1.3", "https", func(p *http.Protocols) { p.SetHTTP1(true) }},
		{"HTTP/2", "https://" + secure, "https HTTP/2.0 example.com tls1.3 h2", "https", func(p *http.Protocols) { p.SetHTTP2(true) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			transport := &http.Transport{
				Protocols:       new(http.Protocols),
				TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: "example.com"},
			}
			c.protocol(transport.Protocols)
			defer transport.CloseIdleConnections()
			r, err := http.NewRequestWithContext(t.Context(), "POST", c.url+"/a?b", strings.NewReader("x"))
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(c.url, "https") {
				r.Host = "example.com:" + port
			}
			resp, err := transport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusAccepted {
				t.Fatalf("status %d", resp.StatusCode)
			}
			d := app.next()
			if got := strings.TrimSpace(d.Header.Get("X-Received")); got != c.want {
				t.Errorf("received by %q, want %q", got, c.want)
			}
			if got := d.Header.Get("X-Forwarded-Proto"); got != c.proto {
				t.Errorf("X-Forwarded-Proto: %q, want %q", got, c.proto)
			}
			if d.URI != "/a?b" || d.Body != "x" {
				t.Errorf("delivered %+v", d)
			}
		})
	}
}

// testCertificate writes a certificate for example.com and its key to files.
func testCertificate(t *testing.T) (certificate, key string) {
	t.Helper()
	srv := httptest.NewTLSServer(nil)
	srv.Close()
	pair := srv.TLS.Certificates[0]
	private, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, data []byte) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("certificate.pem", "CERTIFICATE", pair.Certificate[0]), write("key.pem", "PRIVATE KEY", private)
}

// settled waits until nothing waits for an endpoint.
func (s *server) settled(name string) {
	s.t.Helper()
	eventually(s.t, "nothing waits", func() bool { return s.endpoint(name).Waiting == 0 })
}

// metric returns the value of a series, 0 if there is none.
func (s *server) metric(series string) float64 {
	s.t.Helper()
	for line := range strings.Lines(s.metrics()) {
		text, ok := strings.CutPrefix(line, series+" ")
		if !ok {
			continue
		}
		value, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
		if err != nil {
			s.t.Fatalf("metric %s: %v", series, err)
		}
		return value
	}
	return 0
}

// attempts returns how many attempts for the endpoint demo had an outcome.
func (s *server) attempts(outcome string) float64 {
	s.t.Helper()
	return s.metric(fmt.Sprintf(`caddy_webhook_inbox_attempts_total{endpoint="demo",outcome=%q}`, outcome))
}

// failures returns how many attempts failed, in an outage or not.
func (s *server) failures() float64 {
	s.t.Helper()
	return s.attempts("retried") + s.attempts("held")
}
