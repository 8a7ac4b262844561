// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"regexp"
	"strings"
)

// A secretKey is one way to read a secret.
type secretKey struct {
	number   int    // of the secret, from 1
	text     string // what is configured
	encoding string // as verify.Secret has it; empty for raw
	bytes    []byte

	// altered says what was done to the secret as it was given; empty if nothing.
	altered string
}

// keysOf returns the ways to read the secrets as they were given.
func keysOf(secrets []string) []secretKey {
	var list []secretKey
	for i, text := range secrets {
		list = append(list, readings(secretKey{number: i + 1, text: text})...)
	}
	return list
}

// readings returns the encodings that the text of k can have.
func readings(k secretKey) []secretKey {
	if k.text == "" {
		return nil
	}
	list := []secretKey{k.with("", []byte(k.text))}
	if b, ok := decodeHex(k.text); ok {
		list = append(list, k.with("hex", b))
	}
	if rest, ok := strings.CutPrefix(k.text, "whsec_"); ok {
		if b, ok := decodeBase64(rest); ok && len(b) > 0 && !strings.ContainsAny(rest, "-_") {
			list = append(list, k.with("whsec", b))
		}
	} else if b, ok := decodeBase64(k.text); ok && len(b) > 0 && !strings.ContainsAny(k.text, "-_") {
		list = append(list, k.with("base64", b))
	}
	return list
}

func (k secretKey) with(encoding string, b []byte) secretKey {
	k.encoding, k.bytes = encoding, b
	return k
}

var secretPrefix = regexp.MustCompile(`^[A-Za-z0-9]+_`)

// assignment is a line of a file with variables of the environment.
var assignment = regexp.MustCompile(`^(?:export )?[A-Za-z_][A-Za-z0-9_]*=(.*[^=].*)$`)

// maxAltered is how many lines of a file of such lines are tried.
const maxAltered = 16

// alteredSecrets returns the texts that a secret may have been meant to be, each
// with a sentence that says how it differs from what was given.
func alteredSecrets(number int, text string) []secretKey {
	var list []secretKey
	add := func(altered, why string) {
		if altered != text && altered != "" {
			list = append(list, secretKey{number: number, text: altered, altered: fmt.Sprintf(why, number)})
		}
	}
	trimmed := strings.TrimSpace(text)
	add(trimmed, "Secret %d has white space around it that does not belong to it: remove it.")
	add(strings.Trim(trimmed, `"'`), "Secret %d has quotation marks around it that do not belong to it: remove them.")
	for line := range strings.Lines(trimmed) {
		if m := assignment.FindStringSubmatch(strings.TrimSpace(line)); m != nil && len(list) < maxAltered {
			add(strings.Trim(m[1], `"'`), "Secret %d is a line such as NAME=value, of which the value alone is the secret: remove what stands before it.")
		}
	}
	if prefix := secretPrefix.FindString(trimmed); prefix != "" {
		add(trimmed[len(prefix):], "The key is what follows the prefix of secret %d, up to and including its first _: configure it without that prefix.")
	}
	for _, end := range []string{"\n", "\r\n"} {
		add(text+end, "The sender has secret %d with a line break at its end: set it there again, without one.")
	}
	return list
}
