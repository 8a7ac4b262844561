// SPDX-License-Identifier: Apache-2.0

package senders

import (
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

// Token is a secret text in a header of its own.
type Token struct {
	Header string
}

var (
	_ Scheme = Token{}
	_ Scheme = Bearer{}
	_ Scheme = Basic{}
)

// Verifier implements [Scheme].
func (s Token) Verifier(keys Keys) (verify.Verifier, error) {
	return verify.NewToken(verify.TokenConfig{Header: s.Header, Tokens: keys.Secrets})
}

// Sign implements [Scheme].
func (s Token) Sign(keys Keys, r *verify.Request, _ string, _ time.Time) error {
	token, err := keys.first()
	if err != nil {
		return err
	}
	r.Header.Set(s.Header, token)
	return nil
}

// Needs implements [Scheme].
func (Token) Needs() Needs { return Needs{Secret: "token"} }

// Bearer is a secret text in Authorization: Bearer.
type Bearer struct{}

// Verifier implements [Scheme].
func (Bearer) Verifier(keys Keys) (verify.Verifier, error) { return verify.NewBearer(keys.Secrets) }

// Sign implements [Scheme].
func (Bearer) Sign(keys Keys, r *verify.Request, _ string, _ time.Time) error {
	token, err := keys.first()
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	return nil
}

// Needs implements [Scheme].
func (Bearer) Needs() Needs { return Needs{Secret: "token"} }

// Basic is a user and a password in Authorization: Basic.
type Basic struct{}

// Verifier implements [Scheme].
func (Basic) Verifier(keys Keys) (verify.Verifier, error) {
	return verify.NewBasic(keys.User, keys.Secrets)
}

// Sign implements [Scheme].
func (Basic) Sign(keys Keys, r *verify.Request, _ string, _ time.Time) error {
	password, err := keys.first()
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(keys.User+":"+password)))
	return nil
}

// Needs implements [Scheme].
func (Basic) Needs() Needs { return Needs{Secret: "password", User: true} }

// first returns the secret to sign with.
func (k Keys) first() (string, error) {
	if len(k.Secrets) == 0 || strings.TrimSpace(k.Secrets[0]) == "" {
		return "", errors.New("no secret to sign with")
	}
	return k.Secrets[0], nil
}
