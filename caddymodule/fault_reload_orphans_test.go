// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-webhook-inbox/inbox/queue/queuetest/ledger"
)

// orphans are the messages of the endpoints a and b, which are taken out of the
// configuration while their application is down, and of which b has a dead letter.
// Webhooks for demo, which stays, come in throughout.
type orphans struct {
	*logged
	ledger  *ledger.Ledger
	well    *application
	sick    *application
	down    atomic.Bool
	tried   atomic.Int64
	waiting map[string]int64
	dead    map[string]bool
}

func newOrphans(t *testing.T) *orphans {
	t.Helper()
	o := &orphans{logged: newLogged(t), ledger: new(ledger.Ledger), dead: map[string]bool{"b-dead": true}}
	o.well = witness(t, o.ledger, nil)
	o.sick = witness(t, o.ledger, func(key string, _ int) (int, time.Duration) {
		o.tried.Add(1)
		switch {
		case o.dead[key]:
			return http.StatusGone, 0
		case o.down.Load():
			return http.StatusInternalServerError, 0
		default:
			return http.StatusNoContent, 0
		}
	})
	return o
}

// load loads a configuration with some endpoints beside demo.
func (o *orphans) load(n int, endpoints ...string) {
	o.t.Helper()
	var site strings.Builder
	for _, name := range endpoints {
		fmt.Fprintf(&site, "webhook_inbox /%s %[1]s {\nverify token X-Webhook-Token secret-token\nmessage_id header X-Webhook-Id\ndeliver %s\n}\n",
			name, o.sick.addr)
	}
	changed := fmt.Sprintf("attempt_timeout %ds\n\t\tdeliver", 10+n)
	o.loadLogged("INFO", "", site.String()+strings.Replace(fmt.Sprintf(tokenSite, o.well.addr), "deliver", changed, 1))
}

func (o *orphans) take(endpoint, id string) {
	o.t.Helper()
	o.ledger.Sent(id, []byte(id))
	o.expect(http.StatusAccepted, "POST", "/"+endpoint, tokenHeader(id), id)
	o.ledger.Answered(id, http.StatusAccepted)
}

// reported checks that the log, the metrics and the admin API say what is there.
func (o *orphans) reported() {
	o.t.Helper()
	for name, waiting := range o.waiting {
		e := o.endpoint(name)
		if e.Configured || e.Waiting != waiting || e.DeadLetters != map[string]int64{"b": 1}[name] {
			o.t.Errorf("the admin API says of %s %+v, want %d waiting", name, e, waiting)
		}
		if got := o.metric(`caddy_webhook_inbox_waiting{endpoint="` + name + `"}`); got != float64(waiting) {
			o.t.Errorf("the metrics say of %s that %v wait, want %d", name, got, waiting)
		}
		var last entry
		for _, e := range o.entries("messages are waiting for an endpoint that is not configured") {
			if e["endpoint"] == name {
				last = e
			}
		}
		if last["waiting"] != float64(waiting) || last["level"] != "warn" || last["dead_letters"] != float64(e.DeadLetters) {
			o.t.Errorf("the log says of %s %v, want %d waiting", name, last, waiting)
		}
	}
}

// orphan lets messages wait for a and b, and takes these out of the configuration.
func (o *orphans) orphan() {
	o.t.Helper()
	o.load(0, "a", "b")
	o.take("b", "b-dead")
	eventually(o.t, "it is a dead letter", func() bool { return o.endpoint("b").DeadLetters == 1 })
	o.down.Store(true)
	for n := range 30 {
		o.take("a", fmt.Sprint("a-", n))
		o.take("b", fmt.Sprint("b-", n))
	}
	o.waiting = map[string]int64{"a": 30, "b": 30}
	o.load(1)
}

// Endpoints are taken out of the configuration while messages wait for them, and
// others are not disturbed. At each reload, and after a restart, it is said how many
// there are; none of them is tried, and when the endpoints return under their names,
// each is delivered once. What was a dead letter still is one.
func TestFaultRemovedEndpointsKeepTheirMessages(t *testing.T) {
	o := newOrphans(t)
	o.orphan()
	tr := startTraffic(t, o.ledger, o.addr, "", 4)
	o.reported()
	eventually(t, "no attempt is under way", func() bool {
		return o.metric(`caddy_webhook_inbox_in_flight{endpoint="a"}`)+o.metric(`caddy_webhook_inbox_in_flight{endpoint="b"}`) == 0
	})
	tried := o.tried.Load()
	said := len(o.entries("messages are waiting for an endpoint that is not configured"))
	for n := range rounds(3, 20) {
		o.load(2+n, []string{"another", "unlike"}[:n%3]...)
		o.reported()
		if now := len(o.entries("messages are waiting for an endpoint that is not configured")); now != said+2*(n+1) {
			t.Errorf("after %d reloads it was said %d times, want %d", n+1, now, said+2*(n+1))
		}
	}
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	o.load(0)
	o.reported()
	if now := o.tried.Load(); now != tried {
		t.Errorf("%d attempts were made for endpoints that are not configured", now-tried)
	}

	o.down.Store(false)
	o.load(1, "a", "b")
	tr.finish(o.addr)
	rest(t, o.server, "a", "b", "demo")
	if c := report(t, o.ledger, ledger.End{Dead: o.dead}); c.Accepted < 100 || c.Repeated > 0 {
		t.Errorf("%+v, want at least 100 accepted, and none repeated", c)
	}
	if n := o.endpoint("b").DeadLetters; n != 1 {
		t.Errorf("b has %d dead letters, want 1", n)
	}
}

// TestFaultRemovedEndpointsKeepTheirMessages would notice if they were not there any
// more: under another name they are not.
func TestFaultRemovedEndpointsShowWhatIsBroken(t *testing.T) {
	o := newOrphans(t)
	o.orphan()
	o.down.Store(false)
	o.load(2, "a", "another")
	rest(t, o.server, "a", "another")
	expectBroken(t, o.ledger, ledger.End{Dead: o.dead}, ledger.Loss)
}
