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

// The other tests of reloads would notice, too.
func TestFaultReloadsShowWhatIsBroken(t *testing.T) {
	for name, c := range map[string]struct {
		mutation string
		breaks   ledger.Invariant
		do       func(t *testing.T, l *ledger.Ledger, times int, mutations ...string)
		times    int
	}{
		"the directory":   {deliversTwice, ledger.Repetition, reloadOfTheDirectory, 1},
		"in an outage":    {deliversTwice, ledger.Repetition, reloadInAnOutage, 0},
		"in a drain":      {deliversTwice, ledger.Repetition, reloadInADrain, 80},
		"on a full disk":  {deliversTwice, ledger.Repetition, reloadOnAFullDisk, 1},
		"limits":          {keyBeforeMessage, ledger.Loss, reloadOfLimits, 1},
		"a request":       {deliversTwice, ledger.Repetition, func(t *testing.T, l *ledger.Ledger, _ int, m ...string) { reloadWithARequestUnderWay(t, l, m...) }, 1},
		"while reloading": {acksLate, ledger.Repetition, terminatedWhileReloading, 1},
		"stopping Caddy":  {acksLate, ledger.Repetition, stoppedAndStarted, 1},
	} {
		t.Run(name, func(t *testing.T) {
			if c.mutation == acksLate { // a process of its own
				t.Parallel()
			}
			l := new(ledger.Ledger)
			c.do(t, l, c.times, c.mutation)
			expectBroken(t, l, ledger.End{}, c.breaks)
		})
	}
}
