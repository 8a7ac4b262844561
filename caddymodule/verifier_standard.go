// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

// StandardWebhooks accepts messages that are signed as the Standard Webhooks
// specification says, with the header fields `webhook-id`, `webhook-timestamp`
// and `webhook-signature`, or as Svix does, with the same under the names
// `svix-id`, `svix-timestamp` and `svix-signature`. The id and the timestamp are
// signed.
type StandardWebhooks struct {
	// The secrets of which any may have signed: `whsec_…` for HMAC-SHA256 (v1) and
	// the public keys `whpk_…` for ed25519 (v1a). Use placeholders, such as
	// `{env.SECRET}` or `{file./run/secrets/svix}`. Required.
	Secrets []string `json:"secrets,omitempty"`

	// How the secrets are written: `whsec`, or `raw` if the text itself is the
	// key, as it is for Polar. Default: `whsec`.
	Encoding string `json:"encoding,omitempty"`

	// How far the timestamp may be from now, either way. Default: 5m.
	Tolerance caddy.Duration `json:"tolerance,omitempty"`

	setUp
}

// CaddyModule returns the Caddy module information.
func (StandardWebhooks) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "webhook_inbox.verifiers.standard_webhooks",
		New: func() caddy.Module { return new(StandardWebhooks) },
	}
}

// Provision resolves the secrets.
func (s *StandardWebhooks) Provision(caddy.Context) error {
	texts, err := resolveAll("secret", s.Secrets)
	if err != nil {
		return err
	}
	config := verify.StandardConfig{Tolerance: time.Duration(s.Tolerance)}
	for _, text := range texts {
		config.Secrets = append(config.Secrets, verify.Secret{Text: text, Encoding: s.Encoding})
	}
	s.headerVerifier, err = verify.NewStandard(config)
	return err
}

// UnmarshalCaddyfile reads
//
//	standard_webhooks <secret…> {
//		secret    <secret> [whsec|raw]
//		tolerance <duration>
//	}
//
// The secrets of the block are added to those of the line. One encoding is that
// of all of them.
func (s *StandardWebhooks) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	scheme := d.Val() // this one or svix
	s.Secrets = append(s.Secrets, d.RemainingArgs()...)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		var err error
		switch option := d.Val(); option {
		case "secret":
			err = s.unmarshalSecret(d)
		case "tolerance":
			if s.Tolerance != 0 {
				return d.Err("tolerance is there twice")
			}
			err = parseDuration(d, &s.Tolerance)
		default:
			err = d.Errf("unrecognized option of verify %s: %s; expected secret or tolerance", scheme, option)
		}
		if err != nil {
			return err
		}
	}
	if len(s.Secrets) == 0 {
		return d.Errf("the secret is missing: verify %s {env.SECRET}", scheme)
	}
	return nil
}

func (s *StandardWebhooks) unmarshalSecret(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) < 1 || len(args) > 2 {
		return d.ArgErr()
	}
	s.Secrets = append(s.Secrets, args[0])
	if len(args) == 2 {
		if s.Encoding != "" && s.Encoding != args[1] {
			return d.Errf("the secrets of one scheme are all written the same way: %s and %s", s.Encoding, args[1])
		}
		s.Encoding = args[1]
	}
	return nil
}

// Svix is [StandardWebhooks] under the name of the service that most senders
// use for it. Either accepts both families of header fields.
type Svix struct {
	StandardWebhooks
}

// CaddyModule returns the Caddy module information.
func (Svix) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "webhook_inbox.verifiers.svix",
		New: func() caddy.Module { return new(Svix) },
	}
}

var (
	_ headerVerifier        = (*StandardWebhooks)(nil)
	_ caddy.Provisioner     = (*StandardWebhooks)(nil)
	_ caddyfile.Unmarshaler = (*StandardWebhooks)(nil)
	_ headerVerifier        = (*Svix)(nil)
)
