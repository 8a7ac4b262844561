// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Basic verifies a user and a password in Authorization: Basic (RFC 7617). It
// proves what a [Token] does.
type Basic struct {
	user      tokens // just one
	passwords tokens
}

var (
	_ Verifier      = (*Basic)(nil)
	_ HeaderChecker = (*Basic)(nil)
)

// NewBasic returns a verifier of a user with any of the passwords.
func NewBasic(user string, passwords []string) (*Basic, error) {
	if strings.Contains(user, ":") {
		return nil, errors.New("user contains a colon, which ends it")
	}
	u, err := newTokens("user", []string{user})
	if err != nil {
		return nil, err
	}
	p, err := newTokens("password", passwords)
	if err != nil {
		return nil, err
	}
	return &Basic{user: u, passwords: p}, nil
}

// Verify implements [Verifier].
func (v *Basic) Verify(r *Request, now time.Time) (Claims, error) {
	if err := v.CheckHeader(r, now); err != nil {
		return Claims{}, err
	}
	return Claims{Content: unsignedContent(r)}, nil
}

// CheckHeader implements [HeaderChecker]. The header is all there is to check.
func (v *Basic) CheckHeader(r *Request, _ time.Time) error {
	encoded, err := credentials(r.Header, "Basic")
	if err != nil {
		return err
	}
	decoded, err := base64.StdEncoding.Strict().DecodeString(encoded)
	// The error of base64 says what it did not like: a piece of a password.
	user, password, ok := strings.Cut(string(decoded), ":")
	if err != nil || !ok {
		return fmt.Errorf("header Authorization is not the base64 of user:password: %w", ErrMalformed)
	}
	// Both are always compared, so that a wrong user takes as long as a wrong
	// password.
	userOK, passwordOK := v.user.contain(user), v.passwords.contain(password)
	if !userOK || !passwordOK {
		return fmt.Errorf("header Authorization: %w", ErrMismatch)
	}
	return nil
}

// Traits implements [Verifier].
func (v *Basic) Traits() Traits { return Traits{Headers: []string{"Authorization"}} }
