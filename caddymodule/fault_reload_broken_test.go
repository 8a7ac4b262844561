// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"testing"

	"github.com/caddy-webhook-inbox/inbox/queue/queuetest/ledger"
)

// TestFaultReloadStorm would notice: a single generation that lets everybody in, and
// an engine that forgets what it has, or delivers it again.
func TestFaultReloadStormShowsWhatIsBroken(t *testing.T) {
	for name, c := range map[string]struct {
		mutation string
		gap      int
		breaks   ledger.Invariant
	}{
		"gap":         {"", 3, ledger.Invention},
		forgetsKeys:   {forgetsKeys, 0, ledger.Sameness},
		deliversTwice: {deliversTwice, 0, ledger.Repetition},
	} {
		t.Run(name, func(t *testing.T) {
			l := new(ledger.Ledger)
			st := newStorm(t, l)
			st.mutation, st.gap = c.mutation, c.gap
			st.begin()
			for range 8 {
				st.reload()
			}
			st.crowd.finish()
			rest(t, st.server, "demo", "guest-0", "guest-1", "guest-2")
			expectBroken(t, l, ledger.End{}, c.breaks)
		})
	}
}
