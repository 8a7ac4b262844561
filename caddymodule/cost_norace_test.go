// SPDX-License-Identifier: Apache-2.0

// The race detector makes pools forget what they are given.

//go:build !race

package caddymodule_test

import (
	"net/http"
	"testing"
)

// A request may allocate its body, its header, its message, and little else.
func TestReceivingAllocatesLittle(t *testing.T) {
	for _, c := range costedSchemes {
		t.Run(c.name, func(t *testing.T) {
			d := newDesk(t, c.options)
			for _, allowed := range []struct {
				what   string
				forged bool
				status int
				allocs float64
			}{
				{"accepted", false, http.StatusAccepted, 8},
				{"refused", true, http.StatusUnauthorized, 4},
			} {
				w := d.webhookOf(c, allowed.forged)
				for range 100 { // more than are logged
					d.receive(w)
				}
				allocs := testing.AllocsPerRun(1000, func() {
					if status := d.receive(w); status != allowed.status {
						t.Fatalf("%s: answered %d", allowed.what, status)
					}
				})
				if allocs > allowed.allocs {
					t.Errorf("%s: %v allocations a request, want %v at most", allowed.what, allocs, allowed.allocs)
				}
			}
		})
	}
}
