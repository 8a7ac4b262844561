// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-webhook-inbox/inbox/verify"
	"github.com/caddy-webhook-inbox/inbox/verify/senders"
)

// Sender accepts what a sender signs that is known by its name, such as `github`,
// `stripe` or `slack`. All that has to be said is the secret:
//
//	{"scheme": "github", "secrets": ["{env.GITHUB_SECRET}"]}
//
// Where the id of a message is, what its duplicates are, how large it may be and
// which status acknowledges it are then also what is known of the sender, if the
// endpoint does not say otherwise; and some of the requests with which a sender
// tests an endpoint are answered. `caddy webhook-inbox schemes` lists all senders.
type Sender struct {
	// The secrets of which any may have signed, as the sender shows them: what it
	// calls a secret, a token, a password or a public key. Use placeholders, such as
	// `{env.SECRET}` or `{file./run/secrets/github}`. Required.
	Secrets []string `json:"secrets,omitempty"`

	// The user, for senders that give a name and a password. Required for these.
	User string `json:"user,omitempty"`

	// How far the timestamp may be from now, either way, for senders that sign one.
	// Default: what the sender recommends, mostly 5m.
	Tolerance caddy.Duration `json:"tolerance,omitempty"`

	// What comes before the path in the URL that the sender was given, such as
	// `https://hooks.example.com`, for senders that sign it. Default: scheme, host
	// and port of the request, which differ from it behind a proxy.
	PublicURL string `json:"public_url,omitempty"`

	row     senders.Sender
	secrets []string // resolved
	verify.Verifier
}

// registerSenders makes a module of each sender that is not one already.
func registerSenders() {
	for _, row := range senders.All() {
		if row.Name != "svix" && row.Name != "standard_webhooks" {
			caddy.RegisterModule(Sender{row: row})
		}
	}
}

// CaddyModule returns the Caddy module information.
func (s Sender) CaddyModule() caddy.ModuleInfo {
	row := s.row
	return caddy.ModuleInfo{
		ID:  caddy.ModuleID(verifierNamespace + "." + row.Name),
		New: func() caddy.Module { return &Sender{row: row} },
	}
}

// Provision resolves the secrets.
func (s *Sender) Provision(caddy.Context) (err error) {
	if err := s.check(); err != nil {
		return err
	}
	needs := s.row.Scheme.Needs()
	if s.secrets, err = resolveAll(needs.Secret, s.Secrets); err != nil {
		return err
	}
	keys := senders.Keys{Secrets: s.secrets, Tolerance: time.Duration(s.Tolerance)}
	if needs.User {
		user, err := resolveAll("user", []string{s.User})
		if err != nil {
			return err
		}
		keys.User = user[0]
	}
	if keys.PublicURL, err = resolvePublicURL(s.PublicURL); err != nil {
		return err
	}
	s.Verifier, err = s.row.Scheme.Verifier(keys)
	return err
}

// check refuses what the sender needs and is not there, and what it has no use for.
func (s *Sender) check() error {
	needs := s.row.Scheme.Needs()
	switch {
	case needs.User && s.User == "":
		return errors.New("the user is missing")
	case !needs.User && s.User != "":
		return errors.New("user is of no use, because this sender gives none")
	case needs.Tolerance == 0 && s.Tolerance != 0:
		return errors.New("tolerance is of no use, because this sender signs no timestamp")
	case s.Tolerance < 0:
		return errors.New("tolerance is negative")
	case !needs.URL && s.PublicURL != "":
		return errors.New("public_url is of no use, because this sender does not sign the URL")
	default:
		return nil
	}
}

// CheckHeader implements [verify.HeaderChecker], for schemes that can.
func (s *Sender) CheckHeader(r *verify.Request, now time.Time) error {
	if c, ok := s.Verifier.(verify.HeaderChecker); ok {
		return c.CheckHeader(r, now)
	}
	return nil
}

func (s *Sender) inner() verify.Verifier { return s.Verifier }

func (s *Sender) challenge() string {
	switch s.row.Scheme.(type) {
	case senders.Bearer:
		return new(Bearer).challenge()
	case senders.Basic:
		return new(Basic).challenge()
	default:
		return ""
	}
}

