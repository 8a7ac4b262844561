// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/spf13/cobra"

	"github.com/caddy-webhook-inbox/inbox/verify"
	"github.com/caddy-webhook-inbox/inbox/verify/senders"
)

// freshID returns an id that no message has.
func freshID() string { return "test_" + strings.ToLower(rand.Text()) }

// sender returns how to sign, and with what.
func (f sendFlags) sender(cmd *cobra.Command) (senders.Sender, senders.Keys, error) {
	if f.scheme == "" {
		return senders.Sender{}, senders.Keys{}, errors.New("--scheme is missing: the name of a sender; \"caddy webhook-inbox schemes\" lists them")
	}
	if f.scheme == "hmac" {
		return f.hmacSender(cmd)
	}
	row, err := f.tokenOrSender()
	if err != nil {
		return senders.Sender{}, senders.Keys{}, err
	}
	needs := row.Scheme.Needs()
	switch {
	case f.config != "":
		err = errors.New("--config is for --scheme hmac")
	case needs.User && f.user == "":
		err = fmt.Errorf("--user is missing, which %s needs", f.scheme)
	}
	if err != nil {
		return senders.Sender{}, senders.Keys{}, err
	}
	secrets, err := readSecrets(cmd, f.secretFiles)
	return row, senders.Keys{Secrets: secrets, User: f.user}, err
}

// tokenOrSender returns a sender of the table, or one that has a token or a password
// of its own.
func (f sendFlags) tokenOrSender() (senders.Sender, error) {
	switch f.scheme {
	case "token":
		if f.tokenHeader == "" {
			return senders.Sender{}, errors.New("--token-header is missing, which --scheme token needs: the name of the header field, such as X-Token")
		}
		return senders.Sender{Name: f.scheme, Scheme: senders.Token{Header: f.tokenHeader}}, nil
	case "bearer":
		return senders.Sender{Name: f.scheme, Scheme: senders.Bearer{}}, nil
	case "basic":
		return senders.Sender{Name: f.scheme, Scheme: senders.Basic{}}, nil
	case "public_key", "jwt", "none":
		return senders.Sender{}, fmt.Errorf("--scheme %s cannot be sent: expected the name of a sender, hmac, token, bearer or basic", f.scheme)
	default:
		return findSender(f.scheme)
	}
}

// check refuses flags that would have no effect.
func (f sendFlags) check(needs senders.Needs) error {
	switch {
	case f.tokenHeader != "" && f.scheme != "token":
		return errors.New("--token-header is for --scheme token")
	case f.user != "" && !needs.User:
		return fmt.Errorf("--user has no effect: %s has no user", f.scheme)
	case f.stale != 0 && needs.Tolerance == 0:
		return fmt.Errorf("--stale has no effect: %s signs no time", f.scheme)
	case f.publicURL != "" && !needs.URL:
		return fmt.Errorf("--public-url has no effect: %s does not sign the URL", f.scheme)
	default:
		return nil
	}
}

// hmacSender returns the sender that a `verify hmac` describes. Its secret is that
// of --secret-file, or else the one that is named there.
func (f sendFlags) hmacSender(cmd *cobra.Command) (senders.Sender, senders.Keys, error) {
	fail := func(err error) (senders.Sender, senders.Keys, error) {
		return senders.Sender{}, senders.Keys{}, err
	}
	if f.config == "" {
		return fail(errors.New("--config is missing, which --scheme hmac needs: the path of a file that holds a verify hmac, written as in a Caddyfile"))
	}
	text, err := readInput(cmd, "--config", f.config, maxSecretFile)
	if err != nil {
		return fail(err)
	}
	tokens, err := caddyfile.Tokenize(text, f.config)
	if err != nil {
		return fail(fmt.Errorf("--config: %w", err))
	}
	segment := caddyfile.Segment(tokens)
	httpcaddyfile.NewShorthandReplacer().ApplyToSegment(&segment)
	d := caddyfile.NewDispenser(segment)
	if !d.Next() || d.Val() != "verify" || !d.NextArg() || d.Val() != "hmac" {
		return fail(errors.New("--config: expected a file that begins with: verify hmac {"))
	}
	var h HMAC
	if err := h.UnmarshalCaddyfile(d.NewFromNextSegment()); err != nil {
		return fail(fmt.Errorf("--config: %w", err))
	}
	if d.Next() {
		return fail(errors.New("--config: expected one verify hmac, and nothing behind it"))
	}
	var keys senders.Keys
	if keys.PublicURL, err = resolvePublicURL(h.PublicURL); err != nil {
		return fail(fmt.Errorf("--config: %w", err))
	}
	if len(f.secretFiles) > 0 {
		keys.Secrets, err = readSecrets(cmd, f.secretFiles)
	} else {
		var secret string
		if secret, err = resolve(h.Secrets[0].Secret); err != nil {
			return fail(fmt.Errorf("--config: secret 1: %w", err))
		}
		keys.Secrets = []string{secret}
	}
	scheme := senders.HMAC{
		Config: verify.HMACConfig{
			Algorithm: h.Algorithm,
			Signature: h.Signature,
			Signed:    h.Signed,
			Timestamp: h.Timestamp,
			Tolerance: time.Duration(h.Tolerance),
			ID:        h.ID,
		},
		Encoding: h.Secrets[0].Encoding,
	}
	return senders.Sender{Name: "hmac", Scheme: scheme}, keys, err
}

// findSender returns the sender of that name. Its error names those that are near.
func findSender(name string) (senders.Sender, error) {
	row, ok := senders.Find(name)
	if ok {
		return row, nil
	}
	var names []string
	for _, row := range senders.All() {
		names = append(names, row.Name)
	}
	hint := ""
	if nearest := senders.Nearest(name, names); len(nearest) > 0 {
		hint = "; did you mean " + strings.Join(nearest, ", ")
	}
	return senders.Sender{}, fmt.Errorf("no sender is called %q%s; \"caddy webhook-inbox schemes\" lists them all", name, hint)
}

// testBody returns a message of a sender for tests, with the id where its messages
// have one, and else so that no two are equal.
func testBody(row senders.Sender, id string) []byte {
	document := map[string]any{"id": id, "test": true, "message": "This is a test of the webhook inbox."}
	switch scheme := row.Scheme.(type) {
	case senders.Adyen:
		document = map[string]any{"live": "false", "notificationItems": []any{map[string]any{
			"NotificationRequestItem": map[string]any{
				"eventCode": "AUTHORISATION", "success": "true", "pspReference": id,
				"merchantAccountCode": "Test", "merchantReference": id,
				"amount": map[string]any{"value": 100, "currency": "EUR"},
			},
		}}}
	case senders.ClientState:
		document = map[string]any{"value": []any{map[string]any{"id": id, "changeType": "created", "resource": "test"}}}
	case senders.HMAC:
		if scheme.Config.ID != nil {
			setPath(document, scheme.Config.ID.JSON, id)
		}
	}
	for _, part := range row.MessageID {
		setPath(document, part.JSON, id)
	}
	body, err := json.Marshal(document)
	if err != nil {
		panic(err) // not reached: there is nothing in it that JSON cannot say
	}
	return body
}

// setPath sets the value at a path of names, if there is a path.
func setPath(document map[string]any, path, value string) {
	if path == "" {
		return
	}
	name, rest, deeper := strings.Cut(path, ".")
	if !deeper {
		document[name] = value
		return
	}
	inner, ok := document[name].(map[string]any)
	if !ok {
		inner = make(map[string]any)
		document[name] = inner
	}
	setPath(inner, rest, value)
}
