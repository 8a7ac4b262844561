// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/caddy-webhook-inbox/inbox/queue/queuetest/ledger"
)

// openFiles returns how many files and connections the process has open.
func (p *process) openFiles() int {
	p.t.Helper()
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatalf("Caddy is gone: %v", err)
	}
	return len(files)
}

// limitFiles lets the process open so many files more.
func (p *process) limitFiles(more int) (limit int) {
	p.t.Helper()
	limit = p.openFiles() + more
	l := unix.Rlimit{Cur: uint64(limit), Max: uint64(limit)}
	if err := unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_NOFILE, &l, nil); err != nil {
		p.t.Fatal(err)
	}
	return limit
}

// occupy opens connections in which nothing is ever said.
func occupy(t *testing.T, addr string, n int) (leave func()) {
	t.Helper()
	var conns []net.Conn
	leave = func() {
		for _, c := range conns {
			c.Close()
		}
	}
	t.Cleanup(leave)
	for range n {
		c, err := net.DialTimeout("tcp", addr, patience)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	return leave
}

// Somebody opens connections until Caddy has no file left to open, and keeps them.
// Caddy lives. In the connections that are open already, webhooks are accepted or
// answered 503, whatever the engine would have to open for them, and nothing that is
// accepted is lost, even if that state ends with a kill. In the end, without the
// crowd, all goes on by itself.
func TestFaultNoFileCanBeOpened(t *testing.T) {
	t.Parallel()
	l := new(ledger.Ledger)
	s, app := newServer(t), witness(t, l, refusesSomeOnce)
	during := crowded(t, l, s, app, rounds(300, 60_000))
	report(t, l, ledger.End{})
	if during.Accepted+during.Unavailable < 300 {
		t.Errorf("that is no load: %+v", during)
	}
}

// The test before would notice an engine that settles what it hands out.
func TestFaultNoFileCanBeOpenedShowsWhatIsBroken(t *testing.T) {
	t.Parallel()
	l := new(ledger.Ledger)
	s, app := newServer(t), witness(t, l, refusesSomeOnce)
	s.mutations = []string{ackBeforeAnswer}
	crowded(t, l, s, app, 300)
	expectBroken(t, l, ledger.End{}, ledger.Loss)
}

// refusesSomeOnce is an application that takes its time, and some webhooks only when
// they come again.
func refusesSomeOnce(key string, attempt int) (int, time.Duration) {
	if attempt == 1 && strings.HasSuffix(key, "7") {
		return http.StatusServiceUnavailable, 0
	}
	return slowly(key, attempt)
}

// crowded has so many webhooks sent while nobody can connect, and returns what became
// of them.
func crowded(t *testing.T, l *ledger.Ledger, s *server, app *application, webhooks int) (during ledger.Counts) {
	t.Helper()
	config := s.caddyfile("", aliveSite+retrySite(app.addr, quickly))
	var all []*traffic
	for _, end := range []string{"a kill", "the crowd leaves"} {
		p := startCaddy(t, s, config)
		loaded(t, s)
		tr := startTraffic(t, l, s.addr, end, 32)
		all = append(all, tr)
		before := l.Counts()
		eventually(t, "there is load", func() bool { return l.Counts().Delivered > before.Delivered+100 })

		limit := p.limitFiles(30)
		leave := occupy(t, s.addr, 200)
		eventually(t, "no file is left", func() bool { return p.openFiles() >= limit-1 })
		before = l.Counts()
		deadline := time.Now().Add(patience + time.Duration(webhooks)*5*time.Millisecond)
		for answered := 0; answered < webhooks; time.Sleep(5 * time.Millisecond) {
			p.openFiles() // it lives
			now := l.Counts()
			answered = now.Accepted + now.Unavailable - before.Accepted - before.Unavailable
			if time.Now().After(deadline) {
				t.Fatalf("of %d webhooks %d are answered: %+v", webhooks, answered, now)
			}
		}
		now := l.Counts()
		during.Accepted += now.Accepted - before.Accepted
		during.Unavailable += now.Unavailable - before.Unavailable
		if end == "a kill" {
			p.kill(l, app)
			leave()
			tr.stop()
			continue
		}
		leave()
		for _, tr := range all {
			tr.finish(s.addr)
		}
		p.expect(204, "GET", "/alive", nil, "")
		rest(t, s, "demo")
	}
	t.Logf("while no file could be opened: %d accepted, %d refused", during.Accepted, during.Unavailable)
	return during
}
