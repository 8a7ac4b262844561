// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

// Token accepts requests with a secret text in a header field. It proves who
// sent a request, if that came over TLS, and nothing about its body or its age.
//
// Caddy's access log shows the field: delete it there with a filter.
type Token struct {
	// The name of the header field, such as `X-Webhook-Token`. Required.
	Header string `json:"header,omitempty"`

	// The tokens, of which any will do. Use placeholders, such as `{env.TOKEN}`.
	// Required.
	Tokens []string `json:"tokens,omitempty"`

	setUp
}

// CaddyModule returns the Caddy module information.
func (Token) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "webhook_inbox.verifiers.token",
		New: func() caddy.Module { return new(Token) },
	}
}

// Provision resolves the tokens.
func (t *Token) Provision(caddy.Context) error {
	tokens, err := resolveAll("token", t.Tokens)
	if err != nil {
		return err
	}
	t.headerVerifier, err = verify.NewToken(verify.TokenConfig{Header: t.Header, Tokens: tokens})
	return err
}

func (*Token) describe(v *namedVerifier) { v.inHeader = true }

// UnmarshalCaddyfile reads
//
//	token <header> <token…>
func (t *Token) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the scheme's name
	args := d.RemainingArgs()
	if len(args) < 2 {
		return d.Err("expected a header field and a token: verify token X-Webhook-Token {env.TOKEN}")
	}
	t.Header, t.Tokens = args[0], args[1:]
	return noBlock(d, "token")
}

// Basic accepts requests with a user and a password in `Authorization: Basic`.
// It proves what [Token] does.
type Basic struct {
	// The user. Required.
	User string `json:"user,omitempty"`

	// The passwords, of which any will do. Use placeholders, such as
	// `{env.PASSWORD}`. Required.
	Passwords []string `json:"passwords,omitempty"`

	setUp
}

// CaddyModule returns the Caddy module information.
func (Basic) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "webhook_inbox.verifiers.basic",
		New: func() caddy.Module { return new(Basic) },
	}
}

// Provision resolves the user and the passwords.
func (b *Basic) Provision(caddy.Context) error {
	user, err := resolveAll("user", []string{b.User})
	if err != nil {
		return err
	}
	passwords, err := resolveAll("password", b.Passwords)
	if err != nil {
		return err
	}
	b.headerVerifier, err = verify.NewBasic(user[0], passwords)
	return err
}

func (*Basic) challenge() string { return `Basic realm="webhooks", charset="UTF-8"` }

// UnmarshalCaddyfile reads
//
//	basic <user> <password…>
func (b *Basic) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the scheme's name
	args := d.RemainingArgs()
	if len(args) < 2 {
		return d.Err("expected a user and a password: verify basic sender {env.PASSWORD}")
	}
	b.User, b.Passwords = args[0], args[1:]
	return noBlock(d, "basic")
}

var (
	_ headerVerifier        = (*Token)(nil)
	_ caddy.Provisioner     = (*Token)(nil)
	_ caddyfile.Unmarshaler = (*Token)(nil)
	_ headerVerifier        = (*Basic)(nil)
	_ caddy.Provisioner     = (*Basic)(nil)
	_ caddyfile.Unmarshaler = (*Basic)(nil)
)
