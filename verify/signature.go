// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
)

// Signature says where the signature is and how it is written.
type Signature struct {
	// Headers are the names of the header that holds it. Several are
	// alternatives: each that is there is tried. There are either headers or JSON.
	Headers []string `json:"headers,omitempty"`

	// JSON is a [JSONPath] to it in the body, of which it then covers no more
	// than an id and a timestamp.
	JSON string `json:"json,omitempty"`

	// Prefix is what stands before each signature, such as "sha256=". One
	// without it is none.
	Prefix string `json:"prefix,omitempty"`

	// Key picks the signatures out of a text such as t=…,v1=…,v1=…: here it
	// is v1. There is either a prefix or a key.
	Key string `json:"key,omitempty"`

	// Encoding is hex, the default, or base64.
	Encoding string `json:"encoding,omitempty"`

	// Split is what stands between signatures, if there can be several.
	// With a key it is "," by default.
	Split string `json:"split,omitempty"`
}

// maxCandidates is how many signatures one header may hold. A sender that
// rotates its key sends two or three; each costs work.
const maxCandidates = 16

var errTooMany = fmt.Errorf("holds more than %d signatures: %w", maxCandidates, ErrMalformed)

// A signatureFormat reads and writes values that hold signatures.
type signatureFormat struct {
	prefix, key, split string
	encoding           string // hex or base64
	sizes              sizes
}

// sizes are those that a decoded signature may have, in bytes.
type sizes struct{ min, max int }

func (s sizes) has(n int) bool { return s.min <= n && n <= s.max }

func (s sizes) String() string {
	if s.min == s.max {
		return strconv.Itoa(s.max)
	}
	return fmt.Sprintf("%d to %d", s.min, s.max)
}

// newSignatureFormat checks all of config but where the signature is.
func newSignatureFormat(config Signature, sizes sizes) (signatureFormat, error) {
	f := signatureFormat{config.Prefix, config.Key, config.Split, config.Encoding, sizes}
	if f.encoding == "" {
		f.encoding = "hex"
	}
	if f.key != "" && f.split == "" {
		f.split = ","
	}
	switch {
	case f.encoding != "hex" && f.encoding != "base64":
		return f, fmt.Errorf("unknown encoding %q: expected hex or base64", f.encoding)
	case f.prefix != "" && f.key != "":
		return f, errors.New("prefix and key exclude each other")
	case f.prefix != strings.TrimLeft(f.prefix, " \t"):
		return f, errors.New("prefix begins with white space, which signatures never do")
	case f.split != "" && strings.Contains(f.prefix, f.split):
		return f, errors.New("prefix contains the separator of split")
	}
	if f.key != "" {
		return f, f.checkKey(f.key)
	}
	return f, nil
}

// checkKey reports why key can never stand before a "=" in the header.
func (f *signatureFormat) checkKey(key string) error {
	if key == "" || strings.ContainsAny(key, "= \t") || strings.Contains(key, f.split) {
		return fmt.Errorf("%q cannot be a key: expected text without \"=\", spaces and the separator", key)
	}
	return nil
}

// signatures returns all that could be a MAC in a header's value, at any
// position. What does not decode or has another length is skipped; if nothing
// is left the header is malformed, since no secret can have made it.
func (f *signatureFormat) signatures(value string, room *scratch) ([][]byte, error) {
	from, n := len(room.signatures), 0
	for piece := range f.pieces(value) {
		text, ok := f.pick(piece)
		if !ok {
			continue
		}
		if n++; n > maxCandidates {
			return nil, errTooMany
		}
		if signature, ok := f.decode(text, room); ok {
			room.signatures = append(room.signatures, signature)
		}
	}
	if len(room.signatures) == from {
		return nil, fmt.Errorf("holds no %s signature of %s bytes in the expected form: %w", f.encoding, f.sizes, ErrMalformed)
	}
	return room.signatures[from:], nil
}

// value returns what stands after "key=", which must be there exactly once.
func (f *signatureFormat) value(header, key string) (string, error) {
	var value string
	n := 0
	for piece := range f.pieces(header) {
		if k, v, ok := strings.Cut(piece, "="); ok && k == key {
			value = v
			n++
		}
	}
	switch {
	case n > 1:
		return "", fmt.Errorf("holds %q %d times: %w", key, n, ErrMalformed)
	case value == "":
		return "", fmt.Errorf("key %q: %w", key, ErrMissing)
	default:
		return value, nil
	}
}

// pieces splits a header's value and trims the pieces.
func (f *signatureFormat) pieces(value string) iter.Seq[string] {
	return func(yield func(string) bool) {
		if f.split == "" {
			yield(strings.Trim(value, " \t"))
			return
		}
		for piece := range strings.SplitSeq(value, f.split) {
			piece = strings.Trim(piece, " \t")
			if piece != "" && !yield(piece) {
				return
			}
		}
	}
}

// pick returns the encoded signature in a piece.
func (f *signatureFormat) pick(piece string) (string, bool) {
	if f.key != "" {
		key, value, ok := strings.Cut(piece, "=")
		return value, ok && key == f.key
	}
	return strings.CutPrefix(piece, f.prefix)
}

func (f *signatureFormat) decode(text string, room *scratch) ([]byte, bool) {
	if f.encoding == "base64" {
		size := base64.RawStdEncoding.DecodedLen(len(strings.TrimRight(text, "=")))
		if !f.sizes.has(size) {
			return nil, false
		}
		return room.decodeBase64(text, size)
	}
	if !f.sizes.has(hex.DecodedLen(len(text))) {
		return nil, false
	}
	return room.decodeHex(text)
}
