// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// ID says where the id is, with exactly one of Header and JSON. A request
// without one is refused.
type ID struct {
	// Header is the name of a header field.
	Header string `json:"header,omitempty"`

	// JSON is a [JSONPath] into the body.
	JSON string `json:"json,omitempty"`
}

// signedConfig is what the configurations of [HMAC] and [PublicKey] have in
// common.
type signedConfig struct {
	signature Signature
	signed    string
	timestamp *Timestamp
	tolerance time.Duration
	id        *ID
	publicURL string
}

// newSigned checks the configuration. Sizes are those of a decoded signature.
func newSigned(config signedConfig, sizes sizes, keys signatureKeys) (s signed, err error) {
	s.keys = keys
	if err := s.setSignature(config.signature, sizes); err != nil {
		return s, fmt.Errorf("signature: %w", err)
	}
	if config.id != nil {
		if s.id, err = newID(*config.id); err != nil {
			return s, fmt.Errorf("id: %w", err)
		}
	}
	if err := s.setTimestamp(config.timestamp, config.tolerance); err != nil {
		return s, err
	}
	if err := s.setTemplate(config.signed); err != nil {
		return s, fmt.Errorf("signed: %w", err)
	}
	if config.publicURL != "" && !s.template.has(partURL) {
		return s, errors.New("public URL without {url} in signed, which it is for")
	}
	s.publicURL, err = parsePublicURL(config.publicURL)
	return s, err
}

func (s *signed) setSignature(config Signature, sizes sizes) (err error) {
	switch inHeader, inBody := len(config.Headers) > 0, config.JSON != ""; {
	case inHeader && inBody:
		return errors.New("header and json exclude each other")
	case inBody:
		path, err := ParseJSONPath(config.JSON)
		if err != nil {
			return err
		}
		s.json = &path
	case !inHeader:
		return errors.New("no header")
	}
	for _, name := range config.Headers {
		canonical, err := headerName(name)
		if err != nil {
			return err
		}
		if slices.Contains(s.headers, canonical) {
			return fmt.Errorf("header %s is named twice", canonical)
		}
		s.headers = append(s.headers, canonical)
	}
	s.format, err = newSignatureFormat(config, sizes)
	return err
}

func newID(config ID) (s idSource, err error) {
	switch {
	case config.Header != "" && config.JSON != "":
		return s, errors.New("header and json exclude each other")
	case config.JSON != "":
		path, err := ParseJSONPath(config.JSON)
		s.json = &path
		return s, err
	default:
		s.header, err = headerName(config.Header)
		return s, err
	}
}

func (s *signed) setTimestamp(config *Timestamp, tolerance time.Duration) error {
	switch {
	case config == nil && tolerance != 0:
		return errors.New("tolerance without a timestamp")
	case config == nil:
		return nil
	case tolerance < 0:
		return errors.New("tolerance is negative")
	case tolerance == 0:
		tolerance = DefaultTolerance
	}
	t, err := newTimestamp(*config, s.format)
	if err != nil {
		return fmt.Errorf("timestamp: %w", err)
	}
	t.tolerance = tolerance
	s.timestamp = t
	return nil
}

// setTemplate comes last: it says whether what the others name is covered.
func (s *signed) setTemplate(text string) (err error) {
	if text == "" {
		text = "{body}"
	}
	var timestampHeader string
	if s.timestamp != nil {
		timestampHeader = s.timestamp.header
	}
	if s.template, err = parseTemplate(text, s.id.header, timestampHeader); err != nil {
		return err
	}
	body, id, timestamp := s.template.has(partBody), s.template.has(partID), s.template.has(partTimestamp)
	switch {
	case s.json == nil && !body:
		return errors.New("{body} is not in it, so that anyone could change the body")
	case s.json != nil && body:
		return errors.New("{body} is in it, which holds the signature itself")
	case id && !s.id.exists():
		return errors.New("{id} without an id")
	case timestamp && s.timestamp == nil:
		return errors.New("{timestamp} without a timestamp")
	case s.id.header != "" && !id:
		return fmt.Errorf("{id} is not in it, so that anyone could change %s", s.id.header)
	case s.id.json != nil && !id && !body:
		return fmt.Errorf("{id} is not in it, so that anyone could change %s", s.id.json)
	case s.timestamp != nil && !timestamp && (s.timestamp.json == nil || !body):
		return errors.New("{timestamp} is not in it, so that anyone could change the timestamp")
	case !body && !id && !timestamp:
		return errors.New("neither {id} nor {timestamp} is in it, so that one signature would do for every message")
	}
	return s.template.delimit()
}
