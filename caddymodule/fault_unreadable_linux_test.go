// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/caddy-webhook-inbox/inbox/queue/queuetest/ledger"
)

const deadOfDemo = "/webhook_inbox/endpoints/demo/dead_letters"

// Nothing of the journal can be read for a while. What is to be delivered then becomes a
// dead letter that says where the disk failed and that it may be readable again; what
// comes is accepted, and Caddy serves. When the disk can read again and the dead letters
// are redriven, all that was accepted is delivered as it was sent.
func TestFaultUnreadableJournal(t *testing.T) {
	t.Parallel()
	l := new(ledger.Ledger)
	unreadableJournal(t, l, "/redrive", "POST")
	for _, v := range l.Check(ledger.End{}) {
		if v.Invariant != ledger.Haste { // redriven, attempts are counted anew
			t.Error(v)
		}
	}
	if c := l.Counts(); c.Accepted < 50 || c.Delivered < c.Accepted {
		t.Errorf("that is no load: %+v", c)
	}
}

// The test before would notice if what cannot be read were given up.
func TestFaultUnreadableJournalNoticesWhatIsGivenUp(t *testing.T) {
	t.Parallel()
	l := new(ledger.Ledger)
	unreadableJournal(t, l, "", "DELETE")
	expectBroken(t, l, ledger.End{}, ledger.Loss)
}

func unreadableJournal(t *testing.T, l *ledger.Ledger, end, method string) {
	t.Helper()
	var ready atomic.Bool
	app := witness(t, l, onlyIf(&ready))
	s := newServer(t)
	p := startCaddy(t, s, s.caddyfile("", aliveSite+retrySite(app.addr, quickly)))
	tr := startTraffic(t, l, s.addr, "load", 4)
	eventually(t, "there is load", func() bool { return l.Counts().Accepted > 50 })

	segments, err := filepath.Glob(filepath.Join(s.dir, "*.segment"))
	if err != nil || len(segments) == 0 {
		t.Fatalf("there are segments %v: %v", segments, err)
	}
	disk := p.inject([]string{"pread64:error=EIO"}, segments...)
	eventually(t, "messages are dead", func() bool { return s.endpoint("demo").DeadLetters > 20 })
	accepted := l.Counts().Accepted
	eventually(t, "webhooks are accepted", func() bool { return l.Counts().Accepted > accepted+10 })
	p.expect(204, "GET", "/alive", nil, "")
	var listed struct {
		DeadLetters []struct {
			Reason    string
			LastError string `json:"last_error"`
		} `json:"dead_letters"`
	}
	s.adminJSON("GET", deadOfDemo, &listed)
	for _, d := range listed.DeadLetters {
		if d.Reason != "unreadable" || !strings.Contains(d.LastError, "segment 0000000") || !strings.Contains(d.LastError, "redrive") {
			t.Errorf("a dead letter says %+v", d)
		}
	}
	if disk.injected() == 0 {
		t.Error("the disk did not fail")
	}
	tr.stop()
	disk.stop()

	ready.Store(true)
	eventually(t, "nothing is dead", func() bool {
		if s.endpoint("demo").DeadLetters > 0 {
			s.admin(method, deadOfDemo+end)
		}
		return s.endpoint("demo").DeadLetters == 0
	})
	tr.finish(s.addr)
	rest(t, s, "demo")
}
