// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"slices"
	"strings"
	"unicode"

	"github.com/caddy-webhook-inbox/inbox/verify/senders"
)

// genericWords are in the names of header fields that any sender may use.
var genericWords = []string{
	"x", "http", "webhook", "webhooks", "hook", "hub", "svix", "standard", "signature", "hmacsignature", "sig", "hmac",
	"hash", "digest", "sha1", "sha256", "sha512", "256", "ed25519", "token", "secret", "auth", "authorization",
	"request", "timestamp", "time", "id", "event", "message", "delivery", "v1", "v2", "v3",
}

// productWords tell the products of one sender apart in the names of the table.
var productWords = []string{"events", "platform", "signing", "v1", "v2"}

// traces says how much of the request is about a sender; zero if nothing is: the
// User-Agent, header fields with its name, a field for its signature that is of no
// other, and the id that it has in one. That its signature is right is no trace of
// it, where others sign alike.
func (d diagnosis) traces(row senders.Sender) int {
	score := 0
	if word := ownWord(row.Name); word != "" {
		if speaksIn(d.r.Header.Get("User-Agent"), word) {
			score += 8
		}
		for field := range d.r.Header {
			if speaksIn(field, word) {
				score += 2
			}
		}
	}
	for _, field := range Headers(row.Scheme) {
		if d.r.Header.Get(field) != "" && isSpecific(field) {
			score += 4
		}
	}
	for _, id := range row.MessageID {
		if id.Header != "" && d.r.Header.Get(id.Header) != "" {
			score += 4
		}
	}
	if jwt, ok := row.Scheme.(senders.JWT); ok && jwt.Config.Issuer != "" {
		score += 4 // that the token names, or it would not verify
	}
	return score
}

// ownWord is the name of a sender as others write it, empty if it is generic.
func ownWord(name string) string {
	var words []string
	for word := range strings.SplitSeq(name, "_") {
		if !slices.Contains(genericWords, word) && !slices.Contains(productWords, word) {
			words = append(words, word)
		}
	}
	return strings.Join(words, "")
}

// speaksIn reports whether a text names a sender. Short names must stand alone: line
// is no part of online.
func speaksIn(text, word string) bool {
	segments := strings.FieldsFunc(strings.ToLower(text), func(c rune) bool { return !unicode.IsLetter(c) && !unicode.IsDigit(c) })
	return slices.Contains(segments, word) || len(word) > 4 && strings.Contains(strings.Join(segments, ""), word)
}

// isSpecific reports whether the name of a header field holds more than the words
// that any sender may use.
func isSpecific(field string) bool {
	return slices.ContainsFunc(strings.Split(strings.ToLower(field), "-"), func(word string) bool {
		return !slices.Contains(genericWords, word)
	})
}

// isGeneric reports whether a verify without the sender's name can say the scheme.
func isGeneric(scheme senders.Scheme) bool {
	switch s := scheme.(type) {
	case senders.Standard:
		return !s.LeadingZeros
	case senders.HMAC, senders.PublicKey, senders.Token, senders.Bearer, senders.Basic, senders.JWT:
		return true
	default:
		return false
	}
}
