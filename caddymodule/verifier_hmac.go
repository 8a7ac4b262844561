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

	// Where the signature is. Required.
	Signature verify.Signature `json:"signature"`

	// What is signed. `{body}`, `{id}` and `{timestamp}` are the body and the texts
	// of `id` and `timestamp`; other placeholders are those of the request as its
	// sender wrote it, such as `{http.request.method}`. A request that lacks one is
	// refused. Default: `{body}`.
	Signed string `json:"signed,omitempty"`

	// Where the timestamp is, which must be signed.
	Timestamp *verify.Timestamp `json:"timestamp,omitempty"`

	// How far the timestamp may be from now, either way. Default: 5m.
	Tolerance caddy.Duration `json:"tolerance,omitempty"`

	// Where the id of the message is, which must be signed. For one that is not,
	// there is `message_id`.
	ID *verify.ID `json:"id,omitempty"`

	headerVerifier
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
func (h *HMAC) Provision(caddy.Context) error {
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
	var err error
	h.headerVerifier, err = verify.NewHMAC(config)
	return err
}

// UnmarshalCaddyfile reads
//
//	hmac {
//		secret    <secret> [raw|base64|hex|whsec]
//		algorithm sha1|sha256|sha384|sha512
//		signature header <name…> [prefix <text> | key <key>] [encoding hex|base64] [split <separator>]
//		signed    <template>
//		timestamp header <name> | key <key> | json <path> [unit s|ms|rfc3339]
//		tolerance <duration>
//		id        header <name>
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
	case len(h.Signature.Headers) == 0:
		return d.Err("the signature of verify hmac is missing")
	}
	return nil
}

func (h *HMAC) unmarshalOption(d *caddyfile.Dispenser) error {
	option := d.Val()
	if option != "secret" && h.has(option) {
		return d.Errf("%s is there twice", option)
	}
	switch option {
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
		return oneArg(d, &h.Algorithm)
	case "signature":
		return h.unmarshalSignature(d)
	case "signed":
		return oneArg(d, &h.Signed)
	case "timestamp":
		return h.unmarshalTimestamp(d)
	case "tolerance":
		return parseDuration(d, &h.Tolerance)
	case "id":
		args := d.RemainingArgs()
		if len(args) != 2 || args[0] != "header" {
			return d.Err("expected: id header <name>")
		}
		h.ID = &verify.ID{Header: args[1]}
		return nil
	default:
		return d.Errf("unrecognized option of verify hmac: %s; expected secret, algorithm, signature, signed, timestamp, tolerance or id", option)
	}
}

// has reports whether an option that may be there once was there.
func (h *HMAC) has(option string) bool {
	switch option {
	case "algorithm":
		return h.Algorithm != ""
	case "signature":
		return len(h.Signature.Headers) > 0
	case "signed":
		return h.Signed != ""
	case "timestamp":
		return h.Timestamp != nil
	case "tolerance":
		return h.Tolerance != 0
	case "id":
		return h.ID != nil
	default:
		return false
	}
}

func (h *HMAC) unmarshalSignature(d *caddyfile.Dispenser) error {
	const usage = "expected: signature header <name…> [prefix <text> | key <key>] [encoding hex|base64] [split <separator>]"
	args := d.RemainingArgs()
	if len(args) < 2 || args[0] != "header" {
		return d.Err(usage)
	}
	words := map[string]*string{
		"prefix":   &h.Signature.Prefix,
		"key":      &h.Signature.Key,
		"encoding": &h.Signature.Encoding,
		"split":    &h.Signature.Split,
	}
	rest := args[1:]
	for len(rest) > 0 && words[rest[0]] == nil {
		h.Signature.Headers = append(h.Signature.Headers, rest[0])
		rest = rest[1:]
	}
	for ; len(rest) >= 2; rest = rest[2:] {
		value := words[rest[0]]
		switch {
		case value == nil:
			return d.Errf("unrecognized word %s; %s", rest[0], usage)
		case *value != "":
			return d.Errf("%s is there twice; %s", rest[0], usage)
		}
		*value = rest[1]
	}
	if len(rest) > 0 || len(h.Signature.Headers) == 0 {
		return d.Err(usage)
	}
	return nil
}

func (h *HMAC) unmarshalTimestamp(d *caddyfile.Dispenser) error {
	const usage = "expected: timestamp header <name> | key <key> | json <path> [unit s|ms|rfc3339]"
	args := d.RemainingArgs()
	if len(args) != 2 && (len(args) != 4 || args[2] != "unit") {
		return d.Err(usage)
	}
	h.Timestamp = new(verify.Timestamp)
	switch args[0] {
	case "header":
		h.Timestamp.Header = args[1]
	case "key":
		h.Timestamp.Key = args[1]
	case "json":
		h.Timestamp.JSON = args[1]
	default:
		return d.Err(usage)
	}
	if len(args) == 4 {
		h.Timestamp.Unit = args[3]
	}
	return nil
}

var (
	_ headerVerifier        = (*HMAC)(nil)
	_ caddy.Provisioner     = (*HMAC)(nil)
	_ caddyfile.Unmarshaler = (*HMAC)(nil)
)
