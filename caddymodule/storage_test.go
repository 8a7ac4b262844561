// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/dgraph-io/badger/v4"

	"github.com/caddy-webhook-inbox/inbox/queue/badgerqueue"
)

// loadQueue is load with options of the queue, apart from its directory.
func (s *server) loadQueue(options, site string) {
	s.t.Helper()
	if err := s.tryLoadQueue(options, site); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) tryLoadQueue(options, site string) error {
	s.t.Helper()
	return s.tryLoad(s.caddyfile("webhook_inbox {\n queue "+s.engine()+" {\n "+options+"\n }\n }", site))
}

// twoEndpoints has the endpoints a and b, which erase what is delivered.
func twoEndpoints(app, optionsOfA string) string {
	var site strings.Builder
	for name, options := range map[string]string{"a": optionsOfA, "b": ""} {
		fmt.Fprintf(&site, `
	handle /%[1]s {
		webhook_inbox %[1]s {
			verify none
			dedupe off
			retain 0
			deliver %[2]s
			%[3]s
		}
	}
`, name, app, options)
	}
	return site.String()
}

// fill sends messages of a few KiB until one is refused, which must be with 503
// and a time to come back. It returns how many were accepted.
func fill(s *server, uri string) (accepted int) {
	s.t.Helper()
	for ; accepted < 1000; accepted++ {
		resp := s.send("POST", uri, nil, strings.Repeat("x", 4<<10))
		if resp.StatusCode == http.StatusAccepted {
			continue
		}
		seconds, err := strconv.Atoi(resp.Header.Get("Retry-After"))
		if resp.StatusCode != http.StatusServiceUnavailable || err != nil || seconds < 1 || seconds > 60 {
			s.t.Fatalf("status %d with Retry-After %q, want 503 with some seconds", resp.StatusCode, resp.Header.Get("Retry-After"))
		}
		return accepted
	}
	s.t.Fatal("there is no limit")
	return 0
}

// A full queue refuses, and takes again what is sent after deliveries made room.
// An endpoint that has used up its share leaves the rest to others.
func TestFullQueueRefusesUntilThereIsRoom(t *testing.T) {
	for name, c := range map[string]struct {
		queue, endpoint string
		most            int // messages of 4 KiB
	}{
		"the default share is half": {"200KiB", "", 25},
		"a share in percent":        {"200KiB", "max_size 10%", 5},
		"a share in bytes":          {"10GiB", "max_size 30KiB", 7},
		"all of the queue":          {"60KiB", "max_size 100%", 15},
	} {
		t.Run(name, func(t *testing.T) {
			sick, well := newApplication(t), newApplication(t)
			sick.status.Store(http.StatusServiceUnavailable)
			s := newServer(t)
			options := "min_free_space 64MiB\n max_size " + c.queue
			s.loadQueue(options, twoEndpoints(sick.addr, c.endpoint))
			n := fill(s, "/a")
			if n < c.most/2 || n > c.most {
				t.Errorf("%d messages were accepted, want about %d", n, c.most)
			}
			if name != "all of the queue" {
				s.expect(202, "POST", "/b", nil, "x")
			}
			if n := s.metric(`caddy_webhook_inbox_received_total{endpoint="a",outcome="full"}`); n != 1 {
				t.Errorf("%v refusals are counted as full, want 1", n)
			}
			s.loadQueue(options, twoEndpoints(well.addr, c.endpoint)) // which ends the outage
			s.settled("a")
			s.settled("b")
			s.expect(202, "POST", "/a", nil, "x")
			s.settled("a")
		})
	}
}

// Messages that are only kept make room before anything is refused.
func TestKeptMessagesMakeRoom(t *testing.T) {
	app := newApplication(t)
	s := newServer(t)
	s.loadQueue("min_free_space 64MiB\n max_size 60KiB", `
	webhook_inbox demo {
		verify none
		dedupe off
		max_size 100%
		retain 1h
		deliver `+app.addr+`
	}
`)
	for range 40 {
		s.expect(202, "POST", "/", nil, strings.Repeat("x", 4<<10))
		app.next()
		s.settled("demo")
	}
	if n := s.endpoint("demo").Kept; n < 5 || n > 15 {
		t.Errorf("%d messages are kept in 60 KiB", n)
	}
}

