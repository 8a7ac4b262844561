// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"time"
	"unicode/utf8"
)

// HubSpotConfig configures [NewHubSpot].
type HubSpotConfig struct {
	// Secrets are the client secrets of the app, of which any may have signed, at
	// least one.
	Secrets []string `json:"secrets"`

	// Version is that of the signature, 1 or 2.
	Version int `json:"version"`

	// PublicURL is the scheme and host of the URL that HubSpot was given, such as
	// https://hooks.example.com, with the path that a proxy cut off. By default
	// it is what the server sees. Version 1 does not sign it.
	PublicURL string `json:"public_url,omitempty"`
}

// HubSpot verifies the signatures that HubSpot made before its third version,
// which is an [HMAC]: version 1 on messages about CRM objects, version 2 on those
// of workflow actions and CRM cards. They are here for requests that carry
// nothing better. Where a request has version 3 as well, that is the one to
// verify.
//
// They are a plain SHA-256 of the secret and what is signed:
//
//	version 1   {secret}{body}
//	version 2   {secret}{method}{url}{body}
//
// Such a hash is open to length extension: who has one message and its hash can
// compute the hash of a longer message that begins with it, without the secret.
// Between the two stands the padding of SHA-256, which begins with the byte 0x80
// and is therefore never UTF-8 after what is. So only UTF-8 is accepted, which
// is what HubSpot sends, and a lengthened message is not. Neither version has
// a timestamp.
type HubSpot struct {
	secrets [][]byte
	version int
	url     publicURL
}

var (
	_ Verifier      = (*HubSpot)(nil)
	_ HeaderChecker = (*HubSpot)(nil)
)

const (
	hubSpotSignature = "X-Hubspot-Signature"
	hubSpotVersion   = "X-Hubspot-Signature-Version"
)

// NewHubSpot returns the verifier that config describes.
func NewHubSpot(config HubSpotConfig) (*HubSpot, error) {
	v := &HubSpot{version: config.Version}
	switch {
	case v.version != 1 && v.version != 2:
		return nil, fmt.Errorf("unknown version %d: expected 1 or 2", v.version)
	case v.version == 1 && config.PublicURL != "":
		return nil, errors.New("public URL: version 1 does not sign the URL")
	case len(config.Secrets) == 0:
		return nil, errors.New("no secrets")
	}
	var err error
	if v.url, err = parsePublicURL(config.PublicURL); err != nil {
		return nil, err
	}
	for i, text := range config.Secrets {
		secret, err := Secret{Text: text, Encoding: "raw"}.decode()
		if err != nil {
			return nil, fmt.Errorf("secret %d %w", i+1, err)
		}
		v.secrets = append(v.secrets, secret)
	}
	return v, nil
}

// Verify implements [Verifier].
func (v *HubSpot) Verify(r *Request, _ time.Time) (Claims, error) {
	signature, err := v.readHeader(r.Header)
	if err != nil {
		return Claims{}, err
	}
	signed, err := v.signed(r)
	if err != nil {
		return Claims{}, err
	}
	ok := 0
	for _, secret := range v.secrets {
		sum := plainHash(secret, signed)
		ok |= subtle.ConstantTimeCompare(sum, signature)
	}
	if ok != 1 {
		return Claims{}, errSignature
	}
	// One part, as it is signed: moved between the URL and the body, it is the
	// same content.
	return Claims{Content: r.content(formHubSpot, []byte(signed))}, nil
}

// CheckHeader implements [HeaderChecker].
func (v *HubSpot) CheckHeader(r *Request, _ time.Time) error {
	_, err := v.readHeader(r.Header)
	return err
}

// Traits implements [Verifier].
//
// Version 2 covers the URL, but not where it ends and the body begins: an id at
// its end could have grown by the beginning of the body.
func (v *HubSpot) Traits() Traits {
	return Traits{
		Covers: func(part string) bool {
			return part == "body" || v.version == 2 && (part == "http.request.method" || inURI(part))
		},
		Headers: []string{hubSpotSignature, hubSpotVersion},
	}
}

func (v *HubSpot) readHeader(h http.Header) (signature []byte, err error) {
	if len(h[hubSpotVersion]) > 0 {
		version, err := single(h, hubSpotVersion)
		if err != nil {
			return nil, err
		}
		if version != fmt.Sprintf("v%d", v.version) {
			return nil, fmt.Errorf("header %s: %w", hubSpotVersion, ErrMismatch)
		}
	}
	text, err := single(h, hubSpotSignature)
	if err != nil {
		return nil, err
	}
	signature, err = hex.DecodeString(text)
	if err != nil || len(signature) != sha256.Size {
		return nil, fmt.Errorf("header %s is no hex of %d bytes: %w", hubSpotSignature, sha256.Size, ErrMalformed)
	}
	return signature, nil
}

// signed returns what is signed after the secret.
func (v *HubSpot) signed(r *Request) (string, error) {
	text := string(r.Body)
	if v.version == 2 {
		url, err := v.url.of(r)
		if err != nil {
			return "", err
		}
		text = r.Method + url + text
	}
	if !utf8.ValidString(text) {
		return "", fmt.Errorf("what is signed is not UTF-8: %w", ErrMalformed)
	}
	return text, nil
}

// Sign sets on r.Header what HubSpot would, with the first secret.
func (c HubSpotConfig) Sign(r *Request, _ string, _ time.Time) error {
	v, err := NewHubSpot(c)
	if err != nil {
		return err
	}
	signed, err := v.signed(r)
	if err != nil {
		return err
	}
	r.Header.Set(hubSpotSignature, hex.EncodeToString(plainHash(v.secrets[0], signed)))
	r.Header.Set(hubSpotVersion, fmt.Sprintf("v%d", v.version))
	return nil
}

func plainHash(secret []byte, signed string) []byte {
	h := sha256.New()
	h.Write(secret)
	h.Write([]byte(signed))
	return h.Sum(nil)
}