func (s *Sender) describe(v *namedVerifier) {
	v.sender = s.row
	_, v.inHeader = s.row.Scheme.(senders.Token)
	v.seenURL = s.row.Scheme.Needs().URL && s.PublicURL == ""
	if s.row.Handshake != nil {
		v.handshake = s.handshake
	}
}

// handshake answers with the secret that r is signed with, of several.
func (s *Sender) handshake(r *verify.Request) (senders.Answer, bool) {
	answer, ok := s.row.Handshake(r, s.secrets)
	if !ok || len(s.secrets) == 1 {
		return answer, ok
	}
	for _, secret := range s.secrets {
		v, err := s.row.Scheme.Verifier(senders.Keys{Secrets: []string{secret}, Tolerance: time.Duration(s.Tolerance)})
		if err != nil {
			continue // not reached: they were set up together
		}
		if _, err := v.Verify(r, time.Now()); err == nil {
			return s.row.Handshake(r, []string{secret})
		}
	}
	return answer, true
}

// UnmarshalCaddyfile reads
//
//	<name> [<user>] <secret…> {
//		secret     <secret…>
//		tolerance  <duration>
//		public_url <url>
//	}
//
// with a user for senders that give one. The secrets of the block are added to
// those of the line.
func (s *Sender) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the sender's name
	needs := s.row.Scheme.Needs()
	s.Secrets = d.RemainingArgs()
	if needs.User && len(s.Secrets) > 0 {
		s.User, s.Secrets = s.Secrets[0], s.Secrets[1:]
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if err := s.unmarshalOption(d); err != nil {
			return err
		}
		if err := s.check(); err != nil {
			return d.Errf("verify %s: %v", s.row.Name, err)
		}
	}
	if len(s.Secrets) == 0 {
		return d.Errf("the %s is missing: %s", needs.Secret, s.example())
	}
	return nil
}

func (s *Sender) unmarshalOption(d *caddyfile.Dispenser) error {
	switch option := d.Val(); option {
	case "secret":
		secrets := d.RemainingArgs()
		if len(secrets) == 0 {
			return d.ArgErr()
		}
		s.Secrets = append(s.Secrets, secrets...)
		return nil
	case "tolerance":
		if s.Tolerance != 0 {
			return d.Err("tolerance is there twice")
		}
		return parseDuration(d, &s.Tolerance)
	case "public_url":
		return parsePublicURL(d, &s.PublicURL)
	default:
		return d.Errf("unrecognized option of verify %s: %s; expected secret, tolerance or public_url", s.row.Name, option)
	}
}

// example is how the sender is configured.
func (s *Sender) example() string {
	needs := s.row.Scheme.Needs()
	name, user := strings.ToUpper(s.row.Name), ""
	if needs.User {
		user = " {env." + name + "_USER}"
	}
	return "verify " + s.row.Name + user + " {env." + name + "_" + strings.ToUpper(strings.ReplaceAll(needs.Secret, " ", "_")) + "}"
}

// parsePublicURL reads the one argument of public_url. It is checked here as far
// as it has no placeholder, and in full by the scheme.
func parsePublicURL(d *caddyfile.Dispenser, to *string) error {
	if *to != "" {
		return d.Err("public_url is there twice")
	}
	if err := oneArg(d, to); err != nil {
		return err
	}
	if strings.Contains(*to, "{") {
		return nil
	}
	if u, err := url.Parse(*to); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return d.Err("public_url: expected scheme and host, such as https://hooks.example.com")
	}
	return nil
}

// resolvePublicURL replaces the placeholders of a public URL, which may be none.
func resolvePublicURL(text string) (string, error) {
	resolved, err := caddy.NewReplacer().ReplaceOrErr(text, true, true)
	if err != nil {
		return "", fmt.Errorf("public_url: %w", err)
	}
	return resolved, nil
}

var (
	_ headerVerifier        = (*Sender)(nil)
	_ caddy.Provisioner     = (*Sender)(nil)
	_ caddyfile.Unmarshaler = (*Sender)(nil)
)
