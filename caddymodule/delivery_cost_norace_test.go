// SPDX-License-Identifier: Apache-2.0

// The race detector makes pools forget what they are given.

//go:build !race

package caddymodule_test

import (
	"context"
	"net/http"
	"testing"
)

// What an attempt allocates beyond what Caddy does for any request is its header,
// what it says of the message, what can stop it, and little else.
func TestAttemptAllocatesLittle(t *testing.T) {
	h := deliveringTo(t, "respond 204")
	m := messageToDeliver()
	ours := testing.AllocsPerRun(1000, func() {
		if r := h.Attempt(context.Background(), m); r.Status != http.StatusNoContent {
			t.Fatalf("the result is %+v", r)
		}
	})
	bare := bareRequest(m)
	route := testing.AllocsPerRun(1000, func() {
		if status, err := h.Route(bare.WithContext(context.Background())); status != http.StatusNoContent || err != nil {
			t.Fatalf("status %d, %v", status, err)
		}
	})
	if ours-route > 15 {
		t.Errorf("an attempt allocates %v times, the route alone %v: more than 15 are ours", ours, route)
	}
}
