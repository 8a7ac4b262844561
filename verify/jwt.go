// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"cmp"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"
)

// JWTConfig configures [NewJWT]. The zero value of a field is its default.
type JWTConfig struct {
	// Header is the header field that holds the token: by default Authorization,
	// where it stands after "Bearer", elsewhere alone.
	Header string `json:"header,omitempty"`

	// Algorithm is HS256, HS384, HS512, RS256, ES256 or EdDSA (Ed25519), of RFC 7518
	// and RFC 8037. A token that names another one is refused. It has no default.
	Algorithm string `json:"algorithm"`

	// Keys are those of which any may have signed, at least one. For HS256, HS384
	// and HS512 they are secrets, by default raw. For the others they are public
	// keys in the form SubjectPublicKeyInfo (RFC 5280), by default pem or base64:
	// no text is both. Hex is possible too, and for EdDSA the 32 bytes alone.
	Keys []Secret `json:"keys"`

	// ShortSecrets allows secrets of less than 16 bytes, for senders whose users
	// choose a text. All should have the size of the hash (RFC 7518, section 3.2).
	ShortSecrets bool `json:"short_secrets,omitempty"`

	// Issuer, Audience and Subject are what the claims iss, aud and sub must be
	// or, if there are several audiences, contain. Empty: anything.
	Issuer   string `json:"issuer,omitempty"`
	Audience string `json:"audience,omitempty"`
	Subject  string `json:"subject,omitempty"`

	// BodyClaim is the name of the claim that holds the SHA-256 of the body, and
	// BodyEncoding how: hex, the default, or base64. Empty: the body is not signed.
	BodyClaim    string `json:"body_claim,omitempty"`
	BodyEncoding string `json:"body_encoding,omitempty"`

	// Tolerance is how far the sender's clock may be ahead, and how far behind
	// when a token expires, by default [DefaultLeeway].
	Tolerance time.Duration `json:"tolerance,omitempty"`

	// MaxAge is how long ago a token may have been issued: it must say when (iat)
	// then. Zero: it need not, and its age does not matter.
	MaxAge time.Duration `json:"max_age,omitempty"`

	// RequireExpiry refuses a token that does not say when it expires (exp).
	RequireExpiry bool `json:"require_expiry,omitempty"`
}

// JWT verifies that a header holds a JSON Web Token (RFC 7519) that was signed
// with one of the keys (RFC 7515, compact). The keys and the algorithm are those
// of the configuration: what a token says of keys is not read.
//
// Without a body claim it proves who sent a request, and not what: within its
// time, one token does for any number of requests.
//
// Refused are tokens on which readers could disagree: with a name given twice,
// with base64url that is padded or has unused bits set, with extensions that
// must be understood (crit).
type JWT struct {
	config JWTConfig
	bearer bool
	keys   signatureKeys
	sizes  sizes
	decode func(string) ([]byte, error) // of the body claim; nil if there is none
}

var (
	_ Verifier      = (*JWT)(nil)
	_ HeaderChecker = (*JWT)(nil)
)

// DefaultLeeway is how far the clock of a token's sender may be off, unless the
// configuration says otherwise. RFC 7519 advises no more than a few minutes.
const DefaultLeeway = time.Minute

const formJWT = "jwt body" // of content: the hash of the body

// registeredClaims are those of RFC 7519.
var registeredClaims = []string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti"}

// NewJWT returns the verifier that config describes.
func NewJWT(config JWTConfig) (v *JWT, err error) {
	v = &JWT{config: config}
	if v.config.Header, err = headerName(cmp.Or(config.Header, "Authorization")); err != nil {
		return nil, err
	}
	v.bearer = v.config.Header == "Authorization"
	minSecret := minJWTSecret
	if config.ShortSecrets {
		minSecret = 0
	}
	if v.keys, v.sizes, err = newJWTKeys(config.Algorithm, config.Keys, minSecret); err != nil {
		return nil, err
	}
	switch {
	case config.Tolerance < 0:
		return nil, errors.New("tolerance is negative")
	case config.MaxAge < 0:
		return nil, errors.New("max age is negative")
	case config.BodyClaim == "" && config.BodyEncoding != "":
		return nil, errors.New("body encoding without a body claim")
	case slices.Contains(registeredClaims, config.BodyClaim):
		return nil, fmt.Errorf("body claim %s: it has another meaning in every token", config.BodyClaim)
	}
	if config.BodyClaim != "" {
		switch config.BodyEncoding {
		case "", "hex":
			v.decode = hex.DecodeString
		case "base64":
			v.decode = base64.StdEncoding.Strict().DecodeString
		default:
			return nil, fmt.Errorf("unknown body encoding %q: expected hex or base64", config.BodyEncoding)
		}
	}
	v.config.Keys = nil
	v.config.Tolerance = cmp.Or(config.Tolerance, DefaultLeeway)
	return v, nil
}

