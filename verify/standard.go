// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// StandardConfig configures [NewStandard].
type StandardConfig struct {
	// Secrets are the keys of which any may have signed, at least one. Their
	// default encoding is whsec, which for Standard also takes whpk_… public
	// keys, and both as Supabase writes them, after "v1," and "v1a,". Polar
	// signs with the text itself: its encoding is raw.
	Secrets []Secret `json:"secrets"`

	// Tolerance is how far the timestamp may be from now, either way, by
	// default 5 minutes.
	Tolerance time.Duration `json:"tolerance,omitempty"`

	// LeadingZeros lets the timestamp begin with zeros, as OpenAI's library does.
	// What is signed is the text as received, either way.
	LeadingZeros bool `json:"leading_zeros,omitempty"`
}

// Standard verifies Standard Webhooks, as specified at standardwebhooks.com,
// and Svix, which is the same under other header names: v1 signatures with
// HMAC-SHA256 and v1a signatures with ed25519.
//
// The headers are families of three, svix-* and webhook-*. A complete family is
// tried, two are each tried, and parts of one never complete the other. The id
// is that of the family that verified.
type Standard struct {
	macKeys    []*macKey
	publicKeys []ed25519.PublicKey
	tolerance  time.Duration
	zeros      bool // a timestamp may begin with zeros
}

var (
	_ Verifier      = (*Standard)(nil)
	_ HeaderChecker = (*Standard)(nil)
)

// NewStandard returns the verifier that config describes.
func NewStandard(config StandardConfig) (*Standard, error) {
	s := &Standard{tolerance: config.Tolerance, zeros: config.LeadingZeros}
	if s.tolerance == 0 {
		s.tolerance = DefaultTolerance
	}
	if s.tolerance < 0 {
		return nil, errors.New("tolerance is negative")
	}
	if len(config.Secrets) == 0 {
		return nil, errors.New("no secrets")
	}
	for i, secret := range config.Secrets {
		if err := s.addKey(secret); err != nil {
			return nil, fmt.Errorf("secret %d %w", i+1, err)
		}
	}
	return s, nil
}

// Verify implements [Verifier].
func (s *Standard) Verify(r *Request, now time.Time) (Claims, error) {
	attempts, err := s.attempts(r.Header)
	if err != nil {
		return Claims{}, err
	}
	refusal := ErrMismatch
	for _, a := range attempts {
		switch {
		case !s.signed(a, r.Body):
		case !fresh(a.timestamp, now, s.tolerance):
			refusal = ErrExpired
		default:
			return Claims{
				ID:        a.id,
				Timestamp: a.timestamp,
				Content:   contentOf(formStandard, []byte(a.id), r.Body),
			}, nil
		}
	}
	return Claims{}, fmt.Errorf("webhook signature: %w", refusal)
}

// CheckHeader implements [HeaderChecker].
func (s *Standard) CheckHeader(r *Request, _ time.Time) error {
	_, err := s.attempts(r.Header)
	return err
}

// Traits implements [Verifier].
//
// Of the placeholders none is covered, not even the id headers: a request whose
// svix-id is signed may carry any webhook-id.
func (s *Standard) Traits() Traits {
	var headers []string
	for _, f := range families {
		headers = append(headers, f.id, f.timestamp, f.signature)
	}
	return Traits{
		ID:        true,
		Timestamp: true,
		Tolerance: s.tolerance,
		Covers:    func(part string) bool { return part == "body" },
		Headers:   headers,
	}
}

// A family is a set of header names that belong together.
type family struct{ id, timestamp, signature string }

var families = [...]family{
	{"Svix-Id", "Svix-Timestamp", "Svix-Signature"},
	{"Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"},
}

// An attempt is what a complete and well-formed family says.
type attempt struct {
	id            string
	timestamp     time.Time
	timestampText string
	macs          [][]byte // v1, if there are keys for it
	signatures    [][]byte // v1a, likewise
}

