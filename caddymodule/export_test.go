// SPDX-License-Identifier: Apache-2.0

package caddymodule

import "github.com/caddy-webhook-inbox/inbox/queue"

// MomentsApart is how much later than asked for a commit may be given up.
const MomentsApart = momentsApart

// PublishTo lets the inbox of the endpoint publish into q instead of its own
// queue, until back is called.
func (h *Handler) PublishTo(q queue.Queue) (back func()) {
	in := h.app.inbox
	own := in.queue.Swap(&q)
	return func() { in.queue.Store(own) }
}
