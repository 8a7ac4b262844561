// SPDX-License-Identifier: Apache-2.0

package verify

import "fmt"

// Refusals that hold nothing of the request are made once. Forged requests come
// in floods, and most refusals are counted, but not logged.
var (
	errTimestamp = fmt.Errorf("timestamp: %w", ErrMalformed)
	errExpired   = fmt.Errorf("timestamp: %w", ErrExpired)
	errSignature = fmt.Errorf("signature: %w", ErrMismatch)
)

// A fieldError is a refusal for a header field. It is put into words only when
// somebody asks for them.
type fieldError struct {
	name   string // of the field, in canonical form
	reason error
}

func (e *fieldError) Error() string { return "header " + e.name + ": " + e.reason.Error() }
func (e *fieldError) Unwrap() error { return e.reason }
