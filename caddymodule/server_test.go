// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-webhook-inbox/inbox/caddymodule"
)

// patience is how long a test waits for what must happen. It is long because it
// is only ever used up by a failure.
const patience = 20 * time.Second

// endTime is how long Caddy may take to end: three seconds for deliveries, which an
// application that hangs would take up, and ten for a queue on a slow disk.
const endTime = 13 * time.Second

// server is the Caddy of this process. There can be one at a time, so tests that
// run it are not parallel.
type server struct {
	t    testing.TB
	dir  string // of the queue
	addr string // of the sites
	sock string // of the admin API

	mutations []string // of the engine
}

// newServer returns a Caddy that is not running yet.
func newServer(t testing.TB) *server {
	t.Helper()
	s := &server{
		t:    t,
		dir:  filepath.Join(t.TempDir(), "queue"),
		addr: freeAddr(t),
		sock: filepath.Join(shortTempDir(t), "admin.sock"),
	}
	t.Cleanup(s.stop)
	return s
}

// serve runs Caddy with a site that consists of the given directives.
func serve(t *testing.T, site string) *server {
	t.Helper()
	s := newServer(t)
	s.load(site)
	return s
}

// within returns s for a subtest, which can fail by it.
func (s *server) within(t *testing.T) *server {
	sub := *s
	sub.t = t
	return &sub
}

// load loads a configuration, replacing the one that runs.
func (s *server) load(site string) {
	s.t.Helper()
	if err := s.tryLoad(s.caddyfile("", site)); err != nil {
		s.t.Fatalf("loading:\n%s\n%v", site, err)
	}
}

func (s *server) tryLoad(caddyfile string) error {
	s.t.Helper()
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile), nil)
	if err != nil {
		return fmt.Errorf("adapting: %w", err)
	}
	// Caddy closes the connections of the configuration that it replaces, maybe
	// when the next request is on its way in one.
	defer http.DefaultClient.CloseIdleConnections()
	return caddy.Load(config, true)
}

// caddyfile returns a whole Caddyfile with the global options that tests need.
func (s *server) caddyfile(options, site string) string {
	if !strings.Contains(options, "webhook_inbox") {
		options += "\n\twebhook_inbox {\n\t\tqueue " + s.engine() + " {\n\t\t\tmin_free_space 64MiB\n\t\t}\n\t}"
	}
	return fmt.Sprintf(`{
	admin unix/%s
	persist_config off
	auto_https off
	storage file_system %s
	%s
}
http://%s {
	bind 127.0.0.1
%s
}
`, s.sock, filepath.Join(s.dir, "..", "storage"), options, s.port(), site)
}

func (s *server) port() string { return s.addr[strings.LastIndex(s.addr, ":"):] }

// broken returns a configuration that is valid but cannot start.
func (s *server) broken(site string) string {
	s.t.Helper()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { taken.Close() })
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	return s.caddyfile("", site) + "http://:" + port + " {\n\tbind 127.0.0.1\n\trespond 200\n}\n"
}

func (s *server) stop() {
	if err := caddy.Stop(); err != nil {
		s.t.Errorf("stopping Caddy: %v", err)
	}
}

// send sends a request and returns its answer with an empty body.
func (s *server) send(method, uri string, header http.Header, body string) *http.Response {
	s.t.Helper()
	resp, data := s.ask(method, uri, header, body)
	if data != "" {
		s.t.Errorf("%s %s: the answer has a body: %q", method, uri, data)
	}
	return resp
}

// ask sends a request and returns its answer with the whole body.
//
// Connections that wait to be accepted when Caddy closes the listener of the
// configuration that it replaces are reset, and nobody has read the request.
func (s *server) ask(method, uri string, header http.Header, body string) (*http.Response, string) {
	s.t.Helper()
	resp, err := s.trySend(method, uri, header, body)
	for tries := 1; err != nil && tries < 3; tries++ {
		resp, err = s.trySend(method, uri, header, body)
	}
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, uri, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatalf("%s %s: reading the answer: %v", method, uri, err)
	}
	return resp, string(data)
}

func (s *server) trySend(method, uri string, header http.Header, body string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(s.t.Context(), method, "http://"+s.addr+uri, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		r.Header[name] = values
	}
	if host := header.Get("Host"); host != "" {
		r.Host = host
	}
	return http.DefaultClient.Do(r)
}

// accept calls serve with each connection to the address.
func accept(t *testing.T, serve func(net.Conn)) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // closed
			}
			go serve(conn)
		}
	}()
	return l.Addr().String()
}

// expect sends a request and checks the status of its answer.
func (s *server) expect(status int, method, uri string, header http.Header, body string) *http.Response {
	s.t.Helper()
	resp := s.send(method, uri, header, body)
	if resp.StatusCode != status {
		s.t.Fatalf("%s %s: status %d, want %d", method, uri, resp.StatusCode, status)
	}
	return resp
}

// admin calls the admin API and returns the status and the answer.
func (s *server) admin(method, path string) (int, []byte) {
	s.t.Helper()
	resp, data := s.askAdmin(method, path)
	return resp.StatusCode, data
}

