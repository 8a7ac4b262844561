// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"context"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// Attempt makes one attempt to deliver m.
func (h *Handler) Attempt(ctx context.Context, m *queue.Message) queue.Result {
	return h.deliver(ctx, m, 1)
}

// Route sends a request through the delivery route as a server would, with
// nothing of ours, and returns its status.
func (h *Handler) Route(r *http.Request) (int, error) {
	rec := newRecorder(func(error) {})
	r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), rec, h.server)
	err := h.chain.ServeHTTP(rec, r)
	return rec.status, err
}
