// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue/queuetest/ledger"
)

// poisonTimeout is the attempt_timeout of what is delivered together with poison.
const poisonTimeout = slowdown * 500 * time.Millisecond

// poisons are what an application does with a message that it cannot take,
// whenever it comes.
var poisons = map[string]func(http.ResponseWriter, *http.Request){
	"fails": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
	"hangs": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	"resets": func(w http.ResponseWriter, _ *http.Request) {
		if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
			_ = conn.(*net.TCPConn).SetLinger(0)
			conn.Close()
		}
	},
}

// poisoned is an application that is well, but for some messages.
type poisoned struct {
	*bystander

	mu       sync.Mutex
	attempts map[string]int // with messages that are poison
	requests map[string]int // of an attempt: one that is reset may be repeated once

	stalled func() time.Duration // for how long everything stood still at most
}

func newPoisoned(t *testing.T, l *ledger.Ledger) *poisoned {
	p := &poisoned{bystander: newBystander(t, l), attempts: make(map[string]int), requests: make(map[string]int)}
	well := p.app.handle
	p.app.handle = func(w http.ResponseWriter, r *http.Request, body []byte) {
		kind, _, _ := strings.Cut(path.Base(r.URL.Path), "-")
		poison := poisons[kind]
		if poison == nil {
			well(w, r, body)
			return
		}
		<-p.app.got
		a := attemptOf(r)
		a.Ended = time.Now() // at the earliest
		if p.begun(keyOf(r), a.Number) {
			l.Tried(keyOf(r), body, a)
		}
		poison(w, r)
	}
	return p
}

// begun notes a request, and reports whether it is the first of its attempt.
func (p *poisoned) begun(key string, attempt int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	request := fmt.Sprintf("attempt %d with %s", attempt, key)
	p.requests[request]++
	if p.requests[request] > 1 {
		p.ledger.Measured("requests of "+request, float64(p.requests[request]), 2)
		return false
	}
	p.attempts[key]++
	return true
}

// least returns how many attempts there were with each message that is poison, at
// least.
func (p *poisoned) least() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.attempts) == 0 {
		return 0
	}
	least := 1 << 30
	for _, n := range p.attempts {
		least = min(least, n)
	}
	return least
}

const poisonAttempts = 3

// poison delivers messages that the application cannot take among those that it
// takes well, until enough has happened with each of a round.
func (p *poisoned) poison(s *server, kinds []string, concurrency, maxAttempts int, enough func(sent int) bool, mutations ...string) ledger.End {
	p.t.Helper()
	site := retrySite(p.app.addr, fmt.Sprintf(`
		concurrency %[1]d
		attempt_timeout %[2]v
		retry {
			backoff %[3]v %[3]v
			max_attempts %[4]d
		}`, concurrency, poisonTimeout, 2*p.ledger.Backoff, maxAttempts))
	if err := s.tryLoad(s.caddyfile(s.brokenBy(mutations...), site)); err != nil {
		p.t.Fatal(err)
	}
	p.stalled = noteStalls(p.t, p.ledger, poisonTimeout/4)
	p.start(s, "/")
	client := &http.Client{Transport: &http.Transport{}, Timeout: patience}
	defer client.CloseIdleConnections()
	sent, turns := 0, rounds(1, 30)
	if len(mutations) > 0 {
		turns = 1 // which is to be noticed
	}
	for round := range turns {
		for _, kind := range kinds {
			key := fmt.Sprintf("%s-%d", kind, round)
			sendTo(p.t, p.ledger, client, "http://"+s.addr+"/"+key, key, []byte(key))
			sent++
		}
		eventually(p.t, "the poison did its worst", func() bool { return enough(sent) })
	}
	p.finish(2*poisonTimeout + p.stalled()) // one attempt that hangs, and who waited for it

	p.mu.Lock()
	defer p.mu.Unlock()
	for key, n := range p.attempts {
		p.ledger.Measured("attempts with "+key, float64(n), poisonAttempts)
	}
	end := ledger.End{Dead: make(map[string]bool)}
	var letters deadLetters
	s.adminJSON("GET", "/webhook_inbox/endpoints/demo/dead_letters?limit=1000", &letters)
	failures := fmt.Sprintf("given up after %d failures: ", poisonAttempts)
	for _, letter := range letters.DeadLetters {
		end.Dead[path.Base(letter.Path)] = true
		if !strings.HasPrefix(letter.Reason, failures) {
			p.t.Errorf("the reason of %s is %q, want %q and the last of them", letter.Path, letter.Reason, failures)
		}
	}
	return end
}

// Messages that an application never takes, or that it hangs with, hold nobody up,
// not even where deliveries are made one at a time. They are tried as often as is
// configured, with their backoff, and become dead letters.
func TestFaultPoison(t *testing.T) {
	kinds := slices.Collect(maps.Keys(poisons))
	for _, concurrency := range []int{1, 8}[:rounds(1, 2)] {
		t.Run(fmt.Sprintf("concurrency %d", concurrency), func(t *testing.T) {
			l := &ledger.Ledger{Backoff: 100 * time.Millisecond}
			p, s := newPoisoned(t, l), newServer(t)
			end := p.poison(s, kinds, concurrency, poisonAttempts, func(sent int) bool {
				return s.endpoint("demo").DeadLetters == int64(sent)
			})
			if want := rounds(1, 30) * len(kinds); len(end.Dead) != want {
				t.Errorf("%d are dead, want the %d that are poison", len(end.Dead), want)
			}
			// An attempt may have ended before the application had it, if nothing went on.
			if n := p.least(); n > poisonAttempts || n < poisonAttempts && p.stalled() < poisonTimeout/4 {
				t.Errorf("a message was given up on after %d attempts", n)
			}
			rest(t, s, "demo")
			report(t, l, end)
		})
	}
}

// Poison that is never given up on, that comes back at once, or that is thrown
// away, is noticed.
func TestFaultPoisonIsNoticed(t *testing.T) {
	for _, c := range []struct {
		mutation    string
		maxAttempts int
		enough      int
		broken      ledger.Invariant
	}{
		{"", 0, poisonAttempts + 1, ledger.Growth},
		{ignoresBackoff, poisonAttempts, poisonAttempts, ledger.Haste},
		{ackBeforeAnswer, poisonAttempts, 1, ledger.Loss},
	} {
		t.Run(c.broken.String(), func(t *testing.T) {
			l := &ledger.Ledger{Backoff: 100 * time.Millisecond}
			if c.mutation == ignoresBackoff {
				l.Backoff = patience / 4 // which a slow disk is not to hide
			}
			p := newPoisoned(t, l)
			end := p.poison(newServer(t), []string{"fails"}, 8, c.maxAttempts, func(sent int) bool {
				return p.least() >= c.enough
			}, c.mutation)
			expectBroken(t, l, end, c.broken)
		})
	}
}
