// SPDX-License-Identifier: Apache-2.0

package senders

import (
	"time"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

// ClientState is the secret text in each of Microsoft Graph's notifications.
type ClientState struct{}

var _ Scheme = ClientState{}

// Verifier implements [Scheme].
func (ClientState) Verifier(keys Keys) (verify.Verifier, error) {
	return verify.NewClientState(keys.Secrets)
}

// Sign implements [Scheme]. It needs a body with a value array and writes it
// anew.
func (ClientState) Sign(keys Keys, r *verify.Request, _ string, _ time.Time) error {
	state, err := keys.first()
	if err != nil {
		return err
	}
	return verify.SignClientState(state, r)
}

// Needs implements [Scheme].
func (ClientState) Needs() Needs { return Needs{Secret: "secret"} }
