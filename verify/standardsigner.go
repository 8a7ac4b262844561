// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// StandardSigner signs as the senders of Standard Webhooks do, with v1
// signatures. It is safe for concurrent use.
type StandardSigner struct {
	keys macKeys
}

// NewStandardSigner returns a signer with the secrets, at least one, which are
// read as those of [StandardConfig] are. With several, each request has a
// signature of each, in that order, so that its receiver can change from one to
// the other. A public key is an error: nobody can sign with it.
func NewStandardSigner(secrets []Secret) (*StandardSigner, error) {
	if len(secrets) == 0 {
		return nil, errors.New("no secrets")
	}
	var read Standard
	for i, secret := range secrets {
		if err := read.addKey(secret); err != nil {
			return nil, fmt.Errorf("secret %d %w", i+1, err)
		}
		if len(read.publicKeys) > 0 {
			return nil, fmt.Errorf("secret %d is a public key (whpk_…), with which nobody can sign: expected whsec_…", i+1)
		}
	}
	return &StandardSigner{keys: read.macKeys}, nil
}

// Sign sets Webhook-Id, Webhook-Timestamp and Webhook-Signature in h, for the
// body sent at now. For its receiver to accept it, the id is printable ASCII
// without spaces and dots, and the same whenever the message is sent again.
func (s *StandardSigner) Sign(h http.Header, id string, body []byte, now time.Time) {
	timestamp := strconv.FormatInt(now.Unix(), 10)
	parts := [][]byte{[]byte(id + "." + timestamp + "."), body}
	signatures := make([]string, len(s.keys))
	for i, key := range s.keys {
		signatures[i] = "v1," + base64.StdEncoding.EncodeToString(key.sum(parts))
	}
	h.Set("Webhook-Id", id)
	h.Set("Webhook-Timestamp", timestamp)
	h.Set("Webhook-Signature", strings.Join(signatures, " "))
}