// attempts reads the families. There is at least one attempt, or an error.
func (s *Standard) attempts(h http.Header) ([]attempt, error) {
	var attempts []attempt
	var refusal error
	for _, f := range families {
		names := []string{f.id, f.timestamp, f.signature}
		if !slices.ContainsFunc(names, func(name string) bool { return len(h[name]) > 0 }) {
			continue
		}
		// Refused even if the other family is impeccable: no sender does this.
		for _, name := range names {
			if len(h[name]) > 1 {
				_, err := single(h, name)
				return nil, err
			}
		}
		a, err := s.read(f, h)
		if err != nil {
			refusal = furthest(refusal, err)
			continue
		}
		attempts = append(attempts, a)
	}
	switch {
	case len(attempts) > 0:
		return attempts, nil
	case refusal != nil:
		return nil, refusal
	default:
		return nil, fmt.Errorf("svix-* and webhook-* headers: %w", ErrMissing)
	}
}

func (s *Standard) read(f family, h http.Header) (a attempt, err error) {
	if a.id, err = single(h, f.id); err != nil {
		return attempt{}, err
	}
	if a.timestampText, err = single(h, f.timestamp); err != nil {
		return attempt{}, err
	}
	signatures, err := single(h, f.signature)
	if err != nil {
		return attempt{}, err
	}

	// What is signed is id.timestamp.body. With a dot in the id, one signature
	// would be that of several messages.
	if !validID(a.id) || strings.Contains(a.id, ".") {
		return attempt{}, fmt.Errorf("header %s: %w", f.id, ErrMalformed)
	}
	seconds := a.timestampText
	if s.zeros {
		seconds = strings.TrimLeft(seconds, "0")
	}
	var ok bool
	if a.timestamp, ok = parseTimestamp(seconds, "s"); !ok {
		return attempt{}, fmt.Errorf("header %s: %w", f.timestamp, ErrMalformed)
	}
	if err := s.readSignatures(&a, signatures); err != nil {
		return attempt{}, fmt.Errorf("header %s %w", f.signature, err)
	}
	return a, nil
}

// readSignatures reads a list of version,base64 separated by spaces, or, as
// Supabase has it, by a comma and a space. Versions without a key and
// signatures that do not decode are skipped.
func (s *Standard) readSignatures(a *attempt, list string) error {
	n := 0
	for candidate := range strings.SplitSeq(list, " ") {
		candidate = strings.Trim(candidate, ",")
		if candidate == "" {
			continue
		}
		if n++; n > maxCandidates {
			return errTooMany
		}
		switch version, text, _ := strings.Cut(candidate, ","); {
		case version == "v1" && len(s.macKeys) > 0:
			if mac, ok := decodeBase64(text, sha256.Size); ok {
				a.macs = append(a.macs, mac)
			}
		case version == "v1a" && len(s.publicKeys) > 0:
			if signature, ok := decodeBase64(text, ed25519.SignatureSize); ok {
				a.signatures = append(a.signatures, signature)
			}
		}
	}
	if len(a.macs)+len(a.signatures) == 0 {
		return fmt.Errorf("holds no signature that a secret could have made: %w", ErrMalformed)
	}
	return nil
}

// signed reports whether any of the signatures is right. A MAC is only ever
// compared with MACs and an ed25519 signature only checked with public keys.
func (s *Standard) signed(a attempt, body []byte) bool {
	prefix := []byte(a.id + "." + a.timestampText + ".")
	if len(a.macs) > 0 && matches(s.macKeys, a.macs, [][]byte{prefix, body}) {
		return true
	}
	if len(a.signatures) == 0 {
		return false
	}
	message := slices.Concat(prefix, body)
	for _, key := range s.publicKeys {
		for _, signature := range a.signatures {
			if ed25519.Verify(key, message, signature) {
				return true
			}
		}
	}
	return false
}
