// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/caddy-webhook-inbox/inbox/verify"
	"github.com/caddy-webhook-inbox/inbox/verify/senders"
)

// A nearMiss is a sender of the table whose signature the request seems to have.
type nearMiss struct {
	row    senders.Sender
	where  string // the header fields that are there
	reason error  // of the refusal; nil if no secret has its form
}

// nearMisses returns the senders whose header fields are there, and those that sign
// in the body and find there what is only not right.
func (d diagnosis) nearMisses() []nearMiss {
	var list []nearMiss
	for _, row := range d.rows {
		var there []string
		for _, name := range Headers(row.Scheme) {
			if name != "Authorization" && d.r.Header.Get(name) != "" {
				there = append(there, name)
			}
		}
		m := nearMiss{row: row, where: strings.Join(there, ", "), reason: d.refusal(row)}
		if len(Headers(row.Scheme)) == 0 && errors.Is(m.reason, verify.ErrMismatch) {
			m.where = "A signature in the body"
		}
		if m.where != "" {
			list = append(list, m)
		}
	}
	return list
}

// refusal returns why a sender's verifier refuses the request, for the secret that
// comes closest.
func (d diagnosis) refusal(row senders.Sender) (closest error) {
	order := []error{verify.ErrMissing, verify.ErrMalformed, verify.ErrMismatch, verify.ErrExpired}
	rank := func(err error) int {
		return slices.IndexFunc(order, func(reason error) bool { return errors.Is(err, reason) })
	}
	keys := senders.Keys{User: basicUser(d.r)}
	if !row.Scheme.Needs().User {
		keys.User = ""
	}
	if row.Scheme.Needs().URL && len(d.origins) > 0 {
		keys.PublicURL = d.origins[0]
	}
	for _, secret := range d.secrets {
		keys.Secrets = []string{secret}
		v, err := row.Scheme.Verifier(keys)
		if err != nil {
			continue
		}
		if _, err := v.Verify(d.r, d.now); err != nil && rank(err) > rank(closest) {
			closest = err
		}
	}
	return closest
}

// known says of the senders whose signature seems to be there why it is refused,
// and what their secrets should look like if these do not.
func (d diagnosis) known() []string {
	type group struct{ where, reason string }
	groups := make(map[group][]senders.Sender)
	for _, m := range d.nearMisses() {
		g := group{m.where, reasonFor(m)}
		groups[g] = append(groups[g], m.row)
	}
	var list []string
	for _, g := range slices.SortedFunc(maps.Keys(groups), func(a, b group) int {
		return strings.Compare(a.where+"\n"+a.reason, b.where+"\n"+b.reason)
	}) {
		rows := groups[g]
		list = append(list, fmt.Sprintf("%s is there, as it is for %s, but %s", g.where, namesOf(rows), g.reason))
		list = append(list, d.wrongForms(rows)...)
	}
	return list
}

// reasonFor says in the rest of a sentence why a sender refuses the request.
func reasonFor(m nearMiss) string {
	needs := m.row.Scheme.Needs()
	switch {
	case m.reason == nil && needs.Secret == "public key":
		return "it is made with a private key: give the sender's public key for the secret."
	case m.reason == nil:
		return "no secret has the form that is needed for it."
	case errors.Is(m.reason, verify.ErrMissing):
		return fmt.Sprintf("something else is not there: %s.", m.reason)
	case errors.Is(m.reason, verify.ErrMalformed):
		return fmt.Sprintf("it is not in the form of that sender: %s.", m.reason)
	case errors.Is(m.reason, verify.ErrExpired):
		return fmt.Sprintf("it has expired, or a clock is wrong: %s.", m.reason)
	}
	text := "it is not right: the secret is another one, or the body was changed on its way."
	if needs.Secret == "public key" {
		text = "it is not right. It is made with a private key: give the sender's public key for the secret, and see that the body was not changed on its way."
	}
	if needs.URL {
		text += " The URL is signed too, and may differ from the one that the sender was given: name that with --public-url."
	}
	return text
}

// namesOf names senders. Where all of Standard Webhooks sign alike, that is their
// name.
func namesOf(rows []senders.Sender) string {
	var names []string
	for _, row := range rows {
		if row.Name == "standard_webhooks" {
			return "Standard Webhooks"
		}
		names = append(names, row.Name)
	}
	if len(names) > 4 {
		names = append(names[:4], "others")
	}
	return strings.Join(names, ", ")
}

// wrongForms says what is wrong with the form of the secrets for senders that
// expect one. An error of theirs holds nothing of the secret.
func (d diagnosis) wrongForms(rows []senders.Sender) []string {
	var list []string
	for i, secret := range d.secrets {
		var refusing []senders.Sender
		var reason string
		for _, row := range rows {
			keys := senders.Keys{Secrets: []string{secret}}
			if row.Scheme.Needs().User {
				keys.User = "user"
			}
			if _, err := row.Scheme.Verifier(keys); err != nil {
				refusing = append(refusing, row)
				reason = err.Error()
			}
		}
		if 2*len(refusing) > len(rows) { // of the rows of Standard Webhooks, one takes any text
			list = append(list, fmt.Sprintf("Secret %d cannot be one of %s: %s.", i+1, namesOf(refusing), renumber(reason, i+1)))
		}
	}
	return list
}

// lookedLike says what had the form of a signature.
func (d diagnosis) lookedLike() string {
	var list []string
	for _, s := range signatures(d.r) {
		where := "the body's " + s.at.JSON
		if s.at.JSON == "" {
			where = s.at.Headers[0]
		}
		if s.at.Key != "" {
			where += " (" + s.at.Key + ")"
		}
		kind := "as of a private key"
		if algorithm := algorithms[len(s.bytes)]; algorithm != "" {
			kind = "as of HMAC-" + strings.ToUpper(algorithm)
		}
		if len(s.bytes) == ed25519.SignatureSize {
			kind += " or ed25519"
		}
		text := fmt.Sprintf("%s, %d bytes, %s", where, len(s.bytes), kind)
		if !slices.Contains(list, text) {
			list = append(list, text)
		}
	}
	if len(list) == 0 {
		return "No header field has the form of a signature (hex or base64 of 20, 32, 48 or 64 bytes), and none is the secret. The sender may not sign, or something took the signature away: compare with what it documents."
	}
	return "This looked like a signature: " + strings.Join(list, "; ") + "."
}
