// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

// PublicKey accepts requests that carry a signature which the sender makes with a
// private key of its own, of their body and of whatever else it puts around it.
// Nothing of the configuration is secret, and nobody who knows it can sign.
//
//	{
//		"scheme": "public_key",
//		"algorithm": "ed25519",
//		"keys": [{"key": "{env.PUBLIC_KEY}"}],
//		"signature": {"headers": ["X-Signature-Ed25519"]},
//		"signed": "{timestamp}{body}",
//		"timestamp": {"header": "X-Signature-Timestamp"}
//	}
type PublicKey struct {
	// The public keys, of which the private one of any may have signed. Required.
	Keys []VerifyingKey `json:"keys,omitempty"`

	// How the sender signs: `ed25519`, or `ecdsa-p256`, which is ECDSA on the curve
	// P-256 with SHA-256 and signatures in ASN.1. Required.
	Algorithm string `json:"algorithm,omitempty"`

	Signing

	setUp
}

// VerifyingKey is a public key and how it is written.
type VerifyingKey struct {
	// The key, or a placeholder such as `{env.PUBLIC_KEY}` or
	// `{file./etc/sender.pem}`.
	Key string `json:"key,omitempty"`

	// `hex`, `base64` or `pem`. In hex and base64 it is the form that `BEGIN PUBLIC
	// KEY` has in PEM, or for ed25519 the 32 bytes of the key alone. Default: `hex`
	// for ed25519, `base64` for ecdsa-p256.
	Encoding string `json:"encoding,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (PublicKey) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "webhook_inbox.verifiers.public_key",
		New: func() caddy.Module { return new(PublicKey) },
	}
}

// Provision resolves the keys.
func (p *PublicKey) Provision(caddy.Context) (err error) {
	config := verify.PublicKeyConfig{
		Algorithm: p.Algorithm,
		Signature: p.Signature,
		Signed:    p.Signed,
		Timestamp: p.Timestamp,
		Tolerance: time.Duration(p.Tolerance),
		ID:        p.ID,
	}
	for i, k := range p.Keys {
		text, err := resolve(k.Key)
		if err != nil {
			return fmt.Errorf("key %d: %w", i+1, err)
		}
		config.Keys = append(config.Keys, verify.Secret{Text: text, Encoding: k.Encoding})
	}
	if config.PublicURL, err = resolvePublicURL(p.PublicURL); err != nil {
		return err
	}
	p.headerVerifier, err = verify.NewPublicKey(config)
	return err
}

// UnmarshalCaddyfile reads
//
//	public_key {
//		key       <key> [hex|base64|pem]
//		algorithm ed25519|ecdsa-p256
//		signature header <name…> | json <path> [prefix <text> | key <key>] [encoding hex|base64] [split <separator>]
//		signed    <template>
//		timestamp header <name> | key <key> | json <path> [unit s|ms|rfc3339]
//		tolerance <duration>
//		id        header <name> | json <path>
//		public_url <url>
//	}
//
// The key may be repeated, to rotate it.
func (p *PublicKey) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the scheme's name
	if d.NextArg() {
		return d.Err("verify public_key takes a block that says how the sender signs")
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if err := p.unmarshalOption(d); err != nil {
			return err
		}
	}
	switch {
	case len(p.Keys) == 0:
		return d.Err("the key of verify public_key is missing")
	case p.Algorithm == "":
		return d.Err("the algorithm of verify public_key is missing: ed25519 or ecdsa-p256")
	case !p.has("signature"):
		return d.Err("the signature of verify public_key is missing")
	}
	return nil
}

func (p *PublicKey) unmarshalOption(d *caddyfile.Dispenser) error {
	switch option := d.Val(); option {
	case "key":
		args := d.RemainingArgs()
		if len(args) < 1 || len(args) > 2 {
			return d.ArgErr()
		}
		key := VerifyingKey{Key: args[0]}
		if len(args) == 2 {
			key.Encoding = args[1]
		}
		p.Keys = append(p.Keys, key)
		return nil
	case "algorithm":
		if p.Algorithm != "" {
			return d.Err("algorithm is there twice")
		}
		return oneArg(d, &p.Algorithm)
	default:
		known, err := p.Signing.unmarshalOption(d)
		if !known {
			return d.Errf("unrecognized option of verify public_key: %s; expected key, algorithm, %s", option, signingOptions)
		}
		return err
	}
}

var (
	_ headerVerifier        = (*PublicKey)(nil)
	_ caddy.Provisioner     = (*PublicKey)(nil)
	_ caddyfile.Unmarshaler = (*PublicKey)(nil)
)
