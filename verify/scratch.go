// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"encoding/base64"
	"encoding/hex"
	"slices"
	"sync"
)

// A scratch is the room that one verification works in. It is used again, which
// saves an ordinary verification all of its allocations. Nothing that a verifier
// returns points into it.
type scratch struct {
	text       []byte // what the parts and signatures that are not the body's point into
	parts      [][]byte
	varying    [][]byte
	signatures [][]byte
	macs       [][]byte // of them, where there are both
	candidates []candidate
	attempts   []attempt
	members    jsonMembers
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

func newScratch() *scratch { return scratches.Get().(*scratch) }

// maxScratch is the most text that is kept for the next verification.
const maxScratch = 16 << 10

// free gives the scratch back, empty: it neither keeps a request from being
// collected nor shows it to the next.
func (s *scratch) free() {
	if cap(s.text) > maxScratch {
		return
	}
	s.text = emptied(s.text)
	s.parts = emptied(s.parts)
	s.varying = emptied(s.varying)
	s.signatures = emptied(s.signatures)
	s.macs = emptied(s.macs)
	s.candidates = emptied(s.candidates)
	s.attempts = emptied(s.attempts)
	s.members = emptied(s.members)
	scratches.Put(s)
}

func emptied[T any](list []T) []T {
	clear(list)
	return list[:0]
}

// bytes returns a copy of text.
func (s *scratch) bytes(text string) []byte {
	from := len(s.text)
	s.text = append(s.text, text...)
	return s.since(from)
}

// since returns the text from there on. What is added later is not in it, also
// by append.
func (s *scratch) since(from int) []byte { return s.text[from:len(s.text):len(s.text)] }

// decodeHex decodes hex in either case.
func (s *scratch) decodeHex(text string) (_ []byte, ok bool) {
	from := len(s.text)
	var err error
	s.text, err = hex.AppendDecode(s.text, []byte(text))
	return s.since(from), err == nil
}

// The encodings in strict mode, which refuses stray bits in the last digit. Made
// for each request, they would be copied, tables and all.
var (
	strictPadded   = base64.StdEncoding.Strict()
	strictUnpadded = base64.RawStdEncoding.Strict()
)

// decodeBase64 decodes what encodes exactly size bytes in the standard
// alphabet, padded or not.
func (s *scratch) decodeBase64(text string, size int) (_ []byte, ok bool) {
	encoding := strictPadded
	if len(text) != encoding.EncodedLen(size) {
		encoding = strictUnpadded
	}
	if len(text) != encoding.EncodedLen(size) {
		return nil, false
	}
	from := len(s.text)
	s.text = slices.Grow(s.text, encoding.DecodedLen(len(text)))
	n, err := encoding.Decode(s.text[from:cap(s.text)], []byte(text))
	s.text = s.text[:from+n]
	// The decoder passes over line breaks, and then decodes too few bytes.
	return s.since(from), err == nil && n == size
}

// decodeBase64 is that of a scratch of its own.
func decodeBase64(text string, size int) ([]byte, bool) {
	return new(scratch).decodeBase64(text, size)
}
