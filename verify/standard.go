// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
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
	publicKeys ed25519Keys
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
	room := newScratch()
	defer room.free()
	attempts, err := s.attempts(r.Header, room)
	if err != nil {
		return Claims{}, err
	}
	refusal := errStandardMismatch
	for i := range attempts {
		switch a := &attempts[i]; {
		case !s.signed(a, r.Body, room):
		case !fresh(a.timestamp, now, s.tolerance):
			refusal = errStandardExpired
		default:
			return Claims{
				ID:        a.id,
				Timestamp: a.timestamp,
				Content:   r.content(formStandard, []byte(a.id), r.Body),
			}, nil
		}
	}
	return Claims{}, refusal
}

var (
	errStandardMissing  = fmt.Errorf("svix-* and webhook-* headers: %w", ErrMissing)
	errStandardMismatch = fmt.Errorf("webhook signature: %w", ErrMismatch)
	errStandardExpired  = fmt.Errorf("webhook signature: %w", ErrExpired)
)

// CheckHeader implements [HeaderChecker].
func (s *Standard) CheckHeader(r *Request, _ time.Time) error {
	room := newScratch()
	defer room.free()
	_, err := s.attempts(r.Header, room)
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

// An attempt is what a complete and well-formed family says.
type attempt struct {
	id            string
	timestamp     time.Time
	timestampText string
	macs          [][]byte // v1, if there are keys for it
	signatures    [][]byte // v1a, likewise
}

// attempts reads the families. There is at least one attempt, or an error.
func (s *Standard) attempts(h http.Header, room *scratch) ([]attempt, error) {
	var refusal error
	for i := range families {
		f := &families[i]
		values := f.values(h)
		if len(values.id)+len(values.timestamp)+len(values.signature) == 0 {
			continue
		}
		// Refused even if the other family is impeccable: no sender does this.
		if err := values.checkOnce(f); err != nil {
			return nil, err
		}
		n := len(room.attempts)
		room.attempts = append(room.attempts, attempt{})
		if err := s.read(&room.attempts[n], f, &values, room); err != nil {
			room.attempts = room.attempts[:n]
			refusal = furthest(refusal, err)
		}
	}
	switch {
	case len(room.attempts) > 0:
		return room.attempts, nil
	case refusal != nil:
		return nil, refusal
	default:
		return nil, errStandardMissing
	}
}

func (s *Standard) read(a *attempt, f *family, values *familyValues, room *scratch) (err error) {
	if a.id, err = one(values.id, f.id); err != nil {
		return err
	}
	if a.timestampText, err = one(values.timestamp, f.timestamp); err != nil {
		return err
	}
	signatures, err := one(values.signature, f.signature)
	if err != nil {
		return err
	}

	// What is signed is id.timestamp.body. With a dot in the id, one signature
	// would be that of several messages.
	if !validID(a.id) || strings.Contains(a.id, ".") {
		return &fieldError{f.id, ErrMalformed}
	}
	seconds := a.timestampText
	if s.zeros {
		seconds = strings.TrimLeft(seconds, "0")
	}
	var ok bool
	if a.timestamp, ok = parseTimestamp(seconds, "s"); !ok {
		return &fieldError{f.timestamp, ErrMalformed}
	}
	if err := s.readSignatures(a, signatures, room); err != nil {
		return fmt.Errorf("header %s %w", f.signature, err)
	}
	return nil
}

// readSignatures reads a list of version,base64 separated by spaces, or, as
// Supabase has it, by a comma and a space. Versions without a key and
// signatures that do not decode are skipped.
func (s *Standard) readSignatures(a *attempt, list string, room *scratch) error {
	n, macs, signatures := 0, len(room.macs), len(room.signatures)
	for list != "" {
		var candidate string
		candidate, list, _ = strings.Cut(list, " ")
		candidate = strings.Trim(candidate, ",")
		if candidate == "" {
			continue
		}
		if n++; n > maxCandidates {
			return errTooMany
		}
		switch version, text, _ := strings.Cut(candidate, ","); {
		case version == "v1" && len(s.macKeys) > 0:
			if mac, ok := room.decodeBase64(text, sha256.Size); ok {
				room.macs = append(room.macs, mac)
			}
		case version == "v1a" && len(s.publicKeys) > 0:
			if signature, ok := room.decodeBase64(text, ed25519.SignatureSize); ok {
				room.signatures = append(room.signatures, signature)
			}
		}
	}
	a.macs, a.signatures = room.macs[macs:], room.signatures[signatures:]
	if len(a.macs)+len(a.signatures) == 0 {
		return fmt.Errorf("holds no signature that a secret could have made: %w", ErrMalformed)
	}
	return nil
}

// signed reports whether any of the signatures is right. A MAC is only ever
// compared with MACs and an ed25519 signature only checked with public keys.
func (s *Standard) signed(a *attempt, body []byte, room *scratch) bool {
	from := len(room.text)
	room.text = append(append(append(append(room.text, a.id...), '.'), a.timestampText...), '.')
	room.parts = append(emptied(room.parts), room.since(from), body)
	return len(a.macs) > 0 && matches(s.macKeys, a.macs, room.parts) ||
		len(a.signatures) > 0 && s.publicKeys.match(a.signatures, room.parts)
}
