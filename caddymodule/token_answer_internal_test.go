// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

// newIssuer returns the issuer of an app that has not started, whose key will be in
// dir. The app will never start once done is closed.
func newIssuer(t *testing.T, dir string, done <-chan struct{}) *TokenIssuer {
	t.Helper()
	i := &TokenIssuer{
		Name:      "idexa",
		Attribute: "access_token",
		verifier:  new(atomic.Pointer[verify.JWT]),
		failures:  newFailureLimit(),
		refusals:  &rate.Sometimes{First: 1},
		log:       zap.NewNop(),
		app: &App{
			keys:  &keyFile{path: filepath.Join(dir, keyFileName)},
			inbox: &inbox{metrics: newMetrics()},
			ready: make(chan struct{}),
			done:  done,
		},
	}
	if err := i.users.add("idexa", "previous"); err != nil {
		t.Fatal(err)
	}
	return i
}

// logIn returns the status of the answer to a login, once there is one.
func logIn(ctx context.Context, i *TokenIssuer, body string) <-chan int {
	status := make(chan int, 1)
	go func() {
		r := httptest.NewRequestWithContext(ctx, "POST", "/login", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		_ = i.ServeHTTP(w, r, nil)
		status <- w.Code
	}()
	return status
}

// Servers may accept a login before the app has made the key: it waits, and gets a
// token then. It does not wait in vain if the app does not start, or for somebody
// who has gone. A wrong login does not wait.
func TestALoginWaitsForTheStart(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]int{
		"start": http.StatusOK,
		"fail":  http.StatusServiceUnavailable,
		"leave": http.StatusServiceUnavailable,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				done := make(chan struct{})
				i := newIssuer(t, dir, done)
				ctx, leave := context.WithCancel(t.Context())
				defer leave()
				if status := <-logIn(ctx, i, "username=idexa&password=wrong"); status != http.StatusUnauthorized {
					t.Errorf("a wrong login: status %d", status)
				}
				answer := logIn(ctx, i, "username=idexa&password=previous")
				synctest.Wait()
				select {
				case status := <-answer:
					t.Fatalf("status %d before the start", status)
				default:
				}
				switch name {
				case "start":
					if err := i.app.keys.start(); err != nil {
						t.Fatal(err)
					}
					close(i.app.ready)
				case "fail":
					close(done)
				case "leave":
					leave()
				}
				if status := <-answer; status != want {
					t.Errorf("status %d, want %d", status, want)
				}
			})
		})
	}
}

// oneConn is a listener of one connection.
type oneConn struct {
	net.Listener
	conn   chan net.Conn
	closed chan struct{}
	close  sync.Once
}

func (l *oneConn) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conn:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *oneConn) Close() error {
	l.close.Do(func() { close(l.closed) })
	return nil
}

// A body that does not come, or comes drop by drop, is answered 408 when its time
// is over.
func TestASlowLoginIsAnswered(t *testing.T) {
	t.Parallel()
	for name, every := range map[string]time.Duration{"nothing": time.Hour, "a byte each second": time.Second} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				i := newIssuer(t, dir, nil)
				client, server := net.Pipe()
				l := &oneConn{conn: make(chan net.Conn, 1), closed: make(chan struct{})}
				l.conn <- server
				srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _ = i.ServeHTTP(w, r, nil) })}
				served := make(chan error, 1)
				go func() { served <- srv.Serve(l) }()
				defer func() {
					srv.Close()
					if err := <-served; !errors.Is(err, http.ErrServerClosed) {
						t.Errorf("the server ended with %v", err)
					}
				}()
				defer client.Close()

				begin := time.Now()
				_, err := io.WriteString(client, "POST /login HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\n")
				if err != nil {
					t.Fatal(err)
				}
				go func() {
					for range 99 {
						select {
						case <-time.After(every):
						case <-t.Context().Done():
							return
						}
						if _, err := client.Write([]byte("x")); err != nil {
							return
						}
					}
				}()
				resp, err := http.ReadResponse(bufio.NewReader(client), nil)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				if took := time.Since(begin); resp.StatusCode != http.StatusRequestTimeout || took < loginTimeout || took > loginTimeout+time.Second {
					t.Errorf("status %d after %v", resp.StatusCode, took)
				}
			})
		})
	}
}

// A key that another process made, after this one saw that there was none, is the
// key of both.
func TestTheKeyOfAnotherProcessIsTaken(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, keyFileName)
	first, err := makeKey(path)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	second, err := makeKey(path)
	if err != nil || !bytes.Equal(first, second) {
		t.Errorf("another key, or %v", err)
	}
	if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, whole) {
		t.Errorf("the file has changed, or %v", err)
	}
	if left, _ := filepath.Glob(path + ".*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}

	// However many begin at the same time.
	path = filepath.Join(t.TempDir(), keyFileName)
	keys := make(chan string, 20)
	var group sync.WaitGroup
	for range cap(keys) {
		group.Go(func() {
			k := keyFile{path: path}
			if err := k.start(); err != nil {
				t.Error(err)
			}
			keys <- string(k.key)
		})
	}
	group.Wait()
	close(keys)
	want := <-keys
	for key := range keys {
		if key != want {
			t.Fatal("they have several keys")
		}
	}
}
