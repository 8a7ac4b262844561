// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// A signed is what schemes have in common that sign a template: [HMAC] and
// [PublicKey]. It finds the signature, the timestamp and the id and puts
// together what was signed; whether the signature is right is up to its keys.
type signed struct {
	keys      signatureKeys
	headers   []string  // canonical names, any of which may hold signatures
	json      *JSONPath // where the signature is in the body instead; nil: in a header
	format    signatureFormat
	template  template
	id        idSource
	timestamp *timestampSource // nil: none
	publicURL publicURL
}

// signatureKeys check signatures.
type signatureKeys interface {
	// match reports whether any of the signatures is one of the concatenation of
	// parts under any of the keys.
	match(signatures, parts [][]byte) bool
}

// An idSource says where the id is: in a header, in the body, or nowhere.
type idSource struct {
	header string // canonical name
	json   *JSONPath
}

func (s idSource) exists() bool { return s.header != "" || s.json != nil }

// verify implements [Verifier.Verify].
func (s *signed) verify(r *Request, now time.Time) (Claims, error) {
	room := newScratch()
	defer room.free()
	sent, err := s.readHeader(r.Header, room)
	if err != nil {
		return Claims{}, err
	}
	if s.json != nil {
		value, err := s.json.Lookup(r.Body)
		if err != nil {
			return Claims{}, err
		}
		c, err := s.readSignature(value, sent.timestamp, room)
		if err != nil {
			return Claims{}, fmt.Errorf("JSON value %s %w", s.json, err)
		}
		room.candidates = append(room.candidates, c)
	}
	var refusal error
	for _, c := range room.candidates {
		claims, err := s.try(r, ownValues{id: sent.id, timestamp: c.timestamp}, c.signatures, now, room)
		if err == nil {
			return claims, nil
		}
		refusal = furthest(refusal, err)
	}
	return Claims{}, refusal
}

// checkHeader implements [HeaderChecker]. A signature in the body is not checked.
func (s *signed) checkHeader(r *Request) error {
	room := newScratch()
	defer room.free()
	_, err := s.readHeader(r.Header, room)
	return err
}

// traits implements [Verifier.Traits].
func (s *signed) traits() Traits {
	t := Traits{
		ID:      s.id.exists(),
		Covers:  s.covers,
		Headers: append([]string(nil), s.headers...),
	}
	if s.id.header != "" {
		t.Headers = append(t.Headers, s.id.header)
	}
	if s.timestamp != nil {
		t.Timestamp = true
		t.Tolerance = s.timestamp.tolerance
		if s.timestamp.header != "" {
			t.Headers = append(t.Headers, s.timestamp.header)
		}
	}
	return t
}

func (s *signed) covers(name string) bool {
	if header, ok := strings.CutPrefix(name, headerPlaceholder); ok {
		header, err := headerName(header)
		return err == nil && (header == s.id.header ||
			s.timestamp != nil && header == s.timestamp.header ||
			s.template.coversHeader(header))
	}
	if name == "body" {
		return s.template.has(partBody)
	}
	return s.template.covers(name)
}

// A sentHeader is what the header of a request says.
type sentHeader struct {
	id        string // empty if it is in the body
	timestamp string // empty unless it has a header field of its own
}

// A candidate is what one place says that holds signatures.
type candidate struct {
	signatures [][]byte
	timestamp  string // empty if it is in the body
}

// readHeader reads what the scheme has in the header. There is one of
// room.candidates for each signature header, and none if it is in the body.
func (s *signed) readHeader(h http.Header, room *scratch) (sent sentHeader, err error) {
	if s.id.header != "" {
		if sent.id, err = single(h, s.id.header); err != nil {
			return sentHeader{}, err
		}
		if !validID(sent.id) {
			return sentHeader{}, &fieldError{s.id.header, ErrMalformed}
		}
	}
	if s.timestamp != nil && s.timestamp.header != "" {
		if sent.timestamp, err = single(h, s.timestamp.header); err != nil {
			return sentHeader{}, err
		}
		if err := s.timestamp.check(sent.timestamp); err != nil {
			return sentHeader{}, err
		}
	}
	var refusal error
	for _, name := range s.headers {
		value, err := single(h, name)
		if len(h[name]) > 1 {
			return sentHeader{}, err // whatever the alternatives say
		}
		if err != nil {
			refusal = furthest(refusal, err)
			continue
		}
		c, err := s.readSignature(value, sent.timestamp, room)
		if err != nil {
			refusal = furthest(refusal, fmt.Errorf("header %s %w", name, err))
			continue
		}
		room.candidates = append(room.candidates, c)
	}
	if len(room.candidates) == 0 {
		return sent, refusal // none if the signature is in the body
	}
	return sent, nil
}

// readSignature reads a value that holds signatures. Timestamp is that of the
// header.
func (s *signed) readSignature(value, timestamp string, room *scratch) (c candidate, err error) {
	if c.signatures, err = s.format.signatures(value, room); err != nil {
		return candidate{}, err
	}
	c.timestamp = timestamp
	if s.timestamp != nil && s.timestamp.key != "" {
		if c.timestamp, err = s.format.value(value, s.timestamp.key); err != nil {
			return candidate{}, err
		}
		if err := s.timestamp.check(c.timestamp); err != nil {
			return candidate{}, err
		}
	}
	return c, nil
}

// try checks one candidate. The signature comes before the timestamp's age, and
// before the body is parsed unless what is signed depends on it.
func (s *signed) try(r *Request, own ownValues, signatures [][]byte, now time.Time, room *scratch) (Claims, error) {
	own, err := s.readBody(own, r.Body, true)
	if err != nil {
		return Claims{}, err
	}
	own.url = s.publicURL
	parts, err := s.template.render(r, &own, room)
	if err != nil {
		return Claims{}, err
	}
	if !s.keys.match(signatures, parts) {
		return Claims{}, errSignature
	}
	if own, err = s.readBody(own, r.Body, false); err != nil {
		return Claims{}, err
	}
	if s.id.json != nil && !validID(own.id) {
		return Claims{}, fmt.Errorf("JSON value %s: %w", s.id.json, ErrMalformed)
	}
	claims := Claims{ID: own.id, Content: s.template.content(r, parts, room)}
	if s.timestamp == nil {
		return claims, nil
	}
	if err := s.timestamp.check(own.timestamp); err != nil {
		return Claims{}, err
	}
	claims.Timestamp, _ = parseTimestamp(own.timestamp, s.timestamp.unit)
	if !fresh(claims.Timestamp, now, s.timestamp.tolerance) {
		return Claims{}, errExpired
	}
	return claims, nil
}

// readBody adds the id and the timestamp that are in the body: those that the
// template names, or those that it does not, which {body} covers.
func (s *signed) readBody(own ownValues, body []byte, named bool) (_ ownValues, err error) {
	if s.id.json != nil && s.template.has(partID) == named {
		if own.id, err = s.id.json.Lookup(body); err != nil {
			return own, err
		}
	}
	if s.timestamp != nil && s.timestamp.json != nil && s.template.has(partTimestamp) == named {
		if own.timestamp, err = s.timestamp.json.Lookup(body); err != nil {
			return own, err
		}
	}
	return own, nil
}
