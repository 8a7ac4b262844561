// SPDX-License-Identifier: Apache-2.0

package senders

import (
	"time"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

// HubSpot is HubSpot's plain hash, in the versions before the third.
type HubSpot struct {
	Version int // 1 or 2
}

var _ Scheme = HubSpot{}

// Verifier implements [Scheme].
func (s HubSpot) Verifier(keys Keys) (verify.Verifier, error) {
	return verify.NewHubSpot(s.config(keys))
}

// Sign implements [Scheme].
func (s HubSpot) Sign(keys Keys, r *verify.Request, id string, now time.Time) error {
	return s.config(keys).Sign(r, id, now)
}

// Needs implements [Scheme].
func (s HubSpot) Needs() Needs { return Needs{Secret: "secret", URL: s.Version == 2} }

func (s HubSpot) config(keys Keys) verify.HubSpotConfig {
	return verify.HubSpotConfig{Secrets: keys.Secrets, Version: s.Version, PublicURL: keys.PublicURL}
}