// askAdmin calls the admin API and returns its answer with the whole body.
func (s *server) askAdmin(method, path string) (*http.Response, []byte) {
	s.t.Helper()
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", s.sock)
		},
	}}
	r, err := http.NewRequestWithContext(s.t.Context(), method, "http://localhost"+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	resp, err := client.Do(r)
	// A load replaces the admin server, and cuts who has just connected to the
	// old one.
	for tries := 1; errors.Is(err, io.EOF) && tries < 5; tries++ {
		resp, err = client.Do(r)
	}
	if err != nil {
		s.t.Fatalf("admin: %s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatalf("admin: %s %s: %v", method, path, err)
	}
	return resp, data
}

// adminJSON calls the admin API, which must succeed, and decodes the answer.
func (s *server) adminJSON(method, path string, v any) {
	s.t.Helper()
	status, data := s.admin(method, path)
	if status != http.StatusOK {
		s.t.Fatalf("admin: %s %s: status %d: %s", method, path, status, data)
	}
	if err := json.Unmarshal(data, v); err != nil {
		s.t.Fatalf("admin: %s %s: %v in %s", method, path, err, data)
	}
}

// endpoint is what the admin API says of one.
type endpoint struct {
	Name        string
	Configured  bool
	Waiting     int64
	DeadLetters int64 `json:"dead_letters"`
	Kept        int64
	Outage      *struct{ Probes int }
}

func (s *server) endpoint(name string) (e endpoint) {
	s.t.Helper()
	s.adminJSON("GET", "/webhook_inbox/endpoints/"+name, &e)
	return e
}

// untouched checks that nothing has come to an endpoint, which delivers what comes:
// nothing waits, was kept, or is dead.
func (s *server) untouched(name string) {
	s.t.Helper()
	s.settled(name)
	if e := s.endpoint(name); e.Waiting+e.DeadLetters+e.Kept > 0 {
		s.t.Errorf("the queue has something of %s, of which nothing was accepted: %+v", name, e)
	}
}

// receive returns what comes out of a channel.
func receive[T any](t *testing.T, from <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(patience):
		t.Fatalf("waited %v in vain until %s", patience, what)
	}
	return v
}

// eventually waits until ok returns true.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v in vain until %s", patience, what)
		}
	}
}

// delivery is a request as the application got it.
type delivery struct {
	Method, URI, Host string
	Header            http.Header
	Body              string
}

// application is what webhooks are delivered to.
type application struct {
	hangUp func() // closes the connections to it
	t      *testing.T
	addr   string
	status atomic.Int64 // that it answers
	got    chan delivery
	conns  sync.Map // that are open, by the address of the other side

	// handle, if set before the first delivery, answers instead.
	handle func(w http.ResponseWriter, r *http.Request, body []byte)

	// takesBack, if set before the first delivery, lets a witness undo what it did for
	// who is gone before the answer.
	takesBack bool
}

// newApplication returns a running application that answers 204.
func newApplication(t *testing.T) *application {
	t.Helper()
	a := &application{t: t, got: make(chan delivery, 100_000)}
	a.status.Store(http.StatusNoContent)
	srv := httptest.NewUnstartedServer(a)
	srv.Config.ConnState = a.connected
	srv.Start()
	t.Cleanup(srv.Close)
	a.addr, a.hangUp = srv.Listener.Addr().String(), srv.CloseClientConnections
	return a
}

func (a *application) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // an attempt that was cancelled
	}
	a.got <- delivery{r.Method, r.RequestURI, r.Host, r.Header.Clone(), string(body)}
	if a.handle != nil {
		a.handle(w, r, body)
		return
	}
	w.WriteHeader(int(a.status.Load()))
}

// within returns a for a subtest, which can fail by it. The application itself is
// the same.
func (a *application) within(t *testing.T) *application {
	return &application{t: t, addr: a.addr, got: a.got}
}

// next returns the next delivery.
func (a *application) next() delivery {
	a.t.Helper()
	select {
	case d := <-a.got:
		return d
	case <-time.After(patience):
		a.t.Fatalf("waited %v in vain for a delivery", patience)
		return delivery{}
	}
}

// none checks that nothing was delivered. It is for the end of a test, after
// something that came later was.
func (a *application) none() {
	a.t.Helper()
	select {
	case d := <-a.got:
		a.t.Errorf("unexpected delivery: %s %s %q", d.Method, d.URI, d.Body)
	default:
	}
}

// freeAddr returns an address that nobody listens at, another one each time. Its
// port is below those that systems give to connections: one of these could have it
// while a Caddy that was killed is not started again yet.
func freeAddr(t testing.TB) string {
	t.Helper()
	for range 1000 {
		addr := fmt.Sprintf("127.0.0.1:%d", 12_000+rand.IntN(20_000))
		l, err := net.Listen("tcp", addr)
		if err != nil {
			continue // somebody has it
		}
		l.Close()
		if _, given := givenAddrs.LoadOrStore(addr, true); !given {
			return addr
		}
	}
	t.Fatal("there is no port to listen at")
	return ""
}

var givenAddrs sync.Map

// shortTempDir is t.TempDir for a socket, whose path must be short.
func shortTempDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "inbox")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// header makes a header of names and values in turn.
func header(pairs ...string) http.Header {
	h := make(http.Header)
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}
