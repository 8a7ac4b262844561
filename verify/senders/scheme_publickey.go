// SPDX-License-Identifier: Apache-2.0

package senders

import (
	"cmp"
	"strings"
	"time"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

// PublicKey is a signature that the sender makes with a private key. Of Config,
// the keys and the public URL are those of the user; its tolerance is the default.
type PublicKey struct {
	Config   verify.PublicKeyConfig
	Encoding string // of the keys; by default that of the algorithm
}

var _ Scheme = PublicKey{}

// Verifier implements [Scheme].
func (s PublicKey) Verifier(keys Keys) (verify.Verifier, error) {
	config := s.Config
	config.Keys = texts(keys.Secrets, s.Encoding)
	config.Tolerance = cmp.Or(keys.Tolerance, config.Tolerance)
	config.PublicURL = keys.PublicURL
	return verify.NewPublicKey(config)
}

// Sign implements [Scheme]: it cannot.
func (PublicKey) Sign(Keys, *verify.Request, string, time.Time) error { return ErrCannotSign }

// Needs implements [Scheme].
func (s PublicKey) Needs() Needs {
	return Needs{
		Secret:    "public key",
		URL:       strings.Contains(s.Config.Signed, "{url}"),
		Tolerance: tolerance(s.Config.Timestamp, s.Config.Tolerance),
	}
}
