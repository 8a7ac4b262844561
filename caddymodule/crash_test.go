// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"
)

// ledger notes what was sent, what was answered and what was delivered.
type ledger struct {
	mu        sync.Mutex
	sent      map[string]string // body by id
	accepted  map[string]bool
	delivered map[string][]time.Time
	wrong     []string
}

func newLedger() *ledger {
	return &ledger{sent: map[string]string{}, accepted: map[string]bool{}, delivered: map[string][]time.Time{}}
}

func (l *ledger) send(id, body string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent[id] = body
}

func (l *ledger) accept(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.accepted[id] = true
}

func (l *ledger) deliver(id, body string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if want, ok := l.sent[id]; !ok || want != body {
		l.wrong = append(l.wrong, fmt.Sprintf("id %q with a body of %d bytes was delivered but not sent", id, len(body)))
	}
	l.delivered[id] = append(l.delivered[id], time.Now())
}

// missing returns how many accepted messages were not delivered yet.
func (l *ledger) missing() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id := range l.accepted {
		if len(l.delivered[id]) == 0 {
			n++
		}
	}
	return n
}

// application returns one that notes deliveries in the ledger.
func (l *ledger) application(t *testing.T) *application {
	app := newApplication(t)
	app.handle = func(w http.ResponseWriter, r *http.Request, body []byte) {
		<-app.got
		l.deliver(r.Header.Get("X-Webhook-Id"), string(body))
		w.WriteHeader(http.StatusNoContent)
	}
	return app
}

// Caddy is killed twenty times under load. Every message that was answered 202
// is delivered, none is invented or changed, and a message is delivered again
// only if it was under way, or its delivery not yet noted on disk, at a kill.
func TestKilledProcessLosesNothing(t *testing.T) {
	const (
		kills   = 20
		senders = 16
		// noted is how old a delivery must be at a kill not to be repeated. It is
		// noted within 20 ms, and the rest is for a machine that is busy.
		noted = 2 * time.Second
	)
	l := newLedger()
	app := l.application(t)
	site := fmt.Sprintf(tokenSite, app.addr)
	s := newServer(t)

	var killedAt []time.Time
	for round := range kills {
		p := startProcess(t, s, site)
		ctx, cancel := context.WithCancel(t.Context())
		var load sync.WaitGroup
		for sender := range senders {
			load.Go(func() {
				client := &http.Client{Transport: &http.Transport{}, Timeout: 10 * time.Second}
				defer client.CloseIdleConnections()
				for n := 0; ctx.Err() == nil; n++ {
					id := fmt.Sprintf("%d-%d-%d", round, sender, n)
					body := fmt.Sprintf("%s:%0*d", id, rand.IntN(2000), 0)
					l.send(id, body)
					if post(ctx, client, s.addr, id, body) == http.StatusAccepted {
						l.accept(id)
					}
				}
			})
		}
		time.Sleep(time.Duration(100+rand.IntN(500)) * time.Millisecond)
		killedAt = append(killedAt, time.Now())
		p.end(syscall.SIGKILL)
		cancel()
		load.Wait()
	}

	startProcess(t, s, site)
	eventually(t, "everything accepted is delivered", func() bool { return l.missing() == 0 })

	l.mu.Lock()
	defer l.mu.Unlock()
	for _, what := range l.wrong {
		t.Error(what)
	}
	repeated := 0
	for id, times := range l.delivered {
		repeated += len(times) - 1
		for i := range times[:len(times)-1] {
			excused := false
			for _, kill := range killedAt {
				excused = excused || times[i].After(kill.Add(-noted)) && times[i].Before(kill.Add(noted)) && times[i+1].After(kill)
			}
			if !excused {
				t.Errorf("message %s was delivered at %v and again at %v, with no kill soon after the first", id, times[i], times[i+1])
			}
		}
	}
	t.Logf("%d kills: %d accepted, %d delivered, %d of them more than once", kills, len(l.accepted), len(l.delivered), repeated)
	if len(l.accepted) < 100 {
		t.Errorf("only %d messages were accepted: that is no load", len(l.accepted))
	}
}

// SIGTERM ends Caddy within three seconds even if the application hangs, and
// what is not delivered by then is delivered after the restart.
func TestTerminatedProcessKeepsWhatIsUndelivered(t *testing.T) {
	l := newLedger()
	app := newApplication(t)
	hang := make(chan struct{})
	app.handle = func(w http.ResponseWriter, r *http.Request, body []byte) {
		select {
		case <-hang:
			l.deliver(r.Header.Get("X-Webhook-Id"), string(body))
			w.WriteHeader(http.StatusNoContent)
		case <-r.Context().Done():
		}
	}
	site := fmt.Sprintf(tokenSite, app.addr)
	s := newServer(t)
	p := startProcess(t, s, site)
	for n := range 100 {
		id := fmt.Sprint(n)
		l.send(id, id)
		s.expect(202, "POST", "/", tokenHeader(id), id)
		l.accept(id)
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
	eventually(t, "everything is delivered", func() bool { return l.missing() == 0 })
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, times := range l.delivered {
		if len(times) != 1 {
			t.Errorf("message %s was delivered %d times", id, len(times))
		}
	}
}
