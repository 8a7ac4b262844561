// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

// Signing is what a sender signs and where it puts that, whatever it signs with.
type Signing struct {
	// Where the signature is. Required.
	Signature verify.Signature `json:"signature"`

	// What is signed. `{body}`, `{id}` and `{timestamp}` are the body and the texts
	// of `id` and `timestamp`, and `{url}` is the URL that the sender was given; other
	// placeholders are those of the request as its sender wrote it, such as
	// `{http.request.method}`. A request that lacks one is refused. Default: `{body}`,
	// which must be signed unless the signature is in it.
	Signed string `json:"signed,omitempty"`

	// Where the timestamp is, which must be signed.
	Timestamp *verify.Timestamp `json:"timestamp,omitempty"`

	// How far the timestamp may be from now, either way. Default: 5m.
	Tolerance caddy.Duration `json:"tolerance,omitempty"`

	// Where the id of the message is, which must be signed. For one that is not,
	// there is `message_id`.
	ID *verify.ID `json:"id,omitempty"`

	// What comes before the path in `{url}`, such as `https://hooks.example.com`.
	// Default: scheme, host and port of the request, which differ from those that the
	// sender was given behind a proxy.
	PublicURL string `json:"public_url,omitempty"`
}

func (s *Signing) describe(v *namedVerifier) {
	v.seenURL = s.PublicURL == "" && strings.Contains(s.Signed, "{url}")
}

// signingOptions are those that unmarshalOption reads.
const signingOptions = "signature, signed, timestamp, tolerance, id or public_url"

// unmarshalOption reads the option that d is at, if it is one of
//
//	signature  header <name…> | json <path> [prefix <text> | key <key>] [encoding hex|base64] [split <separator>]
//	signed     <template>
//	timestamp  header <name> | key <key> | json <path> [unit s|ms|rfc3339]
//	tolerance  <duration>
//	id         header <name> | json <path>
//	public_url <url>
//
// of which each may be there once.
func (s *Signing) unmarshalOption(d *caddyfile.Dispenser) (known bool, err error) {
	option := d.Val()
	if s.has(option) {
		return true, d.Errf("%s is there twice", option)
	}
	switch option {
	case "signature":
		return true, s.unmarshalSignature(d)
	case "signed":
		return true, oneArg(d, &s.Signed)
	case "timestamp":
		return true, s.unmarshalTimestamp(d)
	case "tolerance":
		return true, parseDuration(d, &s.Tolerance)
	case "id":
		return true, s.unmarshalID(d)
	case "public_url":
		return true, parsePublicURL(d, &s.PublicURL)
	default:
		return false, nil
	}
}

// has reports whether an option was there.
func (s *Signing) has(option string) bool {
	switch option {
	case "signature":
		return len(s.Signature.Headers) > 0 || s.Signature.JSON != ""
	case "signed":
		return s.Signed != ""
	case "timestamp":
		return s.Timestamp != nil
	case "tolerance":
		return s.Tolerance != 0
	case "id":
		return s.ID != nil
	default:
		return false // public_url looks for itself
	}
}

func (s *Signing) unmarshalSignature(d *caddyfile.Dispenser) error {
	const usage = "expected: signature header <name…> | json <path> [prefix <text> | key <key>] [encoding hex|base64] [split <separator>]"
	words := map[string]*string{
		"prefix":   &s.Signature.Prefix,
		"key":      &s.Signature.Key,
		"encoding": &s.Signature.Encoding,
		"split":    &s.Signature.Split,
	}
	args := d.RemainingArgs()
	places := slices.IndexFunc(args, func(arg string) bool { return words[arg] != nil })
	if places < 0 {
		places = len(args)
	}
	switch {
	case places >= 2 && args[0] == "header":
		s.Signature.Headers = args[1:places]
	case places == 2 && args[0] == "json":
		s.Signature.JSON = args[1]
	default:
		return d.Err(usage)
	}
	rest := args[places:]
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
	if len(rest) > 0 {
		return d.Err(usage)
	}
	return nil
}

func (s *Signing) unmarshalTimestamp(d *caddyfile.Dispenser) error {
	const usage = "expected: timestamp header <name> | key <key> | json <path> [unit s|ms|rfc3339]"
	args := d.RemainingArgs()
	if len(args) != 2 && (len(args) != 4 || args[2] != "unit") {
		return d.Err(usage)
	}
	s.Timestamp = new(verify.Timestamp)
	switch args[0] {
	case "header":
		s.Timestamp.Header = args[1]
	case "key":
		s.Timestamp.Key = args[1]
	case "json":
		s.Timestamp.JSON = args[1]
	default:
		return d.Err(usage)
	}
	if len(args) == 4 {
		s.Timestamp.Unit = args[3]
	}
	return nil
}

func (s *Signing) unmarshalID(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	switch {
	case len(args) == 2 && args[0] == "header":
		s.ID = &verify.ID{Header: args[1]}
	case len(args) == 2 && args[0] == "json":
		s.ID = &verify.ID{JSON: args[1]}
	default:
		return d.Err("expected: id header <name> | json <path>")
	}
	return nil
}
