// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"
)

// AdyenConfig configures [NewAdyen].
type AdyenConfig struct {
	// Secrets are the HMAC keys of which any may have signed, at least one. Their
	// default encoding is hex.
	Secrets []Secret `json:"secrets"`
}

// Adyen verifies Adyen's standard notifications in JSON, which are signed in the
// body, in additionalData.hmacSignature of the one item that each has. Adyen's
// other webhooks have their signature in a header and are an [HMAC].
//
// Of the item, these members are signed, joined by colons, and nothing else:
//
//	pspReference originalReference merchantAccountCode merchantReference
//	amount.value amount.currency eventCode success
//
// Anyone can change the rest of a request. A colon in a reference is not escaped,
// so that a reference could be moved into its neighbor; the content of the claims
// is what is signed, and stays the same.
//
// A request with more than one item is refused: nothing would say which items
// belong together, and an item that was captured once would, repeated or beside
// others, be new content each time.
type Adyen struct {
	keys []*macKey
}

var _ Verifier = (*Adyen)(nil)

// NewAdyen returns the verifier that config describes.
func NewAdyen(config AdyenConfig) (*Adyen, error) {
	v := &Adyen{}
	if len(config.Secrets) == 0 {
		return nil, errors.New("no secrets")
	}
	for i, secret := range config.Secrets {
		if secret.Encoding == "" {
			secret.Encoding = "hex"
		}
		key, err := secret.decode()
		if err != nil {
			return nil, fmt.Errorf("secret %d %w", i+1, err)
		}
		v.keys = append(v.keys, newMACKey(sha256.New, key))
	}
	return v, nil
}

// Verify implements [Verifier].
func (v *Adyen) Verify(r *Request, _ time.Time) (Claims, error) {
	document, err := parseJSON(r.Body)
	if err != nil {
		return Claims{}, err
	}
	items, err := elements(document, "notificationItems", 1)
	if err != nil {
		return Claims{}, err
	}
	signed, err := v.verify(items[0])
	if err != nil {
		return Claims{}, err
	}
	return Claims{Content: r.content(formAdyen, signed)}, nil
}

// Traits implements [Verifier].
func (v *Adyen) Traits() Traits {
	return Traits{Covers: func(string) bool { return false }}
}

// verify returns what is signed of the item.
func (v *Adyen) verify(item []byte) (signed []byte, err error) {
	item, err = member(item, "NotificationRequestItem")
	if err != nil {
		return nil, err
	}
	if item == nil {
		return nil, fmt.Errorf("JSON member NotificationRequestItem: %w", ErrMissing)
	}
	encoded, err := textAt(item, "additionalData", "hmacSignature")
	if err != nil {
		return nil, err
	}
	if encoded == "" {
		return nil, fmt.Errorf("JSON member hmacSignature: %w", ErrMissing)
	}
	signature, ok := decodeBase64(encoded, sha256.Size)
	if !ok {
		return nil, fmt.Errorf("JSON member hmacSignature is no base64 of %d bytes: %w", sha256.Size, ErrMalformed)
	}
	if signed, err = adyenSigned(item); err != nil {
		return nil, err
	}
	if !matches(v.keys, [][]byte{signature}, [][]byte{signed}) {
		return nil, errSignature
	}
	return signed, nil
}

// adyenSigned joins what is signed of an item. What is not there is empty.
func adyenSigned(item []byte) ([]byte, error) {
	paths := [...][]string{
		{"pspReference"}, {"originalReference"}, {"merchantAccountCode"}, {"merchantReference"},
		{"amount", "value"}, {"amount", "currency"}, {"eventCode"}, {"success"},
	}
	var fields [len(paths)]string
	for i, path := range paths {
		var err error
		if fields[i], err = textAt(item, path...); err != nil {
			return nil, err
		}
	}
	return []byte(strings.Join(fields[:], ":")), nil
}
