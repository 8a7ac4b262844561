// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"hash"
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

	// Signed is the template of what is signed, by default {body}. It contains
	// {body}, unless the signature is in the body: then it contains {id} or
	// {timestamp}, and the rest of the body is anyone's. {id} and {timestamp} are
	// those of the fields below, and {url} is the URL that the request was sent
	// to. Any other placeholder is one of the request, by its full name, such as
	// {http.request.method}; a request that does not have it is refused.
	Signed string `json:"signed,omitempty"`

	// Timestamp says where the timestamp is, if there is one. Signed must
	// cover it.
	Timestamp *Timestamp `json:"timestamp,omitempty"`

	// Tolerance is how far the timestamp may be from now, either way, by
	// default 5 minutes. Without a timestamp it is an error.
	Tolerance time.Duration `json:"tolerance,omitempty"`

	// ID says where the id is, if there is one. Signed must cover it, and has text
	// between {id} and whatever else varies, other than a timestamp at its end.
	ID *ID `json:"id,omitempty"`

	// PublicURL is what {url} begins with, before the request target: the scheme
	// and host that the sender was given, such as https://hooks.example.com, and a
	// path if a proxy before the server cuts it off. By default it is what the
	// server sees. Without {url} it is an error.
	PublicURL string `json:"public_url,omitempty"`
}

// NewHMAC returns the verifier that config describes.
func NewHMAC(config HMACConfig) (*HMAC, error) {
	newHash, size, err := algorithm(config.Algorithm)
	if err != nil {
		return nil, err
	}
	keys, err := config.keys(newHash)
	if err != nil {
		return nil, err
	}
	v := &HMAC{}
	v.signed, err = newSigned(signedConfig{
		signature: config.Signature,
		signed:    config.Signed,
		timestamp: config.Timestamp,
		tolerance: config.Tolerance,
		id:        config.ID,
		publicURL: config.PublicURL,
	}, sizes{size, size}, keys)
	if err != nil {
		return nil, err
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

func (c HMACConfig) keys(newHash func() hash.Hash) (keys macKeys, err error) {
	if len(c.Secrets) == 0 {
		return nil, errors.New("no secrets")
	}
	for i, secret := range c.Secrets {
		if secret.Encoding == "" {
			secret.Encoding = "raw"
		}
		key, err := secret.decode()
		if err != nil {
			return nil, fmt.Errorf("secret %d %w", i+1, err)
		}
		keys = append(keys, newMACKey(newHash, key))
	}
	return keys, nil
}
