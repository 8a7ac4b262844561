// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// TwilioConfig configures [NewTwilio].
type TwilioConfig struct {
	// Tokens are the auth tokens of the account of which any may have signed, at
	// least one.
	Tokens []string `json:"tokens"`

	// PublicURL is the scheme and host of the URL that Twilio was given, such as
	// https://hooks.example.com, with the path that a proxy cut off. By default
	// it is what the server sees.
	PublicURL string `json:"public_url,omitempty"`
}

// Twilio verifies the requests of Twilio: X-Twilio-Signature is an HMAC-SHA1 of
// the URL and, of a form, its names and values, sorted. Any other body is covered
// by its SHA-256 in the URL, as bodySHA256. The method is not signed.
//
// Nothing stands between what is signed, so that one signature is that of
// several requests: a=bc and ab=c in a form, or a field that has moved to the end
// of the URL. Nor does it cover how a form is written, the order of its fields
// and how often one is repeated. The content of the claims is what is signed,
// as it is signed, and so all of these are duplicates of the one that Twilio
// sent. A hash of the body as received would let each of them in anew.
type Twilio struct {
	keys []*macKey
	url  publicURL
}

var (
	_ Verifier      = (*Twilio)(nil)
	_ HeaderChecker = (*Twilio)(nil)
)

const (
	twilioSignature = "X-Twilio-Signature"
	twilioBodyHash  = "bodySHA256"
)

// NewTwilio returns the verifier that config describes.
func NewTwilio(config TwilioConfig) (*Twilio, error) {
	v := &Twilio{}
	var err error
	if v.url, err = parsePublicURL(config.PublicURL); err != nil {
		return nil, err
	}
	if len(config.Tokens) == 0 {
		return nil, errors.New("no tokens")
	}
	for i, text := range config.Tokens {
		token, err := Secret{Text: text, Encoding: "raw"}.decode()
		if err != nil {
			return nil, fmt.Errorf("token %d %w", i+1, err)
		}
		v.keys = append(v.keys, newMACKey(sha1.New, token))
	}
	return v, nil
}

// Verify implements [Verifier].
func (v *Twilio) Verify(r *Request, _ time.Time) (Claims, error) {
	signature, err := v.readHeader(r.Header)
	if err != nil {
		return Claims{}, err
	}
	form, err := v.coveredForm(r)
	if err != nil {
		return Claims{}, err
	}
	url, err := v.url.of(r)
	if err != nil {
		return Claims{}, err
	}
	for _, url := range twilioURLs(url) {
		parts := [][]byte{[]byte(url), form}
		if matches(v.keys, [][]byte{signature}, parts) {
			return Claims{Content: r.content(formTwilio, append(parts[0], form...))}, nil
		}
	}
	return Claims{}, errSignature
}

// CheckHeader implements [HeaderChecker].
func (v *Twilio) CheckHeader(r *Request, _ time.Time) error {
	_, err := v.readHeader(r.Header)
	return err
}

// Traits implements [Verifier].
//
// The URL is covered, but not where it ends and a form begins: an id at its end
// could have grown by the beginning of the form.
func (v *Twilio) Traits() Traits {
	return Traits{
		Covers:  func(part string) bool { return part == "body" || inURI(part) },
		Headers: []string{twilioSignature},
	}
}

func (v *Twilio) readHeader(h http.Header) (signature []byte, err error) {
	text, err := single(h, twilioSignature)
	if err != nil {
		return nil, err
	}
	signature, ok := decodeBase64(text, sha1.Size)
	if !ok {
		return nil, fmt.Errorf("header %s is no base64 of %d bytes: %w", twilioSignature, sha1.Size, ErrMalformed)
	}
	return signature, nil
}

// coveredForm returns what is signed after the URL: the fields of a form. Of any
// other body it is nothing, and the body is the one whose hash is in the URL.
func (v *Twilio) coveredForm(r *Request) ([]byte, error) {
	isForm, err := hasForm(r)
	if err != nil {
		return nil, err
	}
	// Without a body it is of no use: anyone could empty one that has its hash in
	// the URL.
	if isForm && len(r.Body) > 0 {
		return sortedForm(r.Body)
	}
	hash, err := singleQuery(r.URI, twilioBodyHash)
	switch {
	case errors.Is(err, ErrMissing) && len(r.Body) == 0:
		return nil, nil
	case err != nil:
		return nil, err
	}
	sum, err := hex.DecodeString(hash)
	if err != nil || len(sum) != sha256.Size {
		return nil, fmt.Errorf("%s in the URL is no hex of %d bytes: %w", twilioBodyHash, sha256.Size, ErrMalformed)
	}
	if sha256.Sum256(r.Body) != [sha256.Size]byte(sum) {
		return nil, fmt.Errorf("%s in the URL is not that of the body: %w", twilioBodyHash, ErrMismatch)
	}
	return nil, nil
}

// Sign sets on r.Header what Twilio would, with the first token. To the URL of a
// body that is no form it adds the hash of the body, if it is not there.
func (c TwilioConfig) Sign(r *Request, _ string, _ time.Time) error {
	v, err := NewTwilio(c)
	if err != nil {
		return err
	}
	isForm, err := hasForm(r)
	if err != nil {
		return err
	}
	if _, err := singleQuery(r.URI, twilioBodyHash); !isForm && len(r.Body) > 0 && errors.Is(err, ErrMissing) {
		sum := sha256.Sum256(r.Body)
		r.URI = addQuery(r.URI, twilioBodyHash, hex.EncodeToString(sum[:]))
	}
	form, err := v.coveredForm(r)
	if err != nil {
		return err
	}
	url, err := v.url.of(r)
	if err != nil {
		return err
	}
	mac := v.keys[0].sum([][]byte{[]byte(url), form})
	r.Header.Set(twilioSignature, base64.StdEncoding.EncodeToString(mac))
	return nil
}
