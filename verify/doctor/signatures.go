// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

// algorithms are the hashes by the size of a MAC made with them.
var algorithms = map[int]string{20: "sha1", 32: "sha256", 48: "sha384", 64: "sha512"}

// A signature is a value of the request that has the form of one.
type signature struct {
	at    verify.Signature
	bytes []byte
}

// maxSignatures is how many values of a request are tried.
const maxSignatures = 24

// wordBefore is what senders put before a signature, such as sha256= or v1,
var wordBefore = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,23}(=|:|,| )`)

// signatures returns the values of the header and of the body that could be one.
func signatures(r *verify.Request) []signature {
	var list []signature
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		if values := r.Header[name]; len(values) == 1 {
			list = append(list, headerSignatures(name, values[0])...)
		}
	}
	for _, v := range jsonValues(r.Body) {
		last := strings.ToLower(v.path[strings.LastIndex(v.path, ".")+1:])
		if !containsAny(last, "sig", "hmac", "hash", "digest") {
			continue
		}
		if b, encoding, ok := decodeSignature(v.text); ok {
			list = append(list, signature{verify.Signature{JSON: v.path, Encoding: encoding}, b})
		}
	}
	return list[:min(len(list), maxSignatures)]
}

// headerSignatures returns the signatures in a field: the whole value, after a
// word, under a key, or in a list of these.
func headerSignatures(name, value string) (list []signature) {
	at := verify.Signature{Headers: []string{name}}
	if s, ok := readSignature(at, value); ok {
		return []signature{s}
	}
	for _, separator := range []string{" ", ",", ";"} {
		pieces := strings.Split(value, separator)
		// With "t=…, v1=…" the space is none.
		if len(pieces) < 2 || separator == " " && containsAny(value, ", ", "; ") {
			continue
		}
		found := false
		for _, piece := range pieces {
			piece = strings.Trim(piece, " \t")
			at := verify.Signature{Headers: []string{name}, Split: separator}
			if key, rest, ok := strings.Cut(piece, "="); ok && rest != "" && !strings.ContainsAny(key, " \t") {
				if b, encoding, ok := decodeSignature(rest); ok {
					at.Key, at.Encoding = key, encoding
					if separator == "," {
						at.Split = "" // the default
					}
					list, found = append(list, signature{at, b}), true
				}
				continue
			}
			if s, ok := readSignature(at, piece); ok {
				list, found = append(list, s), true
			}
		}
		if found {
			return list
		}
	}
	return list
}

// readSignature reads a value that is a signature, if need be after a word. A
// separator within the word is none: v1,… may be a list by " " only.
func readSignature(at verify.Signature, value string) (signature, bool) {
	if b, encoding, ok := decodeSignature(value); ok {
		at.Encoding = encoding
		return signature{at, b}, true
	}
	word := wordBefore.FindString(value)
	if word == "" || at.Split != "" && strings.Contains(word, at.Split) {
		return signature{}, false
	}
	b, encoding, ok := decodeSignature(value[len(word):])
	at.Prefix, at.Encoding = word, encoding
	return signature{at, b}, ok
}

// decodeSignature decodes hex and base64 that can be a MAC or an ed25519
// signature, by its size, or ECDSA's, by its first byte. The encoding is empty for
// hex, the default.
func decodeSignature(text string) (b []byte, encoding string, ok bool) {
	isOne := func(b []byte) bool {
		return algorithms[len(b)] != "" || len(b) >= 66 && len(b) <= 72 && b[0] == 0x30
	}
	if b, ok := decodeHex(text); ok && isOne(b) {
		return b, "", true
	}
	if b, ok := decodeBase64(text); ok && isOne(b) && !strings.ContainsAny(text, "-_") {
		return b, "base64", true
	}
	return nil, "", false
}

func containsAny(text string, words ...string) bool {
	return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(text, word) })
}
