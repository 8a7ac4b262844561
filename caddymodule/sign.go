// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-webhook-inbox/inbox/queue"
	"github.com/caddy-webhook-inbox/inbox/verify"
)

// Sign signs what the application gets, as the Standard Webhooks specification
// says: with the header fields `Webhook-Id`, `Webhook-Timestamp` and
// `Webhook-Signature`, which libraries in most languages can check. Whoever signed
// the message to the inbox, the application has one key and one way to check it.
//
// Each attempt is signed anew, so that the timestamp is fresh also after an outage
// of days. The id is that of `Webhook-Inbox-Id` and the same in each attempt. All
// fields of the sender's whose names begin with `webhook-` or `svix-` are removed.
//
// What is signed is the body as it was received: a delivery route that changes it
// makes the signature wrong.
type Sign struct {
	// The scheme: `standard_webhooks`. Required.
	Scheme string `json:"scheme,omitempty"`

	// The secrets, in the form `whsec_…`: the base64 of 24 bytes or more, such as
	// `openssl rand -base64 32` makes, after an optional `whsec_`. With several, there
	// is a signature of each, so that an application can change from one to the
	// other. Use placeholders, such as `{env.SECRET}`. Required.
	Secrets []string `json:"secrets,omitempty"`
}

const (
	signScheme = "standard_webhooks"

	// leastSecret is the number of bytes that the specification asks for. What
	// decodes to less is mostly a password, which happens to be base64.
	leastSecret = 24
)

// provision resolves the secrets. It returns nil if s is.
func (s *Sign) provision() (*verify.StandardSigner, error) {
	if s == nil {
		return nil, nil
	}
	if s.Scheme != signScheme {
		return nil, fmt.Errorf("unrecognized scheme %q; expected %s", s.Scheme, signScheme)
	}
	texts, err := resolveAll("secret", s.Secrets)
	if err != nil {
		return nil, err
	}
	const expected = "expected whsec_ and what `openssl rand -base64 32` prints"
	secrets := make([]verify.Secret, len(texts))
	for i, text := range texts {
		secrets[i].Text = text
	}
	signer, err := verify.NewStandardSigner(secrets)
	if err != nil {
		return nil, fmt.Errorf("%w; %s", err, expected)
	}
	for i, text := range texts {
		_, digits, ok := strings.Cut(text, "whsec_")
		if !ok {
			digits = text
		}
		if base64.RawStdEncoding.DecodedLen(len(strings.TrimRight(digits, "="))) < leastSecret {
			return nil, fmt.Errorf("secret %d is shorter than %d bytes; %s", i+1, leastSecret, expected)
		}
	}
	return signer, nil
}

// signDelivery signs the message in the header of a delivery, from which it
// removes what could be taken for another signature, or for a part of this one.
func signDelivery(signer *verify.StandardSigner, header http.Header, m *queue.Message, now time.Time) {
	for name := range header {
		if (belongsTo("Webhook-", name) || belongsTo("Svix-", name)) && !isOurs(name) {
			delete(header, name)
		}
	}
	signer.Sign(header, m.ID.String(), m.Request.Body, now)
}

// unmarshalSign reads
//
//	sign standard_webhooks <secret…>
func (h *Handler) unmarshalSign(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	switch {
	case len(args) == 0:
		return d.Err("the scheme is missing: sign " + signScheme + " <secret…>")
	case args[0] != signScheme:
		return d.Err("unrecognized scheme; expected: sign " + signScheme + " <secret…>")
	case len(args) == 1:
		return d.Err("the secret is missing: sign " + signScheme + " {env.SECRET}")
	}
	h.Sign = &Sign{Scheme: signScheme, Secrets: args[1:]}
	return nil
}
