// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue/queuetest/ledger"
)

// Thirty reloads under load, some of which fail: nothing is lost, delivered
// twice or refused. Connections that Caddy cuts on a reload are the sender's to
// retry, as they are without the inbox.
func TestReloadUnderLoad(t *testing.T) {
	l := new(ledger.Ledger)
	app := witness(t, l, nil)
	s := newServer(t)
	site := func(n int) string {
		return fmt.Sprintf(`
	webhook_inbox demo {
		verify token X-Webhook-Token secret-token
		message_id header X-Webhook-Id
		attempt_timeout %ds
		concurrency %d
		deliver %s
	}
`, 10+n, 1+n%7, app.addr)
	}
	s.load(site(0))

	tr := startTraffic(t, l, s.addr, "", 8)
	for n := range 30 {
		if n%5 == 4 {
			if err := s.tryLoad(s.broken(site(n))); err == nil {
				t.Error("a configuration that cannot start was loaded")
			}
			continue
		}
		s.load(site(n))
		time.Sleep(20 * time.Millisecond)
	}
	tr.finish(s.addr)
	if c := judge(t, l, s, "demo"); c.Accepted < 100 || c.Unavailable > 0 || c.Refused > 0 || c.Repeated > 0 {
		t.Errorf("%+v, want at least 100 accepted, and none refused or repeated", c)
	}
}

// A reload that fails leaves the endpoints, their routes and the limits as they
// were.
func TestFailedReloadChangesNothing(t *testing.T) {
	app, other := newApplication(t), newApplication(t)
	s := serve(t, fmt.Sprintf(tokenSite, app.addr))
	broken := s.broken(fmt.Sprintf(tokenSite, other.addr))
	for range 3 {
		if err := s.tryLoad(broken); err == nil {
			t.Fatal("a configuration that cannot start was loaded")
		}
	}
	s.expect(202, "POST", "/", tokenHeader("1"), "x")
	app.next()
	s.settled("demo")
	other.none()
}

// An endpoint that is taken out of the configuration keeps its messages, and
// they are delivered when it returns under the same name.
func TestEndpointThatReturnsHasItsMessages(t *testing.T) {
	app := newApplication(t)
	app.status.Store(http.StatusInternalServerError)
	s := serve(t, fmt.Sprintf(tokenSite, app.addr))
	s.expect(202, "POST", "/", tokenHeader("1"), "x")
	app.next()
	s.load("respond 200")
	s.load(fmt.Sprintf(strings.ReplaceAll(tokenSite, "demo", "another"), app.addr))
	if e := s.endpoint("demo"); e.Configured || e.Waiting != 1 {
		t.Errorf("the endpoint without configuration: %+v, want 1 waiting", e)
	}
	app.status.Store(http.StatusOK)
	s.load(fmt.Sprintf(tokenSite, app.addr))
	eventually(t, "it is delivered", func() bool { return s.endpoint("demo").Waiting == 0 })
}

// An endpoint that returns while an attempt from before is under way does not deliver
// more at a time than its concurrency allows.
func TestEndpointThatReturnsHasOneDispatcher(t *testing.T) {
	for range 5 {
		wrong, after := returnsDuringAnAttempt(t)
		if wrong == "" {
			return
		}
		if t.Log(wrong); after < 2*time.Second {
			break // it is not that the attempt had to end, for which it has three
		}
	}
	t.Error("an endpoint that returned delivered more at a time than its concurrency")
}

// returnsDuringAnAttempt returns what is wrong, and how long after the endpoint was
// taken out that was seen.
func returnsDuringAnAttempt(t *testing.T) (wrong string, after time.Duration) {
	t.Helper()
	app := newApplication(t)
	end := make(chan struct{})
	app.handle = func(http.ResponseWriter, *http.Request, []byte) { <-end }
	finish := sync.OnceFunc(func() { close(end) })
	defer finish()
	site := strings.Replace(fmt.Sprintf(tokenSite, app.addr), "deliver", "concurrency 1\n\t\tdeliver", 1)
	s := serve(t, site)
	for _, id := range []string{"1", "2"} {
		s.expect(202, "POST", "/", tokenHeader(id), id)
	}
	if first := app.next(); first.Body != "1" {
		t.Fatalf("delivered first is %q", first.Body)
	}
	removed := time.Now()
	s.load("respond 200")
	s.load(site)
	select {
	case d := <-app.got:
		return fmt.Sprintf("%q is delivered while %q is", d.Body, "1"), time.Since(removed)
	case <-time.After(300 * time.Millisecond): // the attempt may take two seconds more
	}
	finish()
	if second := app.next(); second.Body != "2" {
		return fmt.Sprintf("delivered second is %q", second.Body), time.Since(removed)
	}
	eventually(t, "both are delivered", func() bool { return s.endpoint("demo").Waiting == 0 })
	return "", 0
}

// Another directory is another queue. What is in the old one is there again when
// the old directory is.
func TestDirectoryCanBeChanged(t *testing.T) {
	app := newApplication(t)
	app.status.Store(http.StatusInternalServerError)
	s := serve(t, fmt.Sprintf(tokenSite, app.addr))
	s.expect(202, "POST", "/", tokenHeader("1"), "in the first")
	app.next()

	first := s.dir
	s.dir = filepath.Join(filepath.Dir(first), "second")
	s.load(fmt.Sprintf(tokenSite, app.addr))
	if n := s.endpoint("demo").Waiting; n != 0 {
		t.Errorf("%d wait in a new queue", n)
	}
	s.expect(202, "POST", "/", tokenHeader("1"), "in the second")

	app.status.Store(http.StatusOK)
	s.dir = first
	s.load(fmt.Sprintf(tokenSite, app.addr))
	eventually(t, "the first queue is delivered", func() bool { return s.endpoint("demo").Waiting == 0 })
}

// One site with two addresses has the handler twice, and is one endpoint.
func TestSiteWithTwoAddressesIsOneEndpoint(t *testing.T) {
	app := newApplication(t)
	s := newServer(t)
	second := freeAddr(t)
	one := "http://" + s.port() + " {"
	two := "http://" + s.port() + ", http://" + second[strings.LastIndex(second, ":"):] + " {"
	config := strings.Replace(s.caddyfile("", fmt.Sprintf(tokenSite, app.addr)), one, two, 1)
	if err := s.tryLoad(config); err != nil {
		t.Fatal(err)
	}
	s.expect(202, "POST", "/", tokenHeader("1"), "x")
	app.next()
	s.addr = second
	s.expect(202, "POST", "/", tokenHeader("1"), "x")
	s.expect(202, "POST", "/", tokenHeader("2"), "y")
	if d := app.next(); d.Body != "y" {
		t.Errorf("delivered %q, want only the new one", d.Body)
	}
}