// A disk that is too full at the start keeps neither Caddy nor its other sites
// from running. The inbox takes webhooks as soon as there is space, or as the
// limit is lowered.
func TestDiskThatIsFullAtStart(t *testing.T) {
	app := newApplication(t)
	s := newLogged(t)
	site := "handle /alive {\n respond 204\n }\n" + fmt.Sprintf(tokenSite, app.addr)
	s.loadLogged("WARN", "webhook_inbox {\n queue "+s.engine()+" {\n min_free_space 1000TiB\n }\n }", site)
	if said := s.entries("the queue cannot be opened yet"); len(said) != 1 || said[0]["level"] != "error" ||
		!strings.Contains(fmt.Sprint(said[0]["error"]), s.dir) || !strings.Contains(fmt.Sprint(said[0]["error"]), "too little free space") {
		t.Errorf("the log does not say why nothing is accepted: %v", said)
	}
	s.expect(204, "GET", "/alive", nil, "")
	resp := s.expect(503, "POST", "/", tokenHeader("1"), "x")
	if resp.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	s.expect(401, "POST", "/", nil, "x")
	if status, _ := s.admin("GET", "/webhook_inbox/endpoints"); status != http.StatusServiceUnavailable {
		t.Errorf("the admin API: status %d, want 503", status)
	}
	if !strings.Contains(s.metrics(), "\ncaddy_webhook_inbox_open 0\n") {
		t.Error("the metrics do not say that the queue is not open")
	}

	s.loadQueue("min_free_space 64MiB", site)
	eventually(t, "webhooks are accepted", func() bool {
		return s.send("POST", "/", tokenHeader("1"), "x").StatusCode == http.StatusAccepted
	})
	if d := app.next(); d.Body != "x" {
		t.Errorf("delivered %q", d.Body)
	}
	if !strings.Contains(s.metrics(), "\ncaddy_webhook_inbox_open 1\n") {
		t.Error("the metrics do not say that the queue is open")
	}
}

// With less free space than configured nothing more is accepted, but what is
// there is delivered; a reload with a lower limit counts at once.
func TestDiskThatIsLow(t *testing.T) {
	app := newApplication(t)
	app.status.Store(http.StatusInternalServerError)
	s := newServer(t)
	site := retrySite(app.addr, quickly)
	s.loadQueue("min_free_space 64MiB", site)
	s.expect(202, "POST", "/", tokenHeader("1"), "x")
	app.next()

	s.loadQueue(fmt.Sprintf("min_free_space %.0f", 2*s.metric("caddy_webhook_inbox_disk_free_bytes")), site)
	s.expect(503, "POST", "/", tokenHeader("2"), "y")
	app.status.Store(http.StatusOK)
	s.settled("demo")
	s.expect(503, "POST", "/", tokenHeader("2"), "y")

	s.loadQueue("min_free_space 64MiB", site)
	s.expect(202, "POST", "/", tokenHeader("2"), "y")
	eventually(t, "it is delivered", func() bool { return app.next().Body == "y" })
}

// A directory belongs to one process. Another one says so when it starts, and
// can validate its configuration all the same. When the first is killed, it can
// have the directory, with all that is in it.
func TestDirectoryBelongsToOneProcess(t *testing.T) {
	app := newApplication(t)
	app.status.Store(http.StatusInternalServerError)
	first := newServer(t)
	site := fmt.Sprintf(tokenSite, app.addr)
	p := startProcess(t, first, site)
	first.expect(202, "POST", "/", tokenHeader("1"), "x")
	app.next()

	second := newServer(t)
	second.dir = first.dir
	if err := second.tryLoad(second.caddyfile("# no webhook_inbox", "respond 204")); err != nil {
		t.Fatal(err)
	}
	err := second.tryLoad(second.caddyfile("", site))
	if err == nil || !strings.Contains(err.Error(), badgerqueue.ErrLocked.Error()) || !strings.Contains(err.Error(), first.dir) {
		t.Errorf("error %v, want that the directory is in use", err)
	}
	second.expect(204, "POST", "/", nil, "") // it still runs what it ran before
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(second.caddyfile("", site)), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate(config); err != nil {
		t.Errorf("validating: %v", err)
	}
	first.expect(202, "POST", "/", tokenHeader("1"), "x")

	p.end(syscall.SIGKILL)
	app.status.Store(http.StatusOK)
	second.load(site)
	if d := app.next(); d.Body != "x" || d.Header.Get("Webhook-Inbox-Attempt") == "1" {
		t.Errorf("delivered %q as attempt %q", d.Body, d.Header.Get("Webhook-Inbox-Attempt"))
	}
	second.settled("demo")
}

