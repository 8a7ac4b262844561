// SPDX-License-Identifier: Apache-2.0

package senders

import (
	"errors"
	"strings"
	"time"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

// Standard is Standard Webhooks, also under Svix's names.
type Standard struct {
	Encoding     string // of the secrets: whsec, the default, or raw
	LeadingZeros bool   // the timestamp may begin with zeros
	Form         SecretForm
}

var _ Scheme = Standard{}

// Verifier implements [Scheme].
func (s Standard) Verifier(keys Keys) (verify.Verifier, error) {
	if err := s.Form.check(keys.Secrets); err != nil {
		return nil, err
	}
	return verify.NewStandard(verify.StandardConfig{
		Secrets:      texts(keys.Secrets, s.Encoding),
		Tolerance:    keys.Tolerance,
		LeadingZeros: s.LeadingZeros,
	})
}

// Sign implements [Scheme]. It uses the names webhook-*.
func (s Standard) Sign(keys Keys, r *verify.Request, id string, now time.Time) error {
	first, err := keys.first()
	if err != nil {
		return err
	}
	if s.Encoding != "raw" && strings.Contains(first, "whpk_") {
		return ErrCannotSign
	}
	signer, err := verify.NewStandardSigner(texts([]string{first}, s.Encoding))
	if err != nil {
		return err
	}
	if id == "" || strings.ContainsAny(id, ". ") {
		return errors.New("id: expected printable ASCII without spaces and dots")
	}
	signer.Sign(r.Header, id, r.Body, now)
	return nil
}

// Needs implements [Scheme].
func (s Standard) Needs() Needs {
	return Needs{Secret: "secret", Tolerance: verify.DefaultTolerance}
}
