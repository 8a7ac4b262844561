// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"encoding/base64"
	"slices"
	"strings"

	"github.com/caddy-webhook-inbox/inbox/verify"
	"github.com/caddy-webhook-inbox/inbox/verify/senders"
)

// senders returns the finding for the sender of the table that accepts the
// request. Of several, it is the one of which the request has most to say; the
// others are named in Like.
func (d diagnosis) senders() []Finding {
	var findings []Finding
	for _, row := range d.rows {
		if f, ok := d.trySender(row); ok {
			f.Name = row.Name
			findings = append(findings, f)
		}
	}
	slices.SortStableFunc(findings, func(a, b Finding) int {
		return cmp.Compare(d.speaksOf(b), d.speaksOf(a))
	})
	if len(findings) == 0 {
		return nil
	}
	best := findings[0]
	for _, f := range findings[1:] {
		best.Like = append(best.Like, f.Name)
	}
	return []Finding{d.anyone(best)}
}

// anyone returns f, unless the request says nothing of that sender and everyone may
// sign like it: then it is the scheme alone, and the sender one of those that it is
// like. A token is then what stands where it was found.
func (d diagnosis) anyone(f Finding) Finding {
	if d.traces(d.row(f.Name)) > 0 || !isGeneric(f.Scheme) {
		return f
	}
	like := append([]string{f.Name}, f.Like...)
	if isToken(f.Scheme) {
		if tokens := d.tokens(); len(tokens) > 0 {
			f = tokens[0]
		}
	}
	f.Name, f.Like = "", like
	return f
}

// isToken reports whether a scheme is one of those that sign nothing.
func isToken(scheme senders.Scheme) bool {
	switch scheme.(type) {
	case senders.Token, senders.Bearer, senders.Basic:
		return true
	default:
		return false
	}
}

// trySender tries one sender with each secret and, if the URL is signed, with each
// URL that it may be.
func (d diagnosis) trySender(row senders.Sender) (Finding, bool) {
	needs := row.Scheme.Needs()
	keys := senders.Keys{}
	if needs.User {
		keys.User = basicUser(d.r)
	}
	origins := []string{""}
	if needs.URL {
		origins = d.origins
	}
	for i, secret := range d.secrets {
		for _, keys.PublicURL = range origins {
			keys.Secrets = []string{secret}
			if f, ok := d.try(row.Scheme, keys); ok {
				f.Secret = i + 1
				return f, true
			}
		}
	}
	return Finding{}, false
}

// speaksOf says how much of the request is about a sender. Of schemes that prove
// different things, one that signs counts more.
func (d diagnosis) speaksOf(f Finding) int {
	score := d.traces(d.row(f.Name))
	if !isToken(f.Scheme) {
		score += 16
	}
	return score
}

func (d diagnosis) row(name string) senders.Sender {
	i := slices.IndexFunc(d.rows, func(row senders.Sender) bool { return row.Name == name })
	if i < 0 {
		return senders.Sender{}
	}
	return d.rows[i]
}

// basicUser returns the user of Authorization: Basic, which is no secret.
func basicUser(r *verify.Request) string {
	user, _ := basicCredentials(r)
	return user
}

func basicCredentials(r *verify.Request) (user, password string) {
	name, rest, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(name, "Basic") {
		return "", ""
	}
	b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(rest))
	if err != nil {
		return "", ""
	}
	user, password, _ = strings.Cut(string(b), ":")
	return user, password
}
