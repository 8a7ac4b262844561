// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue/queuetest/ledger"
)

// Somebody else fills the disk to the last byte while webhooks come in: between a look
// at the disk and the write after it, if it comes to that. Caddy lives, answers 503
// with a time to come back and shows what it has; it takes webhooks again as soon as
// there is space, ends when it is told to on the full disk, starts on it, and loses
// nothing.
func TestFaultFullDisk(t *testing.T) {
	t.Parallel()
	l := new(ledger.Ledger)
	fullDisk(t, l, "")
	if c := report(t, l, ledger.End{}); c.Accepted < 100 || c.Unavailable == 0 {
		t.Errorf("that is no load: %+v", c)
	}
}

// The test before would notice an engine that remembers the key of a webhook for
// which it had no space.
func TestFaultFullDiskNoticesKeysBeforeMessages(t *testing.T) {
	t.Parallel()
	l := new(ledger.Ledger)
	fullDisk(t, l, keyBeforeMessage)
	expectBroken(t, l, ledger.End{}, ledger.Loss)
}

func fullDisk(t *testing.T, l *ledger.Ledger, mutation string) {
	t.Helper()
	app := witness(t, l, nil)
	s, disk := newServer(t), smallDisk(t)
	s.on(disk)
	options := ""
	if mutation != "" {
		options = s.brokenBy(mutation)
	}
	config := s.caddyfile(options, aliveSite+retrySite(app.addr, quickly))
	p := startCaddy(t, s, config)
	tr := startTraffic(t, l, s.addr, "load", 8)
	accepted := func(n int) {
		t.Helper()
		upTo := l.Counts().Accepted + n
		eventually(t, "webhooks are accepted", func() bool { return l.Counts().Accepted >= upTo })
	}
	accepted(100)
	for range rounds(1, 50) {
		hog(t, disk)
		eventually(t, "it is refused", func() bool { return s.metric("caddy_webhook_inbox_open") == 0 })
		if mutation == "" {
			p.refusesAll(tr)
		}
		if n := s.endpoint("demo").Waiting; n < 0 {
			t.Errorf("%d messages wait", n)
		}
		if status, answer := s.admin("GET", "/webhook_inbox/endpoints/demo/dead_letters"); status != 200 && status != 503 {
			t.Errorf("dead letters: status %d: %s", status, answer)
		}
		release(t, disk)
		accepted(10)
	}
	if mutation == "" {
		hog(t, disk)
		eventually(t, "it is refused", func() bool { return s.metric("caddy_webhook_inbox_open") == 0 })
		p = restartOnFullDisk(tr, p, app, config)
		release(t, disk)
		if !faultsAreLong { // it would look for itself, every five seconds
			p.end(syscall.SIGTERM)
			if !bytes.Contains(p.log.Bytes(), []byte("the queue cannot be opened yet: ")) {
				t.Errorf("the log does not say why nothing is accepted: %s", p.log)
			}
			startCaddy(t, s, config)
		}
	}
	tr.finish(s.addr)
	rest(t, s, "demo")
}

// restartOnFullDisk ends Caddy and starts it again while the disk is full.
func restartOnFullDisk(tr *traffic, p *process, app *application, config string) *process {
	t := tr.t
	t.Helper()
	tr.stop()
	began := time.Now()
	p.end(syscall.SIGTERM)
	if took := time.Since(began); took > endTime {
		t.Errorf("it took %v to end on a full disk", took)
	}
	app.catchUp()
	tr.ledger.Fault(began, time.Now()) // what was delivered last could not be noted

	p = startCaddy(t, p.server, config)
	p.refusesAll(tr)
	if status, _ := p.admin("GET", "/webhook_inbox/endpoints"); status != http.StatusServiceUnavailable {
		t.Errorf("the admin API: status %d, want 503", status)
	}
	return p
}

// smallDisk returns a directory on a disk that is easily filled.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=160m"); err != nil {
		t.Skipf("needs root: mounting a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// hog takes all that is left of a disk, and all that is given back meanwhile.
func hog(t *testing.T, disk string) {
	t.Helper()
	f, err := os.Create(filepath.Join(disk, "hog"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data := make([]byte, 1<<20)
	var full time.Time
	for full.IsZero() || time.Since(full) < 50*time.Millisecond {
		if _, err := f.Write(data); errors.Is(err, syscall.ENOSPC) && full.IsZero() {
			full = time.Now()
		} else if err != nil && !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
	}
}

func release(t *testing.T, disk string) {
	t.Helper()
	if err := os.Remove(filepath.Join(disk, "hog")); err != nil {
		t.Fatal(err)
	}
}
