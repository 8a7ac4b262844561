// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue/queuetest/ledger"
)

// The fault tests do something to an inbox that it must survive. Each has webhooks
// come in meanwhile, writes what happens into a ledger, lets the inbox come to rest,
// and has the ledger checked. They are run in two sizes: go test has the small one,
// and go test -tags faults the one that takes hours together. What a fault test
// can notice at all, it shows with an inbox that is broken on purpose.

// rounds is how often a fault test does what it does.
func rounds(short, long int) int {
	if faultsAreLong {
		return long
	}
	return short
}

// traffic is webhooks that come in from several senders, who send each until it is
// accepted.
type traffic struct {
	t       *testing.T
	ledger  *ledger.Ledger
	cancel  context.CancelFunc
	senders sync.WaitGroup

	mu      sync.Mutex
	pending map[string]string // bodies of those that are not accepted, by id
}

// trafficNumber makes ids of one test binary unique.
var trafficNumber sync.Map

// startTraffic lets webhooks come in at an address with tokenSite, as fast as they
// are answered, until stop. Their ids begin with the name, which is to be new.
func startTraffic(t *testing.T, l *ledger.Ledger, addr, name string, senders int) *traffic {
	t.Helper()
	if _, taken := trafficNumber.LoadOrStore(t.Name()+name, true); taken {
		t.Fatalf("there is traffic %q already", name)
	}
	t.Cleanup(func() { trafficNumber.Delete(t.Name() + name) })
	ctx, cancel := context.WithCancel(t.Context())
	tr := &traffic{t: t, ledger: l, cancel: cancel, pending: make(map[string]string)}
	for sender := range senders {
		tr.senders.Go(func() {
			client := &http.Client{Transport: &http.Transport{}, Timeout: 10 * time.Second}
			defer client.CloseIdleConnections()
			sizes := rand.New(rand.NewPCG(uint64(sender), 0)) // the same each time
			for n := 0; ctx.Err() == nil; n++ {
				id := fmt.Sprintf("%s-%d-%d", name, sender, n)
				body := fmt.Sprintf("%s:%0*d", id, sizes.IntN(2000), 0)
				tr.sendUntilAccepted(ctx, client, addr, id, body)
			}
		})
	}
	t.Cleanup(tr.stop)
	return tr
}

// sendUntilAccepted gives up when ctx is done. What is pending then is sent again
// by finish.
func (tr *traffic) sendUntilAccepted(ctx context.Context, client *http.Client, addr, id, body string) {
	tr.note(id, body)
	for ctx.Err() == nil {
		tr.ledger.Sent(id, []byte(body))
		status := post(ctx, client, addr, id, body)
		tr.ledger.Answered(id, status)
		if status == http.StatusAccepted {
			tr.forget(id)
			return
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

func (tr *traffic) note(id, body string) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.pending[id] = body
}

func (tr *traffic) forget(id string) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	delete(tr.pending, id)
}

// stop ends the traffic, and what is not answered.
func (tr *traffic) stop() {
	tr.cancel()
	tr.senders.Wait()
}

// finish sends again what is not accepted yet, to an inbox that works.
func (tr *traffic) finish(addr string) {
	tr.t.Helper()
	tr.stop()
	ctx, cancel := context.WithTimeout(tr.t.Context(), patience)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{}, Timeout: patience}
	defer client.CloseIdleConnections()
	places, senders := make(chan struct{}, 16), sync.WaitGroup{}
	for id, body := range maps.Clone(tr.pending) {
		places <- struct{}{}
		senders.Go(func() {
			tr.sendUntilAccepted(ctx, client, addr, id, body)
			<-places
		})
	}
	senders.Wait()
	if n := len(tr.pending); n > 0 {
		tr.t.Errorf("%d webhooks are not accepted by an inbox that works", n)
	}
}

// witness returns an application that writes what it gets into the ledger. It
// answers with what answer returns, which is 204 if that is nil.
func witness(t *testing.T, l *ledger.Ledger, answer func(key string, attempt int) (status int, retryAfter time.Duration)) *application {
	app := newApplication(t)
	app.handle = func(w http.ResponseWriter, r *http.Request, body []byte) {
		<-app.got
		a := attemptOf(r)
		a.Status = http.StatusNoContent
		if answer != nil {
			a.Status, a.RetryAfter = answer(keyOf(r), a.Number)
		}
		if app.takesBack && r.Context().Err() != nil {
			a.Status = http.StatusInternalServerError
		}
		if a.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(a.RetryAfter/time.Second)))
		}
		a.Ended = time.Now()
		l.Tried(keyOf(r), body, a)
		w.WriteHeader(a.Status)
	}
	return app
}

