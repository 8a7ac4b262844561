// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"crypto/sha256"
	"encoding/binary"
)

// The forms of content, which keep a hash of one from ever being that of
// another. Hashes outlive the process as deduplication keys: a changed form
// makes every message new.
const (
	formStandard = "standard"     // id, body
	formSigned   = "signed parts" // the template's parts but for the timestamp
	formRequest  = "request"      // method, URI, body
	formTwilio   = "twilio"       // what is signed, in one part
	formHubSpot  = "hubspot"      // what is signed, in one part
	formAdyen    = "adyen"        // what is signed of the item, in one part
)

// content returns the content that parts are, unless nobody asks for it: hashing
// it costs as much as verifying a short message.
func (r *Request) content(form string, parts ...[]byte) [sha256.Size]byte {
	if r.NoContent {
		return [sha256.Size]byte{}
	}
	return contentOf(form, parts...)
}

// contentOf hashes parts so that no two lists of them have the same input:
// each goes in after its length.
func contentOf(form string, parts ...[]byte) (sum [sha256.Size]byte) {
	h := sha256.New()
	var length [8]byte
	write := func(part []byte) {
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		h.Write(length[:])
		h.Write(part)
	}
	write([]byte(form))
	for _, part := range parts {
		write(part)
	}
	h.Sum(sum[:0])
	return sum
}

// unsignedContent is the content of a request of which nothing is signed.
func unsignedContent(r *Request) [sha256.Size]byte {
	return r.content(formRequest, []byte(r.Method), []byte(r.URI), r.Body)
}
