// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue/queuetest/ledger"
)

// crowd is all who send to a storm: those who know the secret of demo, some of whom
// send again what was accepted, or ask for an answer; those of the guests, who find
// no endpoint at times; and forgers.
//
// What forgers send is not noted as sent, so that its delivery is an invention.
type crowd struct {
	t      *testing.T
	ledger *ledger.Ledger
	addr   string
	ctx    context.Context
	cancel context.CancelFunc
	group  sync.WaitGroup
	own    *http.Client // of try
	random *rand.Rand   // has the seeds of all who begin

	using sync.RWMutex // held by each request that uses the secret

	mu      sync.Mutex
	secret  string
	retired []string
	tries   int
	answers map[string]map[int]int // by who was answered, and how
	pending map[string]letter      // what is not accepted yet, by id
}

// letter is a webhook of a crowd.
type letter struct{ endpoint, id, body string }

func startCrowd(t *testing.T, l *ledger.Ledger, addr, secret string) *crowd {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	c := &crowd{
		t: t, ledger: l, addr: addr, ctx: ctx, cancel: cancel, secret: secret,
		own:     &http.Client{Transport: &http.Transport{}, Timeout: patience},
		answers: make(map[string]map[int]int),
		pending: make(map[string]letter),
	}
	t.Cleanup(c.stop)
	c.random = chance(t)
	for n := range 4 {
		c.start(fmt.Sprintf("demo-%d", n), c.send("demo"))
	}
	for n := range stormGuests {
		guest := "guest-" + strconv.Itoa(n)
		c.start(guest, c.send(guest))
	}
	for n := range 2 {
		c.start(fmt.Sprintf("forger-%d", n), c.forge)
	}
	c.start("asker", c.ask)
	return c
}

// start has somebody do something over and over, in a connection of its own.
func (c *crowd) start(name string, do func(client *http.Client, random *rand.Rand, id string)) {
	random := rand.New(rand.NewPCG(c.random.Uint64(), 0))
	c.group.Go(func() {
		client := &http.Client{Transport: &http.Transport{}, Timeout: patience}
		defer client.CloseIdleConnections()
		for n := 0; c.ctx.Err() == nil; n++ {
			do(client, random, fmt.Sprintf("%s-%d", name, n))
			time.Sleep(time.Duration(random.IntN(2000)) * time.Microsecond)
		}
	})
}

// request sends a request and notes its answer, 0 if there was none.
func (c *crowd) request(ctx context.Context, client *http.Client, who string, w letter, fields http.Header) int {
	r, err := http.NewRequestWithContext(ctx, "POST", "http://"+c.addr+"/"+w.endpoint, strings.NewReader(w.body))
	if err != nil {
		c.t.Error(err)
		return 0
	}
	r.Header = fields.Clone()
	r.Header.Set("X-Webhook-Id", w.id)
	status := 0
	if resp, err := client.Do(r); err == nil {
		status = resp.StatusCode
		resp.Body.Close()
	}
	c.ledger.Answered(w.id, status)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.answers[who] == nil {
		c.answers[who] = make(map[int]int)
	}
	c.answers[who][status]++
	return status
}

// genuine is request with the secret of the endpoint.
func (c *crowd) genuine(ctx context.Context, client *http.Client, w letter) int {
	if w.endpoint != "demo" {
		c.ledger.Sent(w.id, []byte(w.body))
		return c.request(ctx, client, "guest", w, header("X-Webhook-Token", "guest-secret"))
	}
	c.using.RLock()
	defer c.using.RUnlock()
	c.ledger.Sent(w.id, []byte(w.body))
	return c.request(ctx, client, "demo", w, header("X-Webhook-Token", c.secret))
}

