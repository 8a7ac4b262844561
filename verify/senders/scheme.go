// SPDX-License-Identifier: Apache-2.0

package senders

import (
	"time"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

// Standard is Standard Webhooks, also under Svix's names.
type Standard struct {
	Encoding     string // of the secrets: whsec, the default, or raw
	LeadingZeros bool   // the timestamp may have some
}

// Verifier implements [Scheme].
func (s Standard) Verifier(keys Keys) (verify.Verifier, error) {
	return verify.NewStandard(verify.StandardConfig{
		Secrets:   texts(keys.Secrets, s.Encoding),
		Tolerance: keys.Tolerance,
	})
}

// Sign implements [Scheme].
func (s Standard) Sign(keys Keys, r *verify.Request, id string, now time.Time) error {
	panic("to be written")
}

// Needs implements [Scheme].
func (s Standard) Needs() Needs {
	return Needs{Secret: "secret", Tolerance: verify.DefaultTolerance}
}

func texts(secrets []string, encoding string) []verify.Secret {
	list := make([]verify.Secret, len(secrets))
	for i, text := range secrets {
		list[i] = verify.Secret{Text: text, Encoding: encoding}
	}
	return list
}
