// SPDX-License-Identifier: Apache-2.0

package senders

import (
	"fmt"
	"slices"
	"strings"
)

// SecretForm is what is known of the texts of a sender's secrets, beside their
// encoding, to refuse what can only be another of its texts. The zero value takes
// every text.
type SecretForm struct {
	Expected string   // what the secret is called, and how it looks
	Prefix   string   // how they all begin; empty: any
	Not      []string // how other texts of the sender begin
	Length   int      // in bytes; zero: any
}

// check returns an error about the first secret that is of another form. It holds
// nothing of the secret.
func (f SecretForm) check(secrets []string) error {
	for i, secret := range secrets {
		switch {
		case slices.ContainsFunc(f.Not, func(other string) bool { return strings.HasPrefix(secret, other) }):
			return fmt.Errorf("secret %d is another text of the sender: expected %s", i+1, f.Expected)
		case !strings.HasPrefix(secret, f.Prefix):
			return fmt.Errorf("secret %d is another text of the sender: expected %s", i+1, f.Expected)
		case f.Length != 0 && len(secret) != f.Length:
			return fmt.Errorf("secret %d has another length: expected %s", i+1, f.Expected)
		}
	}
	return nil
}

// ofForm is scheme with secrets of that form.
func ofForm(form SecretForm, scheme HMAC) HMAC {
	scheme.Form = form
	return scheme
}

// adyenKey is the form of all HMAC keys of Adyen.
var adyenKey = SecretForm{Expected: "the HMAC key, 64 hex digits", Length: 64}
