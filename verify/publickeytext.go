// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// Public keys as senders show them. As of secrets, errors say what form is
// expected and nothing of the text: it may be a private key.

// expectedEd25519 says for each encoding what a key looks like.
var expectedEd25519 = map[string]string{
	"hex":    "64 hex digits",
	"base64": "the base64 of 32 bytes, or of the key in SPKI form, which begins with MCow",
	"pem":    "BEGIN PUBLIC KEY and the key in SPKI form, which begins with MCow",
}

var expectedECDSA = map[string]string{
	"hex":    "the hex of the key in SPKI form, which begins with 3059",
	"base64": "the base64 of the key in SPKI form, which begins with MFkw",
	"pem":    "BEGIN PUBLIC KEY and the key in SPKI form, which begins with MFkw",
}

func decodeEd25519(secret Secret) (ed25519.PublicKey, error) {
	if secret.Encoding == "" {
		secret.Encoding = "hex"
	}
	der, err := secret.decodePublic(expectedEd25519)
	if err != nil {
		return nil, err
	}
	key := ed25519.PublicKey(der)
	if secret.Encoding == "pem" || len(der) != ed25519.PublicKeySize {
		parsed, err := x509.ParsePKIXPublicKey(der)
		ok := false
		if key, ok = parsed.(ed25519.PublicKey); err != nil || !ok {
			return nil, fmt.Errorf("is no ed25519 public key: expected %s", expectedEd25519[secret.Encoding])
		}
	}
	if verifiesAnything(key) {
		return nil, errors.New("is no usable ed25519 public key: everyone can sign for it")
	}
	return key, nil
}

// decodeECDSA returns a key on the curve P-256, which is the only one.
func decodeECDSA(secret Secret) (*ecdsa.PublicKey, error) {
	if secret.Encoding == "" {
		secret.Encoding = "base64"
	}
	der, err := secret.decodePublic(expectedECDSA)
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParsePKIXPublicKey(der)
	key, ok := parsed.(*ecdsa.PublicKey)
	if err != nil || !ok || key.Curve != elliptic.P256() {
		return nil, fmt.Errorf("is no P-256 public key: expected %s", expectedECDSA[secret.Encoding])
	}
	return key, nil
}

// decodePublic returns the bytes of a public key. Expected says what it looks
// like, for each encoding that there is.
func (s Secret) decodePublic(expected map[string]string) ([]byte, error) {
	form, ok := expected[s.Encoding]
	if !ok {
		// Without naming it: with the two swapped, it is the key.
		return nil, errors.New("has an unknown encoding: expected hex, base64 or pem")
	}
	text := s.Text
	if s.Encoding == "pem" {
		text = strings.TrimSpace(text) // a file ends in a newline
	}
	if err := checkText(text); err != nil {
		return nil, fmt.Errorf("%w: expected %s", err, form)
	}
	switch s.Encoding {
	case "hex":
		b, err := hex.DecodeString(text)
		if err != nil {
			return nil, fmt.Errorf("is not hex: expected %s", form)
		}
		return b, nil
	case "base64":
		b, err := decodeKey(text)
		if err != nil {
			return nil, fmt.Errorf("is not base64: expected %s", form)
		}
		return b, nil
	}
	block, rest := pem.Decode([]byte(text))
	switch {
	case block == nil || len(rest) > 0:
		return nil, fmt.Errorf("is not a single PEM block: expected %s", form)
	case strings.HasSuffix(block.Type, "PRIVATE KEY"):
		return nil, fmt.Errorf("is a private key, which only the sender should have: expected %s", form)
	case block.Type != "PUBLIC KEY":
		return nil, fmt.Errorf("is a PEM block of another type: expected %s", form)
	}
	return block.Bytes, nil
}
