// SPDX-License-Identifier: Apache-2.0

// Package senders knows how the services that send webhooks sign them, where
// they put the id of a message, and what they expect for an answer.
//
// A [Sender] is a row of a table: a [Scheme] of package verify, filled in, and
// what an inbox should do with its messages. The table is in the files
// senders_*.go, one for each way of signing.
package senders

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

// A Sender is a service, or a product that many services use to send.
type Sender struct {
	// Name is the one to configure it by: letters a-z, digits and "_".
	Name string

	// Title is how the sender writes its name, with the product if it has
	// several that differ.
	Title string

	// Scheme is how it signs.
	Scheme Scheme

	// MessageID is where the id of a message is, if the scheme itself has none.
	// Several are parts of one id.
	MessageID []ID

	// Dedupe is how its duplicates are recognized.
	Dedupe Dedupe

	// MaxBody is the largest body that it sends, in bytes, if that is more than
	// an inbox takes by default; otherwise zero.
	MaxBody int64

	// Respond is the status with which it wants its messages acknowledged, if it
	// does not take any 2xx; otherwise zero.
	Respond int

	// Waits is set for a sender that uses what its requests are answered, so that
	// they are of no use in a queue.
	Waits bool

	// Handshake answers the requests with which the sender tests an endpoint. It
	// is nil for a sender that does not, or whose requests are not signed.
	Handshake Handshake

	Doc Doc
}

// ID is one place of a request that holds an id, with exactly one field set.
type ID struct {
	Header string
	JSON   string // a verify.JSONPath
	Path   *int   // a segment of the path; -1 is the last
}

// Dedupe is how duplicates are recognized. The zero value leaves it to the inbox:
// by the id.
type Dedupe struct {
	Off    bool
	Window time.Duration // zero: the inbox's default
	On     []string      // id, content
	With   []string      // header fields that belong to the content
}

// A Handshake returns the answer to r, which is verified, if r is one of the
// requests with which the sender tests an endpoint. Secrets are those that r may
// be signed with.
type Handshake func(r *verify.Request, secrets []string) (Answer, bool)

// An Answer is what a handshake is answered.
type Answer struct {
	Status      int
	ContentType string
	Body        []byte
}

// Doc is what people want to know.
type Doc struct {
	Secret    string // where in the sender's settings it is found
	Covers    string // what the signature covers, in words
	Retries   string // how often and for how long it tries again
	Expects   string // what it takes for an acknowledgment, and by when
	Handshake string // how it tests an endpoint, and what to do about that
	Note      string // what will surprise
	URL       string // its documentation
	Evidence  Evidence
}

// Evidence is what the scheme of a row was checked against.
type Evidence int

const (
	// Unconfirmed: from third parties or from memory. Try it before you rely on it.
	Unconfirmed Evidence = iota
	// Documented: the sender's documentation or source code.
	Documented
	// Vector: a signature that the sender published.
	Vector
)

// String returns the evidence in a word.
func (e Evidence) String() string {
	switch e {
	case Vector:
		return "published signature"
	case Documented:
		return "documentation or source"
	default:
		return "unconfirmed"
	}
}

// A Scheme is a way of signing, without the secrets.
type Scheme interface {
	// Verifier returns the verifier of requests that are signed with keys. Its
	// errors name what is wrong with a key and never hold any of it.
	Verifier(keys Keys) (verify.Verifier, error)

	// Sign adds to r what the sender would, with the first of the secrets: for
	// tests. It returns ErrCannotSign if only the sender can, and adds to the body
	// where the signature is in it.
	Sign(keys Keys, r *verify.Request, id string, now time.Time) error

	// Needs is what a configuration must or may say.
	Needs() Needs
}

// ErrCannotSign is returned for schemes whose private key only the sender has.
var ErrCannotSign = errors.New("this sender signs with a private key that nobody else has")

// Keys are what a user configures.
type Keys struct {
	// Secrets are as the sender shows them. Any may have signed.
	Secrets []string

	// User is the name that a scheme with User in its Needs takes.
	User string

	// PublicURL is the scheme, host and, if it differs, port of the URL that the
	// sender was given, such as https://hooks.example.com, where the server sees
	// another one. Only schemes with URL in their Needs take it.
	PublicURL string

	// Tolerance is how far a timestamp may be from now; zero is the scheme's own.
	// Only schemes with Tolerance in their Needs take it.
	Tolerance time.Duration
}

// Needs is what a scheme takes.
type Needs struct {
	Secret    string        // what its secrets are: "secret", "token", "public key", "password"
	User      bool          // a user is required
	URL       bool          // the URL is signed
	Tolerance time.Duration // the default; zero: it has no timestamp
}

// All returns the table, sorted by name.
func All() []Sender {
	all := slices.Concat(
		standardSenders,
		bodyHexSenders,
		bodyPrefixSenders,
		bodyBase64Senders,
		timestampSenders,
		requestSenders,
		tokenSenders,
		ownSenders,
	)
	slices.SortFunc(all, func(a, b Sender) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// Find returns the sender of that name.
func Find(name string) (Sender, bool) {
	for _, s := range All() {
		if s.Name == name {
			return s, true
		}
	}
	return Sender{}, false
}
