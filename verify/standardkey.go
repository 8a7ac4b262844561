// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
)

// addKey decodes a secret of Standard Webhooks and keeps it with its kind.
func (s *Standard) addKey(secret Secret) error {
	if secret.Encoding == "" {
		secret.Encoding = "whsec"
	}
	if secret.Encoding == "whsec" {
		secret.Text = withoutVersion(secret.Text)
		if strings.Contains(secret.Text, "whsk_") {
			return errors.New("is a private key (whsk_…), which only the sender should have: expected the public one (whpk_…)")
		}
		if text, ok := strings.CutPrefix(secret.Text, "whpk_"); ok {
			key, err := decodePublicKey(text)
			if err != nil {
				return err
			}
			s.publicKeys = append(s.publicKeys, key)
			return nil
		}
	}
	key, err := secret.decode()
	if err != nil {
		return err
	}
	s.macKeys = append(s.macKeys, newMACKey(sha256.New, key))
	return nil
}

// withoutVersion takes off the version that Supabase puts before a secret.
func withoutVersion(secret string) string {
	version, rest, ok := strings.Cut(secret, ",")
	if ok && (version == "v1" && strings.HasPrefix(rest, "whsec_") ||
		version == "v1a" && strings.HasPrefix(rest, "whpk_")) {
		return rest
	}
	return secret
}

func decodePublicKey(text string) (ed25519.PublicKey, error) {
	key, err := decodeKey(text)
	if err != nil {
		return nil, fmt.Errorf("%w after whpk_", err)
	}
	if len(key) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("is no ed25519 public key: expected whpk_ and the base64 of %d bytes", ed25519.PublicKeySize)
	}
	if verifiesAnything(key) {
		return nil, errors.New("is no usable ed25519 public key: everyone can sign for it")
	}
	return key, nil
}

// verifiesAnything reports whether a public key is one of the few of small
// order, the zero bytes among them. For these, a fixed signature that takes no
// private key to make is right for one message in eight, or more.
func verifiesAnything(key ed25519.PublicKey) bool {
	forged := make([]byte, ed25519.SignatureSize)
	forged[0] = 1
	for i := range 128 {
		if ed25519.Verify(key, []byte{byte(i)}, forged) {
			return true
		}
	}
	return false
}
