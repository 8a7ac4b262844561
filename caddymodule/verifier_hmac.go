// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

// HMAC accepts requests that carry an HMAC of their body, and of whatever else
// the sender puts around it. This is how most senders sign; what differs is said
// here.
type HMAC struct {
	// The secrets of which any may have signed. Required.
	Secrets []HMACSecret `json:"secrets,omitempty"`

	// The hash: `sha1`, `sha256`, `sha384` or `sha512`. Default: `sha256`.
	Algorithm string `json:"algorithm,omitempty"`

	Signing

	setUp
}

// HMACSecret is a key and how it is written.
type HMACSecret struct {
	// The secret. Use a placeholder, such as `{env.SECRET}`.
	Secret string `json:"secret,omitempty"`

	// `raw` if the text itself is the key, or `base64`, `hex` or `whsec`, which is
	// base64 after `whsec_`. Default: `raw`.
	Encoding string `json:"encoding,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (HMAC) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "webhook_inbox.verifiers.hmac",
		New: func() caddy.Module { return new(HMAC) },
	}
}

// Provision resolves the secrets.
func (h *HMAC) Provision(caddy.Context) (err error) {
	config := verify.HMACConfig{
		Algorithm: h.Algorithm,
		Signature: h.Signature,
		Signed:    h.Signed,
		Timestamp: h.Timestamp,
		Tolerance: time.Duration(h.Tolerance),
		ID:        h.ID,
	}
	for i, s := range h.Secrets {
		text, err := resolve(s.Secret)
		if err != nil {
			return fmt.Errorf("secret %d: %w", i+1, err)
		}
		config.Secrets = append(config.Secrets, verify.Secret{Text: text, Encoding: s.Encoding})
	}
	if config.PublicURL, err = resolvePublicURL(h.PublicURL); err != nil {
		return err
	}
	h.headerVerifier, err = verify.NewHMAC(config)
	return err
}

// UnmarshalCaddyfile reads
//
//	hmac {
//		secret    <secret> [raw|base64|hex|whsec]
//		algorithm sha1|sha256|sha384|sha512
//		signature header <name…> | json <path> [prefix <text> | key <key>] [encoding hex|base64] [split <separator>]
//		signed    <template>
//		timestamp header <name> | key <key> | json <path> [unit s|ms|rfc3339]
//		tolerance <duration>
//		id        header <name> | json <path>
//		public_url <url>
//	}
//
// The secret may be repeated, to rotate it.
func (h *HMAC) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the scheme's name
	if d.NextArg() {
		return d.Err("verify hmac takes a block that says how the sender signs")
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if err := h.unmarshalOption(d); err != nil {
			return err
		}
	}
	switch {
	case len(h.Secrets) == 0:
		return d.Err("the secret of verify hmac is missing")
	case !h.has("signature"):
		return d.Err("the signature of verify hmac is missing")
	}
	return nil
}

func (h *HMAC) unmarshalOption(d *caddyfile.Dispenser) error {
	switch option := d.Val(); option {
	case "secret":
		args := d.RemainingArgs()
		if len(args) < 1 || len(args) > 2 {
			return d.ArgErr()
		}
		secret := HMACSecret{Secret: args[0]}
		if len(args) == 2 {
			secret.Encoding = args[1]
		}
		h.Secrets = append(h.Secrets, secret)
		return nil
	case "algorithm":
		if h.Algorithm != "" {
			return d.Err("algorithm is there twice")
		}
		return oneArg(d, &h.Algorithm)
	default:
		known, err := h.Signing.unmarshalOption(d)
		if !known {
			return d.Errf("unrecognized option of verify hmac: %s; expected secret, algorithm, %s", option, signingOptions)
		}
		return err
	}
}

var (
	_ headerVerifier        = (*HMAC)(nil)
	_ caddy.Provisioner     = (*HMAC)(nil)
	_ caddyfile.Unmarshaler = (*HMAC)(nil)
)
