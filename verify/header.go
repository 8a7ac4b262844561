// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// single returns the value of a header field that must be there exactly once
// and not be empty. Proxies and applications disagree about which of two
// values counts, so that two are never what the sender meant. The name is in
// canonical form.
func single(h http.Header, name string) (string, error) { return one(h[name], name) }

// one is single for the values of a header field.
func one(values []string, name string) (string, error) {
	switch {
	case len(values) > 1:
		return "", fmt.Errorf("header %s given %d times: %w", name, len(values), ErrMalformed)
	case len(values) == 0 || values[0] == "":
		return "", &fieldError{name, ErrMissing}
	default:
		return values[0], nil
	}
}

// maxID is the length in bytes of the longest id.
const maxID = 256

// validID reports whether an id is of a size and in characters that logs and
// keys can bear: printable ASCII without spaces.
func validID(id string) bool {
	if id == "" || len(id) > maxID {
		return false
	}
	for i := range len(id) {
		if id[i] <= ' ' || id[i] > '~' {
			return false
		}
	}
	return true
}

// headerName returns the canonical form of a header field name from the
// configuration.
func headerName(name string) (string, error) {
	if name == "" {
		return "", errors.New("a header name is empty")
	}
	for i := range len(name) {
		c := name[i]
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		digit := '0' <= c && c <= '9'
		if !letter && !digit && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			// Without quoting it: with the two swapped, it is a token.
			return "", errors.New("not a header name: expected letters, digits, - and the like")
		}
	}
	return http.CanonicalHeaderKey(name), nil
}
