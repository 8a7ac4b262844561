// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Sign makes r what the sender would send at now: it sets the signature with the
// first secret, the timestamp and the id where the configuration has them, in
// r.Header, which is not nil, or as JSON in r.Body, which is then written anew.
// Of several signature headers it sets the first. It is an error if r lacks
// something else that is signed, and if the id is none that a verifier takes; a
// scheme without an id passes over it.
func (c HMACConfig) Sign(r *Request, id string, now time.Time) error {
	v, err := NewHMAC(c)
	if err != nil {
		return err
	}
	newHash, _, err := algorithm(c.Algorithm)
	if err != nil {
		return err
	}
	keys, err := c.keys(newHash)
	if err != nil {
		return err
	}
	return v.signed.sign(r, id, now, keys[0].sum)
}

// sign sets what the scheme reads. Sum returns the signature of the
// concatenation of parts.
func (s *signed) sign(r *Request, id string, now time.Time, sum func(parts [][]byte) []byte) error {
	if r.Header == nil {
		return errors.New("signing a request without a header")
	}
	own := ownValues{url: s.publicURL}
	if s.id.exists() {
		if !validID(id) {
			return fmt.Errorf("id: expected 1 to %d characters of printable ASCII, without spaces", maxID)
		}
		own.id = id
		if err := set(r, s.id.header, s.id.json, id); err != nil {
			return fmt.Errorf("id: %w", err)
		}
	}
	if s.timestamp != nil {
		own.timestamp = formatTimestamp(now, s.timestamp.unit)
		if err := set(r, s.timestamp.header, s.timestamp.json, own.timestamp); err != nil {
			return fmt.Errorf("timestamp: %w", err)
		}
	}
	parts, err := s.template.render(r, &own, new(scratch))
	if err != nil {
		return err
	}
	text := s.format.encode(sum(parts))
	if s.timestamp != nil && s.timestamp.key != "" {
		text = s.timestamp.key + "=" + own.timestamp + s.format.split + text
	}
	var header string
	if s.json == nil {
		header = s.headers[0]
	}
	if err := set(r, header, s.json, text); err != nil {
		return fmt.Errorf("signature: %w", err)
	}
	return nil
}

// set sets a header field or a value in the body, whichever there is.
func set(r *Request, header string, path *JSONPath, value string) (err error) {
	switch {
	case header != "":
		r.Header.Set(header, value)
	case path != nil:
		r.Body, err = path.set(r.Body, value)
	}
	return err
}

// encode returns the signature as the sender writes it.
func (f signatureFormat) encode(signature []byte) string {
	lead := f.prefix
	if f.key != "" {
		lead = f.key + "="
	}
	if f.encoding == "base64" {
		return lead + base64.StdEncoding.EncodeToString(signature)
	}
	return lead + hex.EncodeToString(signature)
}

// formatTimestamp is the reverse of [parseTimestamp].
func formatTimestamp(t time.Time, unit string) string {
	switch unit {
	case "s":
		return strconv.FormatInt(t.Unix(), 10)
	case "ms":
		return strconv.FormatInt(t.UnixMilli(), 10)
	default:
		return t.UTC().Format(time.RFC3339)
	}
}
