// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"fmt"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

// JWT accepts requests with a JSON Web Token in a header field that was signed
// with one of the keys. What the token says of keys is not looked at.
//
// Without `body_claim` it proves who sent a request and nothing about its body:
// the same token does for any other, until it expires.
//
//	{
//		"scheme": "jwt",
//		"keys": [{"key": "{file./etc/sender.pem}"}],
//		"algorithm": "RS256",
//		"issuer": "https://sender.example.com",
//		"audience": "hooks"
//	}
type JWT struct {
	// The keys of which any may have signed. Required.
	Keys []JWTKey `json:"keys,omitempty"`

	// How the sender signs: `HS256`, `HS384` or `HS512`, with a secret that both sides
	// have, of 16 bytes at least and better 32, 48 or 64; or `RS256`, `ES256` or
	// `EdDSA`, with a private key. Tokens that name another algorithm are refused.
	// Required.
	Algorithm string `json:"algorithm,omitempty"`

	// The name of the header field. Default: `Authorization`, where the token stands
	// after `Bearer`; elsewhere it stands alone.
	Header string `json:"header,omitempty"`

	// What the claims `iss`, `aud` and `sub` must be; of several audiences, one.
	// Default: anything.
	Issuer   string `json:"issuer,omitempty"`
	Audience string `json:"audience,omitempty"`
	Subject  string `json:"subject,omitempty"`

	// The name of the claim that holds the SHA-256 of the body, such as `sha256`.
	// Default: none, so that the body is not signed.
	BodyClaim string `json:"body_claim,omitempty"`

	// How it is written: `hex` or `base64`. Default: `hex`.
	BodyEncoding string `json:"body_encoding,omitempty"`

	// How far the sender's clock may be off. Default: 1m.
	Tolerance caddy.Duration `json:"tolerance,omitempty"`

	// How long ago a token may have been issued, which it must say then (`iat`).
	// Default: no limit but its own (`exp`).
	MaxAge caddy.Duration `json:"max_age,omitempty"`

	// Refuse tokens that do not say when they expire (`exp`).
	RequireExpiry bool `json:"require_expiry,omitempty"`

	setUp
}

// JWTKey is a key and how it is written.
type JWTKey struct {
	// The secret or the public key. Use a placeholder, such as `{env.SECRET}` or
	// `{file./etc/sender.pem}`.
	Key string `json:"key,omitempty"`

	// Of a secret, `raw` if the text itself is the key, or `base64`, `hex` or `whsec`;
	// default: `raw`. Of a public key, `pem`, `base64` or `hex`; default: `pem` or
	// `base64`, whichever it is.
	Encoding string `json:"encoding,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (JWT) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "webhook_inbox.verifiers.jwt",
		New: func() caddy.Module { return new(JWT) },
	}
}

// Provision resolves the keys.
func (j *JWT) Provision(caddy.Context) (err error) {
	config := verify.JWTConfig{
		Header:        j.Header,
		Algorithm:     j.Algorithm,
		Issuer:        j.Issuer,
		Audience:      j.Audience,
		Subject:       j.Subject,
		BodyClaim:     j.BodyClaim,
		BodyEncoding:  j.BodyEncoding,
		Tolerance:     time.Duration(j.Tolerance),
		MaxAge:        time.Duration(j.MaxAge),
		RequireExpiry: j.RequireExpiry,
	}
	for i, k := range j.Keys {
		text, err := resolve(k.Key)
		if err != nil {
			return fmt.Errorf("key %d: %w", i+1, err)
		}
		config.Keys = append(config.Keys, verify.Secret{Text: text, Encoding: k.Encoding})
	}
	j.headerVerifier, err = verify.NewJWT(config)
	return err
}

// describe says that a token alone, without the body it was made for, lets in
// whoever has it.
func (j *JWT) describe(v *namedVerifier) { v.inHeader = j.BodyClaim == "" }

func (j *JWT) challenge() string {
	if j.Header == "" || http.CanonicalHeaderKey(j.Header) == "Authorization" {
		return "Bearer"
	}
	return ""
}

// UnmarshalCaddyfile reads
//
//	jwt <key…> {
//		key        <key> [raw|base64|hex|whsec|pem]
//		algorithm  HS256|HS384|HS512|RS256|ES256|EdDSA
//		header     <name>
//		issuer     <text>
//		audience   <text>
//		subject    <text>
//		body_claim <name> [hex|base64]
//		tolerance  <duration>
//		max_age    <duration>
//		require_expiry
//	}
//
// The keys of the block are added to those of the line.
func (j *JWT) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the scheme's name
	for _, key := range d.RemainingArgs() {
		j.Keys = append(j.Keys, JWTKey{Key: key})
	}
	seen := make(map[string]bool)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		option := d.Val()
		if seen[option] && option != "key" {
			return d.Errf("%s is there twice", option)
		}
		seen[option] = true
		if err := j.unmarshalOption(d); err != nil {
			return err
		}
	}
	switch {
	case len(j.Keys) == 0:
		return d.Err("the key is missing: verify jwt {env.KEY} { algorithm HS256 }")
	case j.Algorithm == "":
		return d.Err("the algorithm of verify jwt is missing: HS256, HS384, HS512, RS256, ES256 or EdDSA")
	}
	return nil
}

func (j *JWT) unmarshalOption(d *caddyfile.Dispenser) error {
	switch option := d.Val(); option {
	case "key":
		args := d.RemainingArgs()
		if len(args) < 1 || len(args) > 2 {
			return d.ArgErr()
		}
		key := JWTKey{Key: args[0]}
		if len(args) == 2 {
			key.Encoding = args[1]
		}
		j.Keys = append(j.Keys, key)
		return nil
	case "algorithm":
		return oneArg(d, &j.Algorithm)
	case "header":
		return oneArg(d, &j.Header)
	case "issuer":
		return oneArg(d, &j.Issuer)
	case "audience":
		return oneArg(d, &j.Audience)
	case "subject":
		return oneArg(d, &j.Subject)
	case "body_claim":
		args := d.RemainingArgs()
		if len(args) < 1 || len(args) > 2 {
			return d.Err("expected: body_claim <name> [hex|base64]")
		}
		j.BodyClaim = args[0]
		if len(args) == 2 {
			j.BodyEncoding = args[1]
		}
		return nil
	case "tolerance":
		return parseDuration(d, &j.Tolerance)
	case "max_age":
		return parseDuration(d, &j.MaxAge)
	case "require_expiry":
		j.RequireExpiry = true
		return noMoreArgs(d)
	default:
		return d.Errf("unrecognized option of verify jwt: %s; expected key, algorithm, header, issuer, audience, subject, body_claim, tolerance, max_age or require_expiry", option)
	}
}

var (
	_ headerVerifier        = (*JWT)(nil)
	_ caddy.Provisioner     = (*JWT)(nil)
	_ caddyfile.Unmarshaler = (*JWT)(nil)
)
