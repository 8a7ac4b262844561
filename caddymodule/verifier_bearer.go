// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

// Bearer accepts requests with a token in `Authorization: Bearer`: a secret text,
// or one that a `webhook_inbox_token` issued. It proves what [Token] does.
type Bearer struct {
	// The tokens, of which any will do. Use placeholders, such as `{env.TOKEN}`.
	// Required, unless there is an issuer.
	Tokens []string `json:"tokens,omitempty"`

	// The name of the issuer whose tokens will do too, for senders that log in to
	// get one. While its key is not there, requests are answered 503. That there is
	// such an issuer is checked when Caddy starts, and not by `caddy validate`.
	IssuedBy string `json:"issued_by,omitempty"`

	setUp
}

// CaddyModule returns the Caddy module information.
func (Bearer) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "webhook_inbox.verifiers.bearer",
		New: func() caddy.Module { return new(Bearer) },
	}
}

// Provision resolves the tokens. Whether there is such an issuer is seen when the
// app starts: it may be in a site that is provisioned later.
func (b *Bearer) Provision(ctx caddy.Context) (err error) {
	if len(b.Tokens) > 0 || b.IssuedBy == "" {
		tokens, err := resolveAll("token", b.Tokens)
		if err != nil {
			return err
		}
		if b.headerVerifier, err = verify.NewBearer(tokens); err != nil {
			return err
		}
	}
	if b.IssuedBy == "" {
		return nil
	}
	if !endpointName.MatchString(b.IssuedBy) {
		return fmt.Errorf("issued_by %q: it must be 1 to 64 of the characters a-z, 0-9, _ and -", b.IssuedBy)
	}
	app, err := ctx.App(appName)
	if err != nil {
		return err
	}
	issued := &issuedTokens{app: app.(*App), name: b.IssuedBy, others: b.headerVerifier}
	issued.app.wantIssuer(endpointOf(ctx), b.IssuedBy)
	b.headerVerifier = issued
	return nil
}

// endpointOf returns the name of the endpoint that is being provisioned.
func endpointOf(ctx caddy.Context) string {
	for _, m := range ctx.Modules() {
		if h, ok := m.(*Handler); ok {
			return h.Endpoint
		}
	}
	return ""
}

func (*Bearer) challenge() string { return "Bearer" }

// UnmarshalCaddyfile reads
//
//	bearer <token…> {
//		issued_by <name>
//	}
//
// where either may be left out.
func (b *Bearer) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the scheme's name
	b.Tokens = d.RemainingArgs()
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		switch option := d.Val(); option {
		case "issued_by":
			if b.IssuedBy != "" {
				return d.Err("issued_by is there twice")
			}
			if err := oneArg(d, &b.IssuedBy); err != nil {
				return err
			}
		default:
			return d.Errf("unrecognized option of verify bearer: %s; expected issued_by", option)
		}
	}
	if len(b.Tokens) == 0 && b.IssuedBy == "" {
		return d.Err("the token is missing: verify bearer {env.TOKEN}, or verify bearer { issued_by <name> }")
	}
	return nil
}

// issuedTokens verifies the tokens of an issuer of the same configuration.
type issuedTokens struct {
	app    *App
	name   string
	others headerVerifier // that will do too; nil if none will
}

// Verify implements [verify.Verifier], but that its error may wrap errKeyNotReady
// instead.
func (v *issuedTokens) Verify(r *verify.Request, now time.Time) (claims verify.Claims, err error) {
	err = v.any(r, func(one headerVerifier) (err error) {
		claims, err = one.Verify(r, now)
		return err
	})
	return claims, err
}

// CheckHeader implements [verify.HeaderChecker], like Verify.
func (v *issuedTokens) CheckHeader(r *verify.Request, now time.Time) error {
	return v.any(r, func(one headerVerifier) error { return one.CheckHeader(r, now) })
}

// any reports whether any of the verifiers accepts r, or why none does.
func (v *issuedTokens) any(r *verify.Request, accepts func(headerVerifier) error) error {
	var refusal error
	if v.others != nil {
		if refusal = accepts(v.others); refusal == nil {
			return nil
		}
	}
	jwt, err := v.verifier(r)
	if err != nil {
		return err
	}
	err = accepts(jwt)
	switch {
	case err == nil:
		return nil
	case refusal == nil || errors.Is(err, verify.ErrExpired):
		return err
	default:
		// If other tokens will do, one that is none of the issuer's is a wrong one
		// rather than a malformed one.
		return refusal
	}
}

// Traits implements [verify.Verifier].
func (v *issuedTokens) Traits() verify.Traits {
	return verify.Traits{Headers: []string{"Authorization"}}
}

func (v *issuedTokens) verifier(r *verify.Request) (*verify.JWT, error) {
	issuer := v.app.issuers.byName[v.name]
	if issuer == nil { // the app will not start
		return nil, errKeyNotReady
	}
	jwt, err := issuer.verifierOfTokens()
	// Who brings no token is refused, whatever the key is.
	if err != nil && !hasBearer(r) {
		return nil, fmt.Errorf("Bearer credentials in header Authorization: %w", verify.ErrMissing)
	}
	return jwt, err
}

func hasBearer(r *verify.Request) bool {
	values := r.Header["Authorization"]
	return len(values) == 1 && len(values[0]) > len("Bearer ") && strings.EqualFold(values[0][:len("Bearer ")], "Bearer ")
}

var (
	_ headerVerifier        = (*Bearer)(nil)
	_ caddy.Provisioner     = (*Bearer)(nil)
	_ caddyfile.Unmarshaler = (*Bearer)(nil)
	_ headerVerifier        = (*issuedTokens)(nil)
)
