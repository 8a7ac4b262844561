// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"fmt"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// Retry says when a message is tried again, and when it is given up. Only
// failures of the message itself count, not those of an outage, in which the
// endpoint refuses everything.
type Retry struct {
	// The delay after the first failure. It doubles with each further one, up to
	// `longest`, and a random part of it is left out. Default: 1s.
	First caddy.Duration `json:"first,omitempty"`

	// The longest delay. Default: 10m.
	Longest caddy.Duration `json:"longest,omitempty"`

	// A message becomes a dead letter when the delays it was given add up to
	// more than this; 0 never gives up. Default: 72h.
	GiveUpAfter *caddy.Duration `json:"give_up_after,omitempty"`

	// A message becomes a dead letter after so many failures; 0 is no limit.
	// Default: 0.
	MaxAttempts int `json:"max_attempts,omitempty"`

	// The statuses with which a message becomes a dead letter at once; a single
	// digit stands for its class, so 4 is any status from 400 to 499. Default: 410.
	GiveUpOn *[]int `json:"give_up_on,omitempty"`
}

// setDefaults fills in what was not configured, and refuses what cannot be meant.
// The verifiers are loaded.
func (h *Handler) setDefaults() error {
	h.setSenderDefaults()
	orDefault(&h.ReadTimeout, caddy.Duration(30*time.Second))
	orDefault(&h.AttemptTimeout, caddy.Duration(30*time.Second))
	orDefault(&h.Concurrency, 32)
	orDefault(&h.RetainDead, caddy.Duration(30*24*time.Hour))
	if h.MaxShare == 0 {
		h.MaxShare = 50
		if h.MaxSize != 0 {
			h.MaxShare = 100
		}
	}
	if h.Retain == nil {
		day := caddy.Duration(24 * time.Hour)
		h.Retain = &day
	}
	if h.Retry == nil {
		h.Retry = new(Retry)
	}
	orDefault(&h.Retry.First, caddy.Duration(time.Second))
	orDefault(&h.Retry.Longest, max(h.Retry.First, caddy.Duration(10*time.Minute)))
	if h.Retry.GiveUpAfter == nil {
		threeDays := caddy.Duration(72 * time.Hour)
		h.Retry.GiveUpAfter = &threeDays
	}
	if h.Retry.GiveUpOn == nil {
		h.Retry.GiveUpOn = &[]int{http.StatusGone}
	}

	switch {
	case h.MaxBody < 0:
		return fmt.Errorf("max_body is negative")
	case h.MaxBody > 1<<30:
		return fmt.Errorf("max_body is %d bytes: a body is held in memory, so it must not be more than 1 GiB", h.MaxBody)
	case h.ReadTimeout < 0:
		return fmt.Errorf("read_timeout is negative")
	case h.MaxSize < 0:
		return fmt.Errorf("max_size is negative")
	case h.MaxShare < 1 || h.MaxShare > 100:
		return fmt.Errorf("max_share is %d: it must be a percentage from 1 to 100", h.MaxShare)
	case h.Respond < 200 || h.Respond > 299:
		return fmt.Errorf("respond is %d: it must be a status from 200 to 299", h.Respond)
	}
	if err := h.policy().Validate(); err != nil {
		return err
	}
	return nil
}

// setSenderDefaults fills in what is known of the senders: the largest body that
// any of them sends, and the status that the first of them that asks for one takes
// for an acknowledgment.
func (h *Handler) setSenderDefaults() {
	maxBody, respond := int64(8<<20), 0
	for _, v := range h.verifiers {
		maxBody = max(maxBody, v.sender.MaxBody)
		orDefault(&respond, v.sender.Respond)
	}
	orDefault(&respond, http.StatusAccepted)
	orDefault(&h.MaxBody, maxBody)
	orDefault(&h.Respond, respond)
}

// orDefault sets a value that was not configured.
func orDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

func (h *Handler) policy() queue.Policy {
	return queue.Policy{
		Concurrency:    h.Concurrency,
		AttemptTimeout: time.Duration(h.AttemptTimeout),
		Backoff: queue.Backoff{
			First:   time.Duration(h.Retry.First),
			Longest: time.Duration(h.Retry.Longest),
		},
		GiveUpAfter: time.Duration(*h.Retry.GiveUpAfter),
		MaxAttempts: h.Retry.MaxAttempts,
		GiveUpOn:    *h.Retry.GiveUpOn,
		Retain:      time.Duration(*h.Retain),
		RetainDead:  time.Duration(h.RetainDead),
	}
}