func keyOf(r *http.Request) string { return r.Header.Get("X-Webhook-Id") }

// attemptOf returns what a delivery says of itself.
func attemptOf(r *http.Request) ledger.Attempt {
	n, _ := strconv.Atoi(r.Header.Get("Webhook-Inbox-Attempt"))
	return ledger.Attempt{Number: n, Message: r.Header.Get("Webhook-Inbox-Id"), Began: time.Now()}
}

// connected follows which connections are open.
func (a *application) connected(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		a.conns.Store(c.RemoteAddr().String(), true)
	case http.StateClosed, http.StateHijacked:
		a.conns.Delete(c.RemoteAddr().String())
	}
}

// catchUp waits until the application is done with whatever was begun by a process
// that is gone: it may see an attempt only after its end.
func (a *application) catchUp() {
	a.t.Helper()
	last, err := net.Dial("tcp", a.addr)
	if err != nil {
		a.t.Fatal(err)
	}
	eventually(a.t, "the application has accepted all connections", func() bool {
		_, ok := a.conns.Load(last.LocalAddr().String())
		return ok
	})
	last.Close()
	eventually(a.t, "the application is done with all connections", func() bool {
		open := 0
		a.conns.Range(func(any, any) bool { open++; return true })
		return open == 0
	})
}

// kill kills the process, which is a fault, whose end is when the application has
// seen all that there was before.
func (p *process) kill(l *ledger.Ledger, app *application) {
	p.t.Helper()
	began := time.Now()
	p.end(syscall.SIGKILL)
	app.catchUp()
	l.Fault(began, time.Now())
}

var faultSeed = flag.Uint64("fault-seed", 0, "what a fault test does at random is what it did with this seed")

// chance is the randomness of a test, whose seed is logged.
func chance(t *testing.T) *rand.Rand {
	t.Helper()
	seed := *faultSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-fault-seed=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// upTo is a random time.
func upTo(random *rand.Rand, most time.Duration) time.Duration {
	return time.Duration(random.Int64N(int64(most)))
}

// judge waits until nothing waits, and reports what broke an invariant. It returns
// the counts, for the test to say what is no load.
func judge(t *testing.T, l *ledger.Ledger, s *server, endpoints ...string) ledger.Counts {
	t.Helper()
	rest(t, s, endpoints...)
	return report(t, l, ledger.End{})
}

// loaded waits until a Caddy that serves is also done with loading.
func loaded(t *testing.T, s *server) {
	t.Helper()
	eventually(t, "the configuration is loaded", func() bool {
		status, _ := s.admin("GET", "/webhook_inbox/endpoints")
		return status == http.StatusOK
	})
}

// rest waits until nothing waits.
func rest(t *testing.T, s *server, endpoints ...string) {
	t.Helper()
	loaded(t, s)
	for _, name := range endpoints {
		least, since := s.endpoint(name).Waiting, time.Now()
		for now := least; now > 0; now = s.endpoint(name).Waiting {
			if now < least {
				least, since = now, time.Now()
			}
			if time.Since(since) > patience {
				t.Fatalf("%d messages of %q wait, and for %v it did not become fewer", now, name, patience)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
}

// report reports what broke an invariant.
func report(t *testing.T, l *ledger.Ledger, end ledger.End) ledger.Counts {
	t.Helper()
	violations := l.Check(end)
	for i, v := range violations {
		if i == 20 {
			t.Errorf("and %d more", len(violations)-i)
			break
		}
		t.Error(v)
	}
	counts := l.Counts()
	t.Logf("%+v", counts)
	return counts
}

// expectBroken reports if none of the invariants is broken: the test would not have
// noticed what was broken on purpose.
func expectBroken(t *testing.T, l *ledger.Ledger, end ledger.End, any ...ledger.Invariant) {
	t.Helper()
	found := make(map[ledger.Invariant]int)
	for _, v := range l.Check(end) {
		if found[v.Invariant]++; found[v.Invariant] == 1 {
			t.Log(v)
		}
	}
	t.Logf("%v of %+v", found, l.Counts())
	if !slices.ContainsFunc(any, func(i ledger.Invariant) bool { return found[i] > 0 }) {
		t.Errorf("%v is broken on purpose, and nobody noticed", any)
	}
}