// send returns what sends a webhook to an endpoint until it is accepted, and one in
// four then once more, some time later.
func (c *crowd) send(endpoint string) func(*http.Client, *rand.Rand, string) {
	var again []letter
	return func(client *http.Client, random *rand.Rand, id string) {
		w := letter{endpoint, id, fmt.Sprintf("%s:%0*d", id, random.IntN(2000), 0)}
		c.until(c.ctx, client, w)
		if again = append(again, w); len(again) > 8 {
			if random.IntN(4) == 0 {
				c.genuine(c.ctx, client, again[0])
			}
			again = again[1:]
		}
	}
}

func (c *crowd) until(ctx context.Context, client *http.Client, w letter) {
	c.mu.Lock()
	c.pending[w.id] = w
	c.mu.Unlock()
	for ctx.Err() == nil {
		if c.genuine(ctx, client, w) == http.StatusAccepted {
			c.mu.Lock()
			delete(c.pending, w.id)
			c.mu.Unlock()
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// ask sends a request that some generations let through to the application. Who
// was cut off does not ask again.
func (c *crowd) ask(client *http.Client, _ *rand.Rand, id string) {
	c.using.RLock()
	defer c.using.RUnlock()
	c.ledger.Sent(id, []byte(id))
	c.request(c.ctx, client, "asker", letter{"demo", id, id}, header("X-Webhook-Token", c.secret, "X-Asks", "1"))
}

// forge sends a request that nobody may accept: without a token, with wrong ones,
// and with one that was accepted by a generation before.
func (c *crowd) forge(client *http.Client, random *rand.Rand, id string) {
	c.mu.Lock()
	tokens := []http.Header{
		{}, header("X-Webhook-Token", ""), header("X-Webhook-Token", "secret-number-"),
		header("X-Webhook-Token", "guest-secre"), header("X-Asks", "1", "X-Webhook-Token", "wrong"),
		header("X-Webhook-Token", c.secret, "X-Webhook-Token", c.secret),
	}
	if n := len(c.retired); n > 0 {
		tokens = append(tokens, header("X-Webhook-Token", c.retired[n-1]), header("X-Webhook-Token", c.retired[random.IntN(n)]))
	}
	c.mu.Unlock()
	endpoint := "demo"
	if random.IntN(3) == 0 {
		endpoint = "guest-" + strconv.Itoa(random.IntN(stormGuests))
	}
	c.request(c.ctx, client, "forger", letter{endpoint, id, "forged"}, tokens[random.IntN(len(tokens))])
}

// use has those who send to demo use a secret. All that were sent with the one
// before are answered when it returns.
func (c *crowd) use(secret string) {
	c.using.Lock()
	defer c.using.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.secret = secret
}

// retire tells forgers a secret that is not accepted any more.
func (c *crowd) retire(secret string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.retired = append(c.retired, secret)
}

// try sends a webhook to demo with a secret, in the connection of the try before if
// that is still there, and returns the answer.
func (c *crowd) try(secret string) int {
	c.t.Helper()
	c.tries++
	w := letter{"demo", fmt.Sprintf("try-%d", c.tries), "try"}
	for range 3 {
		c.ledger.Sent(w.id, []byte(w.body))
		if status := c.request(c.t.Context(), c.own, "try", w, header("X-Webhook-Token", secret)); status != 0 {
			return status
		}
	}
	c.t.Error("three connections in a row were cut off")
	return 0
}

// answered returns how many requests of somebody were answered.
func (c *crowd) answered(who string) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for status, count := range c.answers[who] {
		if status != 0 {
			n += count
		}
	}
	return n
}

func (c *crowd) stop() {
	c.cancel()
	c.group.Wait()
	c.own.CloseIdleConnections()
}

// finish sends again what is not accepted yet.
func (c *crowd) finish() {
	c.t.Helper()
	c.stop()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{}, Timeout: patience}
	defer client.CloseIdleConnections()
	for _, w := range c.pending {
		c.until(ctx, client, w)
	}
	if n := len(c.pending); n > 0 {
		c.t.Errorf("%d webhooks are not accepted in the end", n)
	}
}
