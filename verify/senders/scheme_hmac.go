// SPDX-License-Identifier: Apache-2.0

package senders

import (
	"cmp"
	"strings"
	"time"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

// HMAC is an HMAC of the body and whatever else is around it. Of Config, the
// secrets and the public URL are those of the user; its tolerance is the default.
type HMAC struct {
	Config   verify.HMACConfig
	Encoding string // of the secrets: raw, the default, base64, hex or whsec
	Form     SecretForm
}

var _ Scheme = HMAC{}

// Verifier implements [Scheme].
func (s HMAC) Verifier(keys Keys) (verify.Verifier, error) {
	v, err := verify.NewHMAC(s.config(keys))
	if err == nil {
		err = s.Form.check(keys.Secrets)
	}
	if err != nil {
		return nil, err
	}
	return v, nil
}

// Sign implements [Scheme].
func (s HMAC) Sign(keys Keys, r *verify.Request, id string, now time.Time) error {
	return s.config(keys).Sign(r, id, now)
}

// Needs implements [Scheme].
func (s HMAC) Needs() Needs {
	return Needs{
		Secret:    "secret",
		URL:       strings.Contains(s.Config.Signed, "{url}"),
		Tolerance: tolerance(s.Config.Timestamp, s.Config.Tolerance),
	}
}

func (s HMAC) config(keys Keys) verify.HMACConfig {
	config := s.Config
	config.Secrets = texts(keys.Secrets, s.Encoding)
	config.Tolerance = cmp.Or(keys.Tolerance, config.Tolerance)
	config.PublicURL = keys.PublicURL
	return config
}

// texts are secrets of one encoding.
func texts(secrets []string, encoding string) []verify.Secret {
	list := make([]verify.Secret, len(secrets))
	for i, text := range secrets {
		list[i] = verify.Secret{Text: text, Encoding: encoding}
	}
	return list
}

// tolerance is the default of a row, zero if it has no timestamp.
func tolerance(timestamp *verify.Timestamp, ofRow time.Duration) time.Duration {
	if timestamp == nil {
		return 0
	}
	return cmp.Or(ofRow, verify.DefaultTolerance)
}
