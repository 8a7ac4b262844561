// SPDX-License-Identifier: Apache-2.0

package verify

import "time"

// HMAC verifies signatures that are an HMAC of the body and whatever else the
// sender puts around it, which is how most senders sign. [HMACConfig] says how
// one of them does.
type HMAC struct {
	signed signed
}

var (
	_ Verifier      = (*HMAC)(nil)
	_ HeaderChecker = (*HMAC)(nil)
)

// Verify implements [Verifier].
func (v *HMAC) Verify(r *Request, now time.Time) (Claims, error) { return v.signed.verify(r, now) }

// CheckHeader implements [HeaderChecker]. Of a signature in the body, it proves
// nothing.
func (v *HMAC) CheckHeader(r *Request, _ time.Time) error { return v.signed.checkHeader(r) }

// Traits implements [Verifier].
func (v *HMAC) Traits() Traits { return v.signed.traits() }
