// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"hash"
	"slices"
	"time"
)

// HMACConfig configures [NewHMAC]. The zero value of a field is its default.
type HMACConfig struct {
	// Secrets are the keys of which any may have signed, at least one. Their
	// default encoding is raw.
	Secrets []Secret `json:"secrets"`

	// Algorithm is the hash: sha1, sha256 (the default), sha384 or sha512.
	Algorithm string `json:"algorithm,omitempty"`

	// Signature says where the signature is.
	Signature Signature `json:"signature"`

	// Signed is the template of what is signed, by default {body}, which it
	// always contains. {id} and {timestamp} are those of the fields below. Any
	// other placeholder is one of the request, by its full name, such as
	// {http.request.method}; a request that does not have it is refused.
	Signed string `json:"signed,omitempty"`

	// Timestamp says where the timestamp is, if there is one. Signed must
	// cover it.
	Timestamp *Timestamp `json:"timestamp,omitempty"`

	// Tolerance is how far the timestamp may be from now, either way, by
	// default 5 minutes. Without a timestamp it is an error.
	Tolerance time.Duration `json:"tolerance,omitempty"`

	// ID says where the id is, if there is one. Signed must cover it.
	ID *ID `json:"id,omitempty"`
}

// Timestamp says where the timestamp is, with exactly one of Header, Key and
// JSON.
type Timestamp struct {
	// Header is the name of a header field.
	Header string `json:"header,omitempty"`

	// Key is a key in the signature header, such as t in t=…,v1=….
	Key string `json:"key,omitempty"`

	// JSON is a [JSONPath] into the body.
	JSON string `json:"json,omitempty"`

	// Unit is s (seconds since 1970, the default), ms or rfc3339.
	Unit string `json:"unit,omitempty"`
}

// ID says where the id is.
type ID struct {
	// Header is the name of a header field.
	Header string `json:"header"`
}

// NewHMAC returns the verifier that config describes.
func NewHMAC(config HMACConfig) (*HMAC, error) {
	newHash, size, err := algorithm(config.Algorithm)
	if err != nil {
		return nil, err
	}
	v := &HMAC{}
	if err := v.addKeys(config.Secrets, newHash); err != nil {
		return nil, err
	}
	if err := v.setSignature(config.Signature, size); err != nil {
		return nil, fmt.Errorf("signature: %w", err)
	}
	if config.ID != nil {
		if v.idHeader, err = headerName(config.ID.Header); err != nil {
			return nil, fmt.Errorf("id: %w", err)
		}
	}
	if err := v.setTimestamp(config.Timestamp, config.Tolerance); err != nil {
		return nil, err
	}
	if err := v.setTemplate(config.Signed); err != nil {
		return nil, fmt.Errorf("signed: %w", err)
	}
	return v, nil
}

func algorithm(name string) (newHash func() hash.Hash, size int, err error) {
	switch name {
	case "sha1":
		return sha1.New, sha1.Size, nil
	case "", "sha256":
		return sha256.New, sha256.Size, nil
	case "sha384":
		return sha512.New384, sha512.Size384, nil
	case "sha512":
		return sha512.New, sha512.Size, nil
	default:
		return nil, 0, fmt.Errorf("unknown algorithm %q: expected sha1, sha256, sha384 or sha512", name)
	}
}

func (v *HMAC) addKeys(secrets []Secret, newHash func() hash.Hash) error {
	if len(secrets) == 0 {
		return errors.New("no secrets")
	}
	for i, secret := range secrets {
		if secret.Encoding == "" {
			secret.Encoding = "raw"
		}
		key, err := secret.decode()
		if err != nil {
			return fmt.Errorf("secret %d %w", i+1, err)
		}
		v.keys = append(v.keys, newMACKey(newHash, key))
	}
	return nil
}

func (v *HMAC) setSignature(config Signature, size int) (err error) {
	if len(config.Headers) == 0 {
		return errors.New("no header")
	}
	for _, name := range config.Headers {
		canonical, err := headerName(name)
		if err != nil {
			return err
		}
		if slices.Contains(v.headers, canonical) {
			return fmt.Errorf("header %s is named twice", canonical)
		}
		v.headers = append(v.headers, canonical)
	}
	v.format, err = newSignatureFormat(config, size)
	return err
}

func (v *HMAC) setTimestamp(config *Timestamp, tolerance time.Duration) error {
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
	t, err := newTimestamp(*config, v.format)
	if err != nil {
		return fmt.Errorf("timestamp: %w", err)
	}
	t.tolerance = tolerance
	v.timestamp = t
	return nil
}

func newTimestamp(config Timestamp, format signatureFormat) (t *timestampSource, err error) {
	t = &timestampSource{key: config.Key, unit: config.Unit}
	if t.unit == "" {
		t.unit = "s"
	}
	if !slices.Contains([]string{"s", "ms", "rfc3339"}, t.unit) {
		return nil, fmt.Errorf("unknown unit %q: expected s, ms or rfc3339", t.unit)
	}
	switch given := [3]bool{config.Header != "", config.Key != "", config.JSON != ""}; given {
	case [3]bool{true, false, false}:
		t.header, err = headerName(config.Header)
		return t, err
	case [3]bool{false, true, false}:
		if format.key == "" {
			return nil, errors.New("key without a key for the signature")
		}
		if t.key == format.key {
			return nil, errors.New("its key is that of the signature")
		}
		return t, format.checkKey(t.key)
	case [3]bool{false, false, true}:
		path, err := ParseJSONPath(config.JSON)
		t.json = &path
		return t, err
	default:
		return nil, errors.New("expected exactly one of header, key and json")
	}
}

// setTemplate comes last: it says whether what the others name is covered.
func (v *HMAC) setTemplate(text string) (err error) {
	if text == "" {
		text = "{body}"
	}
	var timestampHeader string
	if v.timestamp != nil {
		timestampHeader = v.timestamp.header
	}
	if v.template, err = parseTemplate(text, v.idHeader, timestampHeader); err != nil {
		return err
	}
	id, timestamp := v.template.has(partID), v.template.has(partTimestamp)
	switch {
	case !v.template.has(partBody):
		return errors.New("{body} is not in it, so that anyone could change the body")
	case id && v.idHeader == "":
		return errors.New("{id} without an id")
	case timestamp && v.timestamp == nil:
		return errors.New("{timestamp} without a timestamp")
	case v.idHeader != "" && !id:
		return fmt.Errorf("{id} is not in it, so that anyone could change %s", v.idHeader)
	case v.timestamp != nil && v.timestamp.json == nil && !timestamp:
		return errors.New("{timestamp} is not in it, so that anyone could change the timestamp")
	}
	return nil
}
