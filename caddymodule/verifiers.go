// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"errors"
	"fmt"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

func init() {
	caddy.RegisterModule(Svix{})
	caddy.RegisterModule(StandardWebhooks{})
	caddy.RegisterModule(Token{})
	caddy.RegisterModule(Bearer{})
	caddy.RegisterModule(Basic{})
	caddy.RegisterModule(HMAC{})
	caddy.RegisterModule(None{})
}

// challenger is a verifier whose refusal comes with a challenge, the value of a
// WWW-Authenticate field.
type challenger interface{ challenge() string }

// resolve replaces the placeholders of a secret. One that is empty or cannot be
// resolved is an error, never an open door; the error names the placeholder.
func resolve(secret string) (string, error) {
	if secret == "" {
		return "", errors.New("the secret is empty")
	}
	return caddy.NewReplacer().ReplaceOrErr(secret, true, true)
}

// resolveAll is resolve for several, at least one.
func resolveAll(what string, secrets []string) ([]string, error) {
	if len(secrets) == 0 {
		return nil, fmt.Errorf("%s is missing", what)
	}
	resolved := make([]string, len(secrets))
	for i, secret := range secrets {
		text, err := resolve(secret)
		if err != nil {
			return nil, fmt.Errorf("%s %d: %w", what, i+1, err)
		}
		resolved[i] = text
	}
	return resolved, nil
}

// headerVerifier is a scheme that is set up. Modules embed it to be verifiers.
type headerVerifier interface {
	verify.Verifier
	verify.HeaderChecker
}

// None accepts every request, whoever sent it. It stands alone.
type None struct {
	verify.None
}

// CaddyModule returns the Caddy module information.
func (None) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "webhook_inbox.verifiers.none",
		New: func() caddy.Module { return new(None) },
	}
}

// UnmarshalCaddyfile reads
//
//	none
func (*None) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if d.NextArg() || d.NextBlock(d.Nesting()) {
		return d.Err("verify none takes nothing")
	}
	return nil
}

// noBlock refuses a block after a verifier that takes none.
func noBlock(d *caddyfile.Dispenser, scheme string) error {
	if d.NextBlock(d.Nesting()) {
		return d.Errf("unrecognized option of verify %s: %s; it takes no block", scheme, d.Val())
	}
	return nil
}

var (
	_ verify.Verifier       = (*None)(nil)
	_ caddyfile.Unmarshaler = (*None)(nil)
)
