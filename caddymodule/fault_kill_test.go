// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue/queuetest/ledger"
)

// Caddy is killed again and again under load. Whatever was answered 202 is
// delivered, nothing is invented or changed, and a message is delivered again only
// if it was under way, or its delivery not yet noted on disk, at a kill.
func TestFaultKill(t *testing.T) {
	l := new(ledger.Ledger)
	app := witness(t, l, nil)
	site := fmt.Sprintf(tokenSite, app.addr)
	s := newServer(t)
	var all []*traffic
	for round := range rounds(20, 200) {
		p := startProcess(t, s, site)
		tr := startTraffic(t, l, s.addr, strconv.Itoa(round), 16)
		time.Sleep(time.Duration(100+rand.IntN(rounds(500, 2000))) * time.Millisecond)
		began := time.Now()
		p.end(syscall.SIGKILL)
		l.Fault(began, time.Now())
		tr.stop()
		all = append(all, tr)
	}

	startProcess(t, s, site)
	for _, tr := range all {
		tr.finish(s.addr)
	}
	if c := judge(t, l, s, "demo"); c.Accepted < 100 || c.Unanswered == 0 {
		t.Errorf("that is no load: %+v", c)
	}
}

// SIGTERM ends Caddy within three seconds even if the application hangs, and
// what is not delivered by then is delivered after the restart.
func TestTerminatedProcessKeepsWhatIsUndelivered(t *testing.T) {
	l := new(ledger.Ledger)
	app := newApplication(t)
	hang := make(chan struct{})
	app.handle = func(w http.ResponseWriter, r *http.Request, body []byte) {
		select {
		case <-hang:
			a := attemptOf(r)
			a.Ended, a.Status = time.Now(), http.StatusNoContent
			l.Tried(keyOf(r), body, a)
			w.WriteHeader(http.StatusNoContent)
		case <-r.Context().Done():
		}
	}
	site := fmt.Sprintf(tokenSite, app.addr)
	s := newServer(t)
	p := startProcess(t, s, site)
	for n := range 100 {
		id := fmt.Sprint(n)
		l.Sent(id, []byte(id))
		s.expect(202, "POST", "/", tokenHeader(id), id)
		l.Answered(id, http.StatusAccepted)
	}
	app.next() // at least one attempt is under way
	http.DefaultClient.CloseIdleConnections()

	began := time.Now()
	p.end(syscall.SIGTERM)
	if took := time.Since(began); took > slowdown*3*time.Second {
		t.Errorf("SIGTERM took %v, want %ds at most", took, slowdown*3)
	}

	close(hang)
	startProcess(t, s, site)
	judge(t, l, s, "demo")
}
