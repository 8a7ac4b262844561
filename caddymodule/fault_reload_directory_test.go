// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue/queuetest/ledger"
)

// The directory is changed under load, again and again, and some changes fail because
// somebody else's files are there. Another directory is another queue: what was on its
// way to the old one is answered 503 and accepted by the new one, what waits in the
// old one is delivered when that is configured again, and nothing twice. Who was cut
// off cannot know in which of the two the webhook is, so that it is not sent again
// here.
func TestFaultReloadOfTheDirectory(t *testing.T) {
	l := new(ledger.Ledger)
	reloadOfTheDirectory(t, l, rounds(4, 60))
	if c := report(t, l, ledger.End{}); c.Accepted < 100 || c.Repeated > 0 {
		t.Errorf("%+v; want at least 100 accepted, and none repeated", c)
	}
}

func reloadOfTheDirectory(t *testing.T, l *ledger.Ledger, times int, mutations ...string) {
	t.Helper()
	app := witness(t, l, slowly)
	s := newServer(t)
	s.mutations = mutations
	dirs := []string{s.dir, filepath.Join(filepath.Dir(s.dir), "second")}
	taken := t.TempDir()
	if err := os.WriteFile(filepath.Join(taken, "thesis.tex"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.load(version(0, app.addr))

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var senders sync.WaitGroup
	var mu sync.Mutex
	answers := make(map[int]int)
	for sender := range 8 {
		senders.Go(func() {
			client := &http.Client{Transport: &http.Transport{}, Timeout: patience}
			defer client.CloseIdleConnections()
			for n, status := 0, 0; ctx.Err() == nil || status == http.StatusServiceUnavailable; {
				if status != http.StatusServiceUnavailable {
					n++
				}
				id := fmt.Sprintf("%d-%d", sender, n)
				l.Sent(id, []byte(id))
				status = post(t.Context(), client, s.addr, id, id)
				l.Answered(id, status)
				if status == 0 {
					l.Abandoned(id)
				}
				mu.Lock()
				answers[status]++
				mu.Unlock()
			}
		})
	}
	for n := range times {
		before := l.Counts().Accepted
		eventually(t, "some are accepted", func() bool { return l.Counts().Accepted >= before+20 })
		under := sendHalf(s, l, fmt.Sprint("half-", n), "secret-token")
		s.dir = taken
		if err := s.tryLoad(s.caddyfile("", version(n, app.addr))); err == nil {
			t.Fatal("a directory with files of others was taken")
		}
		s.dir = dirs[(n+1)%2]
		began := time.Now()
		s.load(version(n, app.addr))
		if took := time.Since(began); took > endTime { // the old queue is closed in it
			t.Errorf("the reload took %v, want %v at most", took, endTime)
		}
		if status := under.rest(); status != http.StatusServiceUnavailable {
			t.Errorf("what was on its way to the old directory is answered %d, want 503", status)
		}
		again(t, l, s.addr, under.id, halfBody+under.id)
	}
	cancel()
	senders.Wait()
	for n := range 2 {
		s.dir = dirs[n]
		s.load(version(3, app.addr)) // which has the highest concurrency
		rest(t, s, "demo")
	}
	if answers[202]+answers[503]+answers[0] != sum(answers) {
		t.Errorf("%v; want no other answers than 202 and 503", answers)
	}
	t.Log(answers)
}

// again sends a webhook once more, as a whole, which must be accepted.
func again(t *testing.T, l *ledger.Ledger, addr, id, body string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	l.Sent(id, []byte(body))
	status := post(t.Context(), client, addr, id, body)
	l.Answered(id, status)
	if status != http.StatusAccepted {
		t.Errorf("sent again, it is answered %d, want 202", status)
	}
}

func sum(counts map[int]int) (n int) {
	for _, count := range counts {
		n += count
	}
	return n
}
