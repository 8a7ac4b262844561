// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"maps"
	"net/http"
	"slices"
	"testing"

	"github.com/caddy-webhook-inbox/inbox/queue/queuetest/ledger"
)

// The configuration is changed a hundred times under load: secrets are rotated,
// endpoints are changed, taken out and put back, their routes go to one application
// and to the other, requests that pass through are queued and pass through again,
// limits change, the directory has another name, and every fourth load fails. Nothing
// is lost, delivered twice or refused, nothing forged is accepted at any moment, and
// a secret counts from the return of the load on that brought it, and no more from
// the return of the one that took it out. Connections that Caddy itself cuts on a
// reload are the sender's to retry.
func TestFaultReloadStorm(t *testing.T) {
	l := new(ledger.Ledger)
	st := newStorm(t, l)
	st.begin()
	for range rounds(16, 104) {
		st.reload()
	}
	st.crowd.finish()
	c := judge(t, l, st.server, "demo", "guest-0", "guest-1", "guest-2")
	if c.Accepted < 100 || c.Repeated > 0 {
		t.Errorf("%+v, want at least 100 accepted, and none repeated", c)
	}
	st.crowd.onlyGot("demo", 202)
	st.crowd.onlyGot("guest", 202, 404)
	st.crowd.onlyGot("asker", 202, 204)
	st.crowd.onlyGot("forger", 401, 404)
}

// onlyGot checks how requests were answered, if they were.
func (c *crowd) onlyGot(who string, statuses ...int) {
	c.t.Helper()
	answers := c.answers[who]
	c.t.Logf("%s: %v", who, answers)
	for _, status := range statuses {
		if answers[status] == 0 {
			c.t.Errorf("%s got no %d: that is no load", who, status)
		}
	}
	for status := range maps.Keys(answers) {
		if status != 0 && !slices.Contains(statuses, status) {
			c.t.Errorf("%s got %d %s", who, status, http.StatusText(status))
		}
	}
}
