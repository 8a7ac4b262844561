// SPDX-License-Identifier: Apache-2.0

package senders

import (
	"time"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

// Adyen is the signature in the item of Adyen's standard notifications.
type Adyen struct {
	Form SecretForm
}

var _ Scheme = Adyen{}

// Verifier implements [Scheme].
func (s Adyen) Verifier(keys Keys) (verify.Verifier, error) {
	v, err := verify.NewAdyen(s.config(keys))
	if err == nil {
		err = s.Form.check(keys.Secrets)
	}
	if err != nil {
		return nil, err
	}
	return v, nil
}

// Sign implements [Scheme]. It needs a body with notificationItems and writes
// it anew.
func (s Adyen) Sign(keys Keys, r *verify.Request, id string, now time.Time) error {
	return s.config(keys).Sign(r, id, now)
}

// Needs implements [Scheme].
func (Adyen) Needs() Needs { return Needs{Secret: "secret"} }

func (Adyen) config(keys Keys) verify.AdyenConfig {
	config := verify.AdyenConfig{Secrets: make([]verify.Secret, len(keys.Secrets))}
	for i, text := range keys.Secrets {
		config.Secrets[i] = verify.Secret{Text: text, Encoding: "hex"}
	}
	return config
}
