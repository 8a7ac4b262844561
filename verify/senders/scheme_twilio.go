// SPDX-License-Identifier: Apache-2.0

package senders

import (
	"time"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

// Twilio is Twilio's own signature of the URL and the form.
type Twilio struct{}

var _ Scheme = Twilio{}

// Verifier implements [Scheme].
func (s Twilio) Verifier(keys Keys) (verify.Verifier, error) {
	return verify.NewTwilio(s.config(keys))
}

// Sign implements [Scheme]. A body that is no form adds to the URL.
func (s Twilio) Sign(keys Keys, r *verify.Request, id string, now time.Time) error {
	return s.config(keys).Sign(r, id, now)
}

// Needs implements [Scheme].
func (Twilio) Needs() Needs { return Needs{Secret: "token", URL: true} }

func (Twilio) config(keys Keys) verify.TwilioConfig {
	return verify.TwilioConfig{Tokens: keys.Secrets, PublicURL: keys.PublicURL}
}
