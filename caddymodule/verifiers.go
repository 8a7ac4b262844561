// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-webhook-inbox/inbox/verify"
	"github.com/caddy-webhook-inbox/inbox/verify/senders"
)

func init() {
	caddy.RegisterModule(Svix{})
	caddy.RegisterModule(StandardWebhooks{})
	caddy.RegisterModule(Token{})
	caddy.RegisterModule(Bearer{})
	caddy.RegisterModule(Basic{})
	caddy.RegisterModule(HMAC{})
	caddy.RegisterModule(PublicKey{})
	caddy.RegisterModule(JWT{})
	caddy.RegisterModule(None{})
	registerSenders()
}

const verifierNamespace = appName + ".verifiers"

// namedVerifier is a scheme with the name it is configured by, and what is known
// of the sender that it is the name of.
type namedVerifier struct {
	scheme string
	verify.Verifier
	checker verify.HeaderChecker // the verifier, nil if it is none
	verify.Traits
	sender senders.Sender // nothing in it if the scheme is a general one
	ids    idSource

	// handshake answers a verified request with which the sender tests the
	// endpoint. It is nil if there are none.
	handshake func(r *verify.Request) (senders.Answer, bool)

	// inHeader: the secret itself is in a header field.
	inHeader bool

	// seenURL: the URL is signed, and taken to be what this server sees.
	seenURL bool
}

// challenger is a verifier whose refusal may come with a challenge, the value of
// a WWW-Authenticate field.
type challenger interface{ challenge() string }

// loadVerifiers sets up what VerifyRaw says.
func (h *Handler) loadVerifiers(ctx caddy.Context) error {
	schemes := make([]string, len(h.VerifyRaw))
	for i, raw := range h.VerifyRaw {
		var named struct {
			Scheme string `json:"scheme"`
		}
		if err := json.Unmarshal(raw, &named); err != nil {
			return fmt.Errorf("reading verify: %w", err)
		}
		schemes[i] = named.Scheme
		if err := checkScheme(named.Scheme); err != nil {
			return fmt.Errorf("verify: %w", err)
		}
	}
	if len(schemes) == 0 {
		return fmt.Errorf("verify is missing: name the scheme of the sender, or write `verify none` to let everybody in")
	}
	modules, err := ctx.LoadModule(h, "VerifyRaw")
	if err != nil {
		return fmt.Errorf("setting up verify: %w", err)
	}
	for i, m := range modules.([]any) {
		v, ok := m.(verify.Verifier)
		if !ok {
			return fmt.Errorf("module %s.%s is not a verifier", verifierNamespace, schemes[i])
		}
		named := namedVerifier{scheme: schemes[i], Verifier: v, Traits: v.Traits()}
		if o, ok := m.(outer); ok {
			named.Verifier = o.inner()
		}
		named.checker, _ = named.Verifier.(verify.HeaderChecker)
		if d, ok := m.(describer); ok {
			d.describe(&named)
		}
		h.verifiers = append(h.verifiers, named)
		if c, ok := m.(challenger); ok && c.challenge() != "" {
			h.authenticate = append(h.authenticate, c.challenge())
		}
		if schemes[i] == "none" && len(schemes) > 1 {
			return fmt.Errorf("verify none must stand alone: it lets everything in, so that %s would never be asked", strings.Join(schemes, ", "))
		}
	}
	return nil
}

// describer is a verifier that knows more of itself than its traits.
type describer interface{ describe(v *namedVerifier) }

// checkScheme refuses the name of a scheme that does not exist.
func checkScheme(name string) error {
	known := moduleNames(verifierNamespace)
	if name == "" || slices.Contains(known, name) {
		return nil // that there is no name is for Caddy to say
	}
	meant := ""
	if nearest := senders.Nearest(name, known); len(nearest) > 0 {
		meant = "did you mean " + strings.Join(nearest, ", ") + "? "
	}
	return fmt.Errorf("unrecognized scheme %s; %s`caddy webhook-inbox schemes` lists all", name, meant)
}

// resolve replaces the placeholders of a secret. One that is empty or cannot be
// resolved is an error, never an open door. The error names the placeholder, but
// not what may be a secret with braces in it.
func resolve(secret string) (string, error) {
	if secret == "" {
		return "", errors.New("the secret is empty")
	}
	text, err := caddy.NewReplacer().ReplaceOrErr(secret, true, true)
	if err != nil && strings.Contains(secretPlaceholder.ReplaceAllString(secret, ""), "{") {
		return "", errors.New("what is in braces is no placeholder that has a value; a secret with braces in it belongs into one, such as {env.SECRET} or {file./path}")
	}
	return text, err
}

// secretPlaceholder matches the placeholders of the places where secrets are, and
// what is nothing but one of another place, or a mistyped one.
var secretPlaceholder = regexp.MustCompile(`\{(env|file|system|vars)\.[^{}]*\}|^\{[a-z_]+\.[^{}]*\}$`)

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

// headerVerifier is a scheme that can refuse on headers alone.
type headerVerifier interface {
	verify.Verifier
	verify.HeaderChecker
}

// setUp is a scheme that is set up. Modules embed it to be verifiers.
type setUp struct{ headerVerifier }

func (s setUp) inner() verify.Verifier { return s.headerVerifier }

// outer is a module that has a verifier and adds nothing to it. Requests are
// verified by the inner one: each call on the way there takes time, and room on
// the stack, which is copied to a larger one if that is too small.
type outer interface{ inner() verify.Verifier }

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
