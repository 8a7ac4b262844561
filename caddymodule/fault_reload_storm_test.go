// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/caddy-webhook-inbox/inbox/queue/queuetest/ledger"
)

// storm is a Caddy whose configuration changes again and again under load. What is
// in a generation of it depends on its number alone:
//
//	secrets of demo   0  01  1  12  2  23 …     (rotated with an overlap)
//	routes            a  b  a  b  a  b …
//	their transports  Caddy's for two generations, configured for two
//	guest 0, 1, 2     there in every second, fourth and eighth generation
//	passthrough       in every third generation
//	directory         under one name or the other
//	all options       others in each
type storm struct {
	t        *testing.T
	ledger   *ledger.Ledger
	server   *server
	routes   [2]*application
	names    [2]string // of the directory
	taken    string    // a port that others listen at
	mutation string    // of the engine
	gap      int       // a generation that verifies nothing; 0 is none

	generation int // that runs
	crowd      *crowd
}

const stormGuests = 3

func newStorm(t *testing.T, l *ledger.Ledger) *storm {
	t.Helper()
	s := newServer(t)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(filepath.Dir(s.dir), link); err != nil {
		t.Fatal(err)
	}
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
	_, port, _ := net.SplitHostPort(other.Addr().String())
	return &storm{
		t:      t,
		ledger: l,
		server: s,
		routes: [2]*application{witness(t, l, nil), witness(t, l, nil)},
		names:  [2]string{s.dir, filepath.Join(link, filepath.Base(s.dir))},
		taken:  port,
	}
}

// secretNumber returns the n-th secret of demo.
func secretNumber(n int) string { return "secret-number-" + strconv.Itoa(n) }

// secrets returns those that a generation accepts: one, or in a rotation two.
func secrets(generation int) []string {
	accepted := []string{secretNumber(generation / 2)}
	if generation%2 == 1 {
		accepted = append(accepted, secretNumber(generation/2+1))
	}
	return accepted
}

// current is the secret of a generation that the next one accepts too.
func current(generation int) string { return secretNumber((generation + 1) / 2) }

func (st *storm) caddyfile(n int) string {
	var site strings.Builder
	site.WriteString("@asks header X-Asks *\n")
	verify := "verify token X-Webhook-Token " + strings.Join(secrets(n), " ")
	if n > 0 && n == st.gap {
		verify = "verify none"
	}
	st.endpoint(&site, n, "demo", verify)
	for guest := range stormGuests {
		if n>>guest%2 == 0 {
			st.endpoint(&site, n, "guest-"+strconv.Itoa(guest), "verify token X-Webhook-Token guest-secret")
		}
	}
	site.WriteString("respond 404\n")

	engine := "badger"
	if st.mutation != "" {
		registerBrokenEngine()
		engine = "broken " + st.mutation
	}
	options := fmt.Sprintf("webhook_inbox {\n queue %s %s {\n max_size %dMiB\n min_free_space %dMiB\n}\n max_in_flight %dMiB\n}",
		engine, st.names[n/3%2], 100+n%7, 64+n%5, 64+n%3)
	return st.server.caddyfile(options, site.String())
}

func (st *storm) endpoint(site *strings.Builder, n int, name, verify string) {
	passthrough := ""
	if n%3 == 0 {
		passthrough = "passthrough @asks"
	}
	route := st.routes[n%2].addr
	if n%4 > 1 {
		route = "{\n reverse_proxy " + route + " {\n transport http {\n dial_timeout 4s\n}\n}\n}"
	}
	fmt.Fprintf(site, `
	webhook_inbox /%s %[1]s {
		%s
		message_id header X-Webhook-Id
		%s
		attempt_timeout %ds
		read_timeout %[4]ds
		concurrency %d
		max_body %dMiB
		retain %[5]dh
		retry {
			backoff %[7]dms 1m
		}
		deliver %s
	}
`, name, verify, passthrough, 10+n, 2+n%7, 1+n%4, 100+n, route)
}

// begin loads the first generation and lets webhooks come in.
func (st *storm) begin() {
	st.t.Helper()
	if err := st.server.tryLoad(st.caddyfile(0)); err != nil {
		st.t.Fatal(err)
	}
	st.crowd = startCrowd(st.t, st.ledger, st.server.addr, current(0))
}

// reload loads the next generation. Before every third, a load of it fails.
//
// What it changes in the secrets holds when the load has returned, also in a
// connection that is older.
func (st *storm) reload() {
	st.t.Helper()
	n := st.generation + 1
	st.crowd.try(current(st.generation)) // so that there is a connection
	if n%3 == 0 {
		if err := st.server.tryLoad(st.broken(n)); err == nil {
			st.t.Fatal("a configuration that cannot start was loaded")
		}
	}
	if err := st.server.tryLoad(st.caddyfile(n)); err != nil {
		st.t.Fatalf("loading generation %d: %v", n, err)
	}
	st.generation = n
	for _, secret := range secrets(n) {
		if status := st.crowd.try(secret); status != http.StatusAccepted {
			st.t.Errorf("generation %d answers %d to a secret of it", n, status)
		}
	}
	if n%2 == 0 {
		st.crowd.retire(secretNumber(n/2 - 1))
		if status := st.crowd.try(secretNumber(n/2 - 1)); status != http.StatusUnauthorized {
			st.t.Errorf("generation %d answers %d to a secret that it does not have any more", n, status)
		}
	}
	st.crowd.use(current(n))
	// A generation lasts until forgers have tried it.
	tried := st.crowd.answered("forger")
	eventually(st.t, "forgers are answered", func() bool { return st.crowd.answered("forger") >= tried+10 })
}

// broken returns a generation that cannot be loaded, each in another way.
func (st *storm) broken(n int) string {
	config := st.caddyfile(n)
	switch n / 3 % 4 {
	case 0: // while it starts
		return config + "http://:" + st.taken + " {\n\tbind 127.0.0.1\n\trespond 200\n}\n"
	case 1: // while it is set up, after half of it
		return strings.Replace(config, "respond 404", "webhook_inbox /last last {\nverify token X-Token {env.NOBODY_SET_THIS}\ndedupe off\ndeliver :1\n}", 1)
	case 2: // while it is set up, before anything else
		return strings.Replace(config, "max_in_flight ", "max_in_flight -", 1)
	default: // in the endpoint that all have
		return strings.Replace(config, "concurrency ", "concurrency -", 1)
	}
}
