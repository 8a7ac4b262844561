// SPDX-License-Identifier: Apache-2.0

// Package verify tells authentic webhook requests from forged ones.
//
// A [Verifier] is one way of signing, a scheme, configured with its secrets.
// It takes a [Request] and says which [Claims] the sender's signature proves,
// or refuses with an error that wraps one of [ErrMissing], [ErrMalformed],
// [ErrMismatch] and [ErrExpired]:
//
//	request ──▶ headers well-formed? ──▶ signature right? ──▶ timestamp fresh? ──▶ claims
//	                  │                        │                     │
//	          missing, malformed            mismatch              expired
//
// The schemes are [Standard], [HMAC], [PublicKey], [Token], [Basic] and [None],
// and those of single senders. Another one is another implementation of Verifier.
//
// The signature is checked before the timestamp, so that "expired" always means
// genuine, but old.
//
// Everything here is a pure function of a request, a configuration and a time:
// no clock, no network, no state but memory to be used again, and only the standard
// library. No error holds anything of the request or of a secret.
package verify

import (
	"errors"
	"net/http"
	"time"
)

// The reasons for a refusal. Every error of Verify and of CheckHeader wraps
// exactly one of these.
var (
	// ErrMissing: what the scheme needs is not there.
	ErrMissing = errors.New("missing")

	// ErrMalformed: it is there but cannot be what the sender meant, for instance
	// given twice.
	ErrMalformed = errors.New("malformed")

	// ErrMismatch: the signature or the token is wrong.
	ErrMismatch = errors.New("mismatch")

	// ErrExpired: the request is genuine, and its timestamp is further from now
	// than the tolerance.
	ErrExpired = errors.New("expired")
)

// A Request is what a sender sent, as it came in.
type Request struct {
	Method string
	URI    string // the request target as the sender wrote it: path and query
	Header http.Header
	Body   []byte // exactly as received, and nil while only headers are checked

	// Lookup returns the value of a placeholder of the original request, such as
	// http.request.host, and whether it has one. It may be nil.
	Lookup func(name string) (string, bool)

	// NoContent: whoever asks has no use for [Claims.Content], so that a verifier
	// may leave it out.
	NoContent bool

	checked *checkedToken // by CheckHeader, for Verify
}

// Claims is what a verified request proves.
type Claims struct {
	// ID is the id that the scheme gives the message, empty if it gives none.
	// It is covered by the signature: an id that anyone can change cannot stop
	// a replay.
	ID string

	// Timestamp is when the sender signed, as the signature proves, or zero.
	Timestamp time.Time

	// Content is a hash of what the signature covers without its timestamp,
	// because senders sign a retry anew. For a scheme that signs nothing it is
	// one of the method, the URI and the body. It is zero if it was left out, as
	// Request.NoContent allows.
	Content [32]byte
}

// A Verifier is a configured scheme. It is safe for concurrent use.
type Verifier interface {
	// Verify reports what r proves at the time now. It neither keeps nor
	// modifies r, and reads neither the clock nor the network.
	Verify(r *Request, now time.Time) (Claims, error)

	// Traits describes what a successful Verify proves, whatever the request.
	Traits() Traits
}

// Traits is what is known of a scheme before any request.
type Traits struct {
	// ID: the claims carry an id.
	ID bool

	// Timestamp: the claims carry a timestamp, and it is within Tolerance.
	Timestamp bool
	Tolerance time.Duration

	// Covers reports whether the signature covers a part of the request: "body",
	// or the name of a placeholder such as http.request.header.X-Id. It is nil
	// if nothing is signed.
	Covers func(part string) bool

	// Headers names the header fields that the scheme reads, of which those that
	// carry a secret must not be logged.
	Headers []string
}

// A HeaderChecker is a Verifier that can refuse some requests on their headers
// alone, before the body is read: r.Body is nil then. That CheckHeader returns
// nil proves nothing. It may note in r what it found out, for Verify, so that it
// is not called for the same r at the same time.
type HeaderChecker interface {
	CheckHeader(r *Request, now time.Time) error
}

// Reason returns the one word that says why a request was refused: "missing",
// "malformed", "mismatch" or "expired", and "error" if err is none of these.
func Reason(err error) string {
	for _, reason := range []error{ErrMissing, ErrMalformed, ErrMismatch, ErrExpired} {
		if errors.Is(err, reason) {
			return reason.Error()
		}
	}
	return "error"
}

// furthest returns the refusal of the attempt that came closest to being
// accepted; of equals, the first. Either may be nil.
func furthest(a, b error) error {
	if a == nil {
		return b
	}
	for _, reason := range []error{ErrExpired, ErrMismatch, ErrMalformed, ErrMissing} {
		if errors.Is(a, reason) {
			return a
		}
		if errors.Is(b, reason) {
			return b
		}
	}
	return nil
}
