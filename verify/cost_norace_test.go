// SPDX-License-Identifier: Apache-2.0

// The race detector makes pools forget what they are given.

//go:build !race

package verify_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

// Forged requests cost their receiver no memory, and genuine ones hardly any.
func TestVerifyingAllocatesLittle(t *testing.T) {
	allowed := map[string]struct{ accepted, refused float64 }{"token": {0, 1}, "jwt": {5, 1}}
	for _, c := range benchedSchemes() {
		v := c.new(t)
		right := c.sign(bytes.Repeat([]byte("x"), 1<<10))
		forged := forge(right)
		for _, r := range []struct {
			what    string
			request request
			want    error
			allowed float64
		}{
			{"accepted", right, nil, allowed[c.name].accepted},
			{"refused", forged, verify.ErrMismatch, allowed[c.name].refused},
		} {
			got := testing.AllocsPerRun(100, func() {
				if err := receive(v, r.request.Request, time.Unix(now, 0)); !errors.Is(err, r.want) {
					t.Fatalf("%s: %v", c.name, err)
				}
			})
			if got > r.allowed {
				t.Errorf("%s, %s: %v allocations, want %v at most", c.name, r.what, got, r.allowed)
			}
		}
	}
}
