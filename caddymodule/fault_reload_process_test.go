// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue/queuetest/ledger"
)

// post sends a configuration, or nothing, to the admin API, and returns the answer.
// The status is 0 if there was none: Caddy replaces that server too.
func (p *process) post(path, caddyfile string) (int, string) {
	client := &http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", p.sock)
		},
	}}
	send := func() (*http.Response, error) {
		return client.Post("http://localhost"+path, "text/caddyfile", strings.NewReader(caddyfile))
	}
	resp, err := send()
	for tries := 1; errors.Is(err, io.EOF) && tries < 5; tries++ { // as in admin
		resp, err = send()
	}
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(answer)
}

// loaders load configurations through the admin API, several at a time, from now
// until the returned function is called.
func (p *process) loaders(t *testing.T, app string) (stop func()) {
	done := make(chan struct{})
	var group sync.WaitGroup
	for loader := range 3 {
		group.Go(func() {
			for n := loader; ; n += 3 {
				select {
				case <-done:
					return
				default:
				}
				switch status, answer := p.post("/load", p.caddyfile("", version(n%30, app))); status {
				case http.StatusOK:
				case 0: // the process, or the server, is not there yet or not any more
					time.Sleep(time.Millisecond)
				default:
					if !strings.Contains(answer, "the process is exiting") {
						t.Errorf("a load is answered %d: %s", status, answer)
					}
				}
			}
		})
	}
	return sync.OnceFunc(func() {
		close(done)
		group.Wait()
	})
}

// Several who know nothing of each other load configurations through the admin API
// under load, the first of them while Caddy starts. SIGTERM comes in the midst of it.
// The process ends in time and without an error, nothing is lost, and because the
// application answers in time, nothing is delivered twice.
func TestFaultTerminatedWhileReloading(t *testing.T) {
	t.Parallel()
	l := new(ledger.Ledger)
	terminatedWhileReloading(t, l, rounds(3, 40))
	if c := report(t, l, ledger.End{}); c.Accepted < 50 || c.Refused > 0 || c.Repeated > 0 {
		t.Errorf("%+v, want at least 50 accepted, and none refused or repeated", c)
	}
}

func terminatedWhileReloading(t *testing.T, l *ledger.Ledger, times int, mutations ...string) {
	t.Helper()
	app := witness(t, l, nil)
	s := newServer(t)
	s.mutations = mutations
	random := chance(t)
	var all []*traffic
	for round := range times {
		p := &process{server: s}
		stop := p.loaders(t, app.addr) // before there is anything to load it into
		defer stop()
		started := startProcess(t, s, version(0, app.addr))
		tr := startTraffic(t, l, s.addr, strconv.Itoa(round), 8)
		all = append(all, tr)
		before := l.Counts().Accepted
		eventually(t, "some are accepted", func() bool { return l.Counts().Accepted > before+20 })
		time.Sleep(time.Duration(random.IntN(300)) * time.Millisecond)
		began := time.Now()
		started.end(syscall.SIGTERM)
		if took := time.Since(began); took > endTime {
			t.Errorf("SIGTERM took %v", took)
		}
		stop()
		tr.stop()
	}
	startProcess(t, s, version(0, app.addr))
	for _, tr := range all {
		tr.finish(s.addr)
	}
	rest(t, s, "demo")
}

// Caddy is stopped as with caddy stop and started again, again and again under load.
// Nothing is lost, and nothing is delivered twice.
func TestFaultStopAndStart(t *testing.T) {
	t.Parallel()
	l := new(ledger.Ledger)
	stoppedAndStarted(t, l, rounds(4, 40))
	if c := report(t, l, ledger.End{}); c.Unanswered == 0 || c.Refused > 0 || c.Repeated > 0 {
		t.Errorf("%+v, want some unanswered, and none refused or repeated", c)
	}
}

func stoppedAndStarted(t *testing.T, l *ledger.Ledger, times int, mutations ...string) {
	t.Helper()
	app := witness(t, l, slowly)
	s := newServer(t)
	s.mutations = mutations
	tr := startTraffic(t, l, s.addr, "", 8)
	for n := range times {
		p := startProcess(t, s, version(n, app.addr))
		before := l.Counts().Accepted
		eventually(t, "some are accepted", func() bool { return l.Counts().Accepted > before+50 })
		if status, answer := p.post("/stop", ""); status != http.StatusOK {
			t.Fatalf("stopping: %d %s", status, answer)
		}
		select {
		case err := <-p.exit:
			if err != nil {
				t.Errorf("after a stop Caddy ended with %v:\n%s", err, p.log)
			}
			p.exit = nil
		case <-time.After(patience):
			t.Fatal("Caddy did not stop")
		}
	}
	startProcess(t, s, version(0, app.addr))
	tr.finish(s.addr)
	rest(t, s, "demo")
}
