// SPDX-License-Identifier: Apache-2.0

package senders

import (
	"cmp"
	"strings"
	"time"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

// JWT is a JSON Web Token in a header. Of Config, the keys are those of the user;
// its tolerance is the default.
type JWT struct {
	Config   verify.JWTConfig
	Encoding string // of the keys; by default that of the algorithm
}

var _ Scheme = JWT{}

// Verifier implements [Scheme].
func (s JWT) Verifier(keys Keys) (verify.Verifier, error) {
	return verify.NewJWT(s.config(keys))
}

// Sign implements [Scheme]. It can where the key is a secret that both sides have.
func (s JWT) Sign(keys Keys, r *verify.Request, id string, now time.Time) error {
	if !s.symmetric() {
		return ErrCannotSign
	}
	return s.config(keys).Sign(r, id, now)
}

// Needs implements [Scheme].
func (s JWT) Needs() Needs {
	needs := Needs{Secret: "public key"}
	if s.symmetric() {
		needs.Secret = "secret"
	}
	if s.Config.MaxAge > 0 || s.Config.RequireExpiry {
		needs.Tolerance = cmp.Or(s.Config.Tolerance, verify.DefaultLeeway)
	}
	return needs
}

func (s JWT) symmetric() bool { return strings.HasPrefix(s.Config.Algorithm, "HS") }

func (s JWT) config(keys Keys) verify.JWTConfig {
	config := s.Config
	config.Keys = texts(keys.Secrets, s.Encoding)
	config.Tolerance = cmp.Or(keys.Tolerance, config.Tolerance)
	return config
}
