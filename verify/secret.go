// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// A Secret is a key as its sender shows it, and how to read it. How a key is
// written is never guessed from its looks: Stripe's whsec_… is the key itself,
// Svix's whsec_… has to be decoded.
type Secret struct {
	Text string `json:"text"`

	// Encoding is one of
	//
	//	raw     the bytes of Text are the key
	//	base64  standard alphabet, padded or not
	//	hex     either case
	//	whsec   base64, optionally after "whsec_" (Standard Webhooks, Svix)
	//
	// What the empty string means is up to the scheme. Of public keys, the
	// encodings are those of [PublicKeyConfig].
	Encoding string `json:"encoding,omitempty"`
}

// String keeps the secret out of logs.
func (s Secret) String() string { return "(a secret)" }

// GoString is String.
func (s Secret) GoString() string { return s.String() }

// decode returns the symmetric key. Its errors say what form is expected and
// nothing of the secret.
func (s Secret) decode() ([]byte, error) {
	if err := checkText(s.Text); err != nil {
		return nil, err
	}
	var key []byte
	switch s.Encoding {
	case "raw":
		key = []byte(s.Text)
	case "hex":
		k, err := hex.DecodeString(s.Text)
		if err != nil {
			return nil, errors.New("is not hex: expected an even number of digits 0-9, a-f")
		}
		key = k
	case "base64":
		k, err := decodeKey(s.Text)
		if err != nil {
			return nil, err
		}
		key = k
	case "whsec":
		k, err := decodeKey(strings.TrimPrefix(s.Text, "whsec_"))
		if err != nil {
			return nil, fmt.Errorf("%w, optionally after whsec_", err)
		}
		key = k
	default:
		// Without naming it: with the two swapped, it is the secret.
		return nil, errors.New("has an unknown encoding: expected raw, base64, hex or whsec")
	}

	// HMAC pads a key with zeros: one of zeros only is the empty key, which
	// everyone has.
	if len(bytes.Trim(key, "\x00")) == 0 {
		return nil, errors.New("is empty once decoded")
	}
	return key, nil
}

// checkText refuses what can only be a mistake in the configuration, for
// instance the newline at the end of a file.
func checkText(secret string) error {
	switch strings.TrimSpace(secret) {
	case "":
		return errors.New("is empty")
	case secret:
		return nil
	default:
		return errors.New("has white space around it")
	}
}

// decodeKey decodes base64, padded or not. Unused bits in the last digit are
// let through, unlike in a signature: senders show keys that were cut off.
func decodeKey(text string) ([]byte, error) {
	key, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil || strings.ContainsAny(text, "\r\n") {
		return nil, errors.New("is not base64: expected A-Z, a-z, 0-9, + and /")
	}
	return key, nil
}