func TestValidationOpensNothing(t *testing.T) {
	app := newApplication(t)
	s := serve(t, fmt.Sprintf(tokenSite, app.addr))
	fresh := newServer(t)
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(fresh.caddyfile("", fmt.Sprintf(tokenSite, app.addr))), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate(config); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(fresh.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory was made: %v", err)
	}
	running, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(s.caddyfile("", fmt.Sprintf(tokenSite, app.addr))), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate(running); err != nil {
		t.Error(err)
	}
	s.expect(202, "POST", "/", tokenHeader("1"), "x")
	app.next()
}

func TestDirectoryOfNewerVersionIsRefused(t *testing.T) {
	app := newApplication(t)
	s := newServer(t)
	db, err := badger.Open(badger.DefaultOptions(s.dir).WithLogger(nil))
	if err != nil {
		t.Fatal(err)
	}
	const state, newer = "v", "\xff" // the version of a record is its first byte
	err = db.Update(func(tx *badger.Txn) error { return tx.Set([]byte(state), []byte(newer)) })
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	err = s.tryLoad(s.caddyfile("", fmt.Sprintf(tokenSite, app.addr)))
	if err == nil || !strings.Contains(err.Error(), badgerqueue.ErrNewer.Error()) {
		t.Errorf("error %v, want %v", err, badgerqueue.ErrNewer)
	}
}

// The directory is the owner's alone, and is opened once under all its names.
func TestDirectoryUnderTwoNames(t *testing.T) {
	app := newApplication(t)
	s := serve(t, fmt.Sprintf(tokenSite, app.addr))
	info, err := os.Stat(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o700 {
		t.Errorf("the directory's mode is %v", info.Mode())
	}
	real, link := s.dir, filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(filepath.Dir(real), link); err != nil {
		t.Fatal(err)
	}
	s.dir = filepath.Join(link, filepath.Base(real))
	s.load(fmt.Sprintf(tokenSite, app.addr))
	s.expect(202, "POST", "/", tokenHeader("1"), "x")
	app.next()
	s.dir = filepath.Join(real, "..", filepath.Base(real))
	s.load(fmt.Sprintf(tokenSite, app.addr))
	s.expect(202, "POST", "/", tokenHeader("1"), "x")
	s.expect(202, "POST", "/", tokenHeader("2"), "y")
	if d := app.next(); d.Body != "y" {
		t.Errorf("delivered %q", d.Body)
	}
}

// Caddy can be stopped and started again and again with the same directory.
func TestQueueIsClosedWithCaddy(t *testing.T) {
	app := newApplication(t)
	s := newServer(t)
	const times = 5
	for n := range times {
		s.load(fmt.Sprintf(tokenSite, app.addr))
		s.expect(202, "POST", "/", tokenHeader(strconv.Itoa(n)), strconv.Itoa(n))
		began := time.Now()
		if err := caddy.Stop(); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > endTime {
			t.Errorf("stopping took %v", took)
		}
	}
	s.load(fmt.Sprintf(tokenSite, app.addr))
	delivered := make(map[string]bool)
	for range times {
		delivered[app.next().Body] = true
	}
	if len(delivered) != times {
		t.Errorf("delivered %v", delivered)
	}
	s.settled("demo")
	app.none()
}