// Verify implements [Verifier].
func (v *JWT) Verify(r *Request, now time.Time) (Claims, error) {
	token, err := v.check(r, now)
	if err != nil {
		return Claims{}, err
	}
	claims := Claims{Content: unsignedContent(r)}
	if v.config.MaxAge > 0 {
		claims.Timestamp = token.issued
	}
	if v.decode == nil {
		return claims, nil
	}
	sum := sha256.Sum256(r.Body)
	signed, err := v.decode(token.body)
	if err != nil || len(signed) != len(sum) {
		return Claims{}, fmt.Errorf("claim %s is no hash: %w", v.config.BodyClaim, ErrMalformed)
	}
	if subtle.ConstantTimeCompare(signed, sum[:]) != 1 {
		return Claims{}, fmt.Errorf("claim %s is the hash of another body: %w", v.config.BodyClaim, ErrMismatch)
	}
	claims.Content = r.content(formJWT, sum[:])
	return claims, nil
}

// CheckHeader implements [HeaderChecker]. Nothing but the body remains to be
// checked after it.
func (v *JWT) CheckHeader(r *Request, now time.Time) error {
	text, err := v.text(r)
	if err != nil {
		return err
	}
	claims, err := v.authenticate(text)
	if err != nil {
		return err
	}
	r.checked = &checkedToken{v, text, claims}
	return v.checkClaims(&claims, now)
}

// A checkedToken is what CheckHeader found out about a token, so that Verify need
// not do it again: a signature of RSA costs more than the rest of a request.
type checkedToken struct {
	by     *JWT
	text   string
	claims jwtClaims
}

// Traits implements [Verifier].
func (v *JWT) Traits() Traits {
	t := Traits{Headers: []string{v.config.Header}}
	if v.config.MaxAge > 0 {
		t.Timestamp, t.Tolerance = true, max(v.config.MaxAge, v.config.Tolerance)
	}
	if v.decode != nil {
		t.Covers = func(part string) bool { return part == "body" }
	}
	return t
}

// check verifies everything but the body.
func (v *JWT) check(r *Request, now time.Time) (t jwtClaims, err error) {
	text, err := v.text(r)
	if err != nil {
		return t, err
	}
	// Whether a token is authentic depends on nothing but the token and the keys.
	if c := r.checked; c != nil && c.by == v && c.text == text {
		t = c.claims
	} else if t, err = v.authenticate(text); err != nil {
		return t, err
	}
	return t, v.checkClaims(&t, now)
}

// text returns the token that a request has.
func (v *JWT) text(r *Request) (text string, err error) {
	text, err = single(r.Header, v.config.Header)
	if err == nil && v.bearer {
		text, err = credentials(r.Header, "Bearer")
	}
	return text, err
}

// authenticate verifies the signature of a token and returns its claims.
func (v *JWT) authenticate(text string) (t jwtClaims, err error) {
	room := newScratch()
	defer room.free()
	token, err := parseJWT(text, room)
	if err != nil {
		return t, err
	}
	room.signatures = append(room.signatures, token.signature)
	room.parts = append(room.parts, token.signed)
	switch {
	case token.algorithm != v.config.Algorithm:
		return t, fmt.Errorf("algorithm of the token: %w", ErrMismatch)
	case !v.sizes.has(len(token.signature)):
		return t, fmt.Errorf("size of the token's signature: %w", ErrMalformed)
	case !v.keys.match(room.signatures, room.parts):
		return t, errTokenSignature
	}
	return readJWTClaims(token.payload, v.config.BodyClaim, room)
}

var errTokenSignature = fmt.Errorf("signature of the token: %w", ErrMismatch)

func (v *JWT) checkClaims(t *jwtClaims, now time.Time) error {
	c := &v.config
	switch {
	case c.Issuer != "" && t.issuer != c.Issuer:
		return fmt.Errorf("claim iss: %w", ErrMismatch)
	case c.Subject != "" && t.subject != c.Subject:
		return fmt.Errorf("claim sub: %w", ErrMismatch)
	case c.Audience != "" && !t.isFor(c.Audience):
		return fmt.Errorf("claim aud: %w", ErrMismatch)
	case c.BodyClaim != "" && t.body == "":
		return fmt.Errorf("claim %s: %w", c.BodyClaim, ErrMissing)
	case c.MaxAge > 0 && t.issued.IsZero():
		return fmt.Errorf("claim iat: %w", ErrMissing)
	case c.RequireExpiry && t.expires.IsZero():
		return fmt.Errorf("claim exp: %w", ErrMissing)
	}
	ahead, behind := now.Add(c.Tolerance), now.Add(-c.Tolerance)
	switch {
	case !t.expires.IsZero() && !behind.Before(t.expires):
		return fmt.Errorf("claim exp: %w", ErrExpired)
	case t.notBefore.After(ahead):
		return fmt.Errorf("claim nbf: %w", ErrExpired)
	case t.issued.After(ahead):
		return fmt.Errorf("claim iat is ahead: %w", ErrExpired)
	case c.MaxAge > 0 && now.Sub(t.issued) > c.MaxAge:
		return fmt.Errorf("claim iat: %w", ErrExpired)
	}
	return nil
}
