// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"
)

// PublicKeyConfig configures [NewPublicKey]. Without a comment, a field is that
// of [HMACConfig].
type PublicKeyConfig struct {
	// Keys are the public keys of which the private one of any may have signed, at
	// least one. Their encodings are
	//
	//	hex     either case
	//	base64  standard alphabet, padded or not
	//	pem     BEGIN PUBLIC KEY
	//
	// of the DER form SubjectPublicKeyInfo (RFC 5280), or for ed25519 of the key's
	// 32 bytes alone. The default is hex for ed25519 and base64 for ecdsa-p256.
	Keys []Secret `json:"keys"`

	// Algorithm is ed25519 (RFC 8032), or ecdsa-p256: ECDSA on the curve P-256
	// with SHA-256, signatures in ASN.1 DER (RFC 3279). It has no default.
	Algorithm string `json:"algorithm"`

	Signature Signature     `json:"signature"`
	Signed    string        `json:"signed,omitempty"`
	Timestamp *Timestamp    `json:"timestamp,omitempty"`
	Tolerance time.Duration `json:"tolerance,omitempty"`
	ID        *ID           `json:"id,omitempty"`
	PublicURL string        `json:"public_url,omitempty"`
}

// PublicKey verifies signatures that the sender makes with a private key of its
// own, of the body and whatever else it puts around it, as Discord and SendGrid
// do. There is no secret: nobody who knows the configuration can sign.
type PublicKey struct {
	signed signed
}

var (
	_ Verifier      = (*PublicKey)(nil)
	_ HeaderChecker = (*PublicKey)(nil)
)

// NewPublicKey returns the verifier that config describes.
func NewPublicKey(config PublicKeyConfig) (*PublicKey, error) {
	if len(config.Keys) == 0 {
		return nil, errors.New("no keys")
	}
	var keys signatureKeys
	var sizes sizes
	var err error
	switch config.Algorithm {
	case "ed25519":
		keys, err = newEd25519Keys(config.Keys)
		sizes.min, sizes.max = ed25519.SignatureSize, ed25519.SignatureSize
	case "ecdsa-p256":
		keys, err = newECDSAKeys(config.Keys)
		// A sequence of two numbers of 1 to 33 bytes, each after two bytes.
		sizes.min, sizes.max = 2+2*(2+1), 2+2*(2+33)
	case "":
		return nil, errors.New("no algorithm: expected ed25519 or ecdsa-p256")
	default:
		return nil, fmt.Errorf("unknown algorithm %q: expected ed25519 or ecdsa-p256", config.Algorithm)
	}
	if err != nil {
		return nil, err
	}
	v := &PublicKey{}
	v.signed, err = newSigned(signedConfig{
		signature: config.Signature,
		signed:    config.Signed,
		timestamp: config.Timestamp,
		tolerance: config.Tolerance,
		id:        config.ID,
		publicURL: config.PublicURL,
	}, sizes, keys)
	if err != nil {
		return nil, err
	}
	return v, nil
}

// Verify implements [Verifier]. One message has many right signatures: the
// claims are the same for all of them.
func (v *PublicKey) Verify(r *Request, now time.Time) (Claims, error) { return v.signed.verify(r, now) }

// CheckHeader implements [HeaderChecker]. Of a signature in the body, it proves
// nothing.
func (v *PublicKey) CheckHeader(r *Request, _ time.Time) error { return v.signed.checkHeader(r) }

// Traits implements [Verifier].
func (v *PublicKey) Traits() Traits { return v.signed.traits() }

type ed25519Keys []ed25519.PublicKey

func newEd25519Keys(secrets []Secret) (keys ed25519Keys, err error) {
	for i, secret := range secrets {
		key, err := decodeEd25519(secret)
		if err != nil {
			return nil, fmt.Errorf("key %d %w", i+1, err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func (k ed25519Keys) match(signatures, parts [][]byte) bool {
	message := slices.Concat(parts...)
	for _, key := range k {
		for _, signature := range signatures {
			if ed25519.Verify(key, message, signature) {
				return true
			}
		}
	}
	return false
}

type ecdsaKeys []*ecdsa.PublicKey

func newECDSAKeys(secrets []Secret) (keys ecdsaKeys, err error) {
	for i, secret := range secrets {
		key, err := decodeECDSA(secret)
		if err != nil {
			return nil, fmt.Errorf("key %d %w", i+1, err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func (k ecdsaKeys) match(signatures, parts [][]byte) bool {
	h := sha256.New()
	for _, part := range parts {
		h.Write(part)
	}
	sum := h.Sum(nil)
	for _, key := range k {
		for _, signature := range signatures {
			if ecdsa.VerifyASN1(key, sum, signature) {
				return true
			}
		}
	}
	return false
}
