// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// HMAC verifies signatures that are an HMAC of the body and whatever else the
// sender puts around it, which is how most senders sign. [HMACConfig] says how
// one of them does.
type HMAC struct {
	keys      []*macKey
	headers   []string // canonical names, any of which may hold signatures
	format    signatureFormat
	template  template
	idHeader  string           // empty: none
	timestamp *timestampSource // nil: none
}

// A timestampSource says where the timestamp is: in a header, under a key of
// the signature header, or in the body.
type timestampSource struct {
	header, key string
	json        *JSONPath
	unit        string
	tolerance   time.Duration
}

var (
	_ Verifier      = (*HMAC)(nil)
	_ HeaderChecker = (*HMAC)(nil)
)

// Verify implements [Verifier].
func (v *HMAC) Verify(r *Request, now time.Time) (Claims, error) {
	header, err := v.readHeader(r.Header)
	if err != nil {
		return Claims{}, err
	}
	var refusal error
	for _, candidate := range header.candidates {
		claims, err := v.verify(r, header.id, candidate, now)
		if err == nil {
			return claims, nil
		}
		refusal = furthest(refusal, err)
	}
	return Claims{}, refusal
}

// CheckHeader implements [HeaderChecker].
func (v *HMAC) CheckHeader(r *Request, _ time.Time) error {
	_, err := v.readHeader(r.Header)
	return err
}

// Traits implements [Verifier].
func (v *HMAC) Traits() Traits {
	t := Traits{
		ID:      v.idHeader != "",
		Covers:  v.covers,
		Headers: append([]string(nil), v.headers...),
	}
	if v.idHeader != "" {
		t.Headers = append(t.Headers, v.idHeader)
	}
	if v.timestamp != nil {
		t.Timestamp = true
		t.Tolerance = v.timestamp.tolerance
		if v.timestamp.header != "" {
			t.Headers = append(t.Headers, v.timestamp.header)
		}
	}
	return t
}

func (v *HMAC) covers(name string) bool {
	if header, ok := strings.CutPrefix(name, headerPlaceholder); ok {
		header, err := headerName(header)
		return err == nil && (header == v.idHeader ||
			v.timestamp != nil && header == v.timestamp.header ||
			v.template.coversHeader(header))
	}
	return name == "body" || v.template.covers(name)
}

// signedHeader is what the header of a request says.
type signedHeader struct {
	id         string
	candidates []candidate // one for each signature header, at least one
}

// A candidate is what one signature header says.
type candidate struct {
	signatures [][]byte
	timestamp  string // empty if it is in the body
}

func (v *HMAC) readHeader(h http.Header) (header signedHeader, err error) {
	if v.idHeader != "" {
		if header.id, err = single(h, v.idHeader); err != nil {
			return signedHeader{}, err
		}
		if !validID(header.id) {
			return signedHeader{}, fmt.Errorf("header %s: %w", v.idHeader, ErrMalformed)
		}
	}
	var timestamp string
	if v.timestamp != nil && v.timestamp.header != "" {
		if timestamp, err = single(h, v.timestamp.header); err != nil {
			return signedHeader{}, err
		}
		if err := v.checkTimestamp(timestamp); err != nil {
			return signedHeader{}, err
		}
	}
	var refusal error
	for _, name := range v.headers {
		value, err := single(h, name)
		if len(h[name]) > 1 {
			return signedHeader{}, err // whatever the alternatives say
		}
		if err != nil {
			refusal = furthest(refusal, err)
			continue
		}
		c, err := v.readSignature(value, timestamp)
		if err != nil {
			refusal = furthest(refusal, fmt.Errorf("header %s %w", name, err))
			continue
		}
		header.candidates = append(header.candidates, c)
	}
	if len(header.candidates) == 0 {
		return signedHeader{}, refusal
	}
	return header, nil
}

func (v *HMAC) readSignature(value, timestamp string) (c candidate, err error) {
	if c.signatures, err = v.format.signatures(value); err != nil {
		return candidate{}, err
	}
	c.timestamp = timestamp
	if v.timestamp != nil && v.timestamp.key != "" {
		if c.timestamp, err = v.format.value(value, v.timestamp.key); err != nil {
			return candidate{}, err
		}
		if err := v.checkTimestamp(c.timestamp); err != nil {
			return candidate{}, err
		}
	}
	return c, nil
}

// verify tries one signature header. The MAC comes before the timestamp's age,
// and before the body is parsed unless what is signed depends on it.
func (v *HMAC) verify(r *Request, id string, c candidate, now time.Time) (Claims, error) {
	inBody := v.timestamp != nil && v.timestamp.json != nil
	var err error
	if inBody && v.template.has(partTimestamp) {
		if c.timestamp, err = v.timestamp.json.Lookup(r.Body); err != nil {
			return Claims{}, err
		}
	}
	parts, err := v.template.render(r, ownValues{id: id, timestamp: c.timestamp})
	if err != nil {
		return Claims{}, err
	}
	if !matches(v.keys, c.signatures, parts) {
		return Claims{}, fmt.Errorf("signature: %w", ErrMismatch)
	}
	claims := Claims{ID: id, Content: v.template.content(parts)}
	if v.timestamp == nil {
		return claims, nil
	}

	if inBody && c.timestamp == "" {
		if c.timestamp, err = v.timestamp.json.Lookup(r.Body); err != nil {
			return Claims{}, err
		}
	}
	if err := v.checkTimestamp(c.timestamp); err != nil {
		return Claims{}, err
	}
	claims.Timestamp, _ = parseTimestamp(c.timestamp, v.timestamp.unit)
	if !fresh(claims.Timestamp, now, v.timestamp.tolerance) {
		return Claims{}, fmt.Errorf("timestamp: %w", ErrExpired)
	}
	return claims, nil
}

func (v *HMAC) checkTimestamp(text string) error {
	if _, ok := parseTimestamp(text, v.timestamp.unit); !ok {
		return fmt.Errorf("timestamp: %w", ErrMalformed)
	}
	return nil
}
