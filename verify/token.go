// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// TokenConfig configures [NewToken].
type TokenConfig struct {
	// Header is the name of the header field that holds the token.
	Header string `json:"header"`

	// Tokens are what its value may be, at least one.
	Tokens []string `json:"tokens"`
}

// Token verifies that a header holds a secret text. It proves who sent a
// request to a sender that uses TLS, and neither what nor when.
type Token struct {
	header string
	bearer bool // the token stands after "Bearer"
	tokens tokens
}

var (
	_ Verifier      = (*Token)(nil)
	_ HeaderChecker = (*Token)(nil)
)

// NewToken returns a verifier of tokens in a header of their own.
func NewToken(config TokenConfig) (*Token, error) {
	header, err := headerName(config.Header)
	if err != nil {
		return nil, err
	}
	t, err := newTokens("token", config.Tokens)
	if err != nil {
		return nil, err
	}
	return &Token{header: header, tokens: t}, nil
}

// NewBearer returns a verifier of tokens in Authorization: Bearer (RFC 6750).
func NewBearer(tokens []string) (*Token, error) {
	t, err := newTokens("token", tokens)
	if err != nil {
		return nil, err
	}
	for i, token := range tokens {
		if strings.ContainsAny(token, " \t") {
			return nil, fmt.Errorf("token %d contains white space", i+1)
		}
	}
	return &Token{header: "Authorization", bearer: true, tokens: t}, nil
}

// Verify implements [Verifier].
func (v *Token) Verify(r *Request, now time.Time) (Claims, error) {
	if err := v.CheckHeader(r, now); err != nil {
		return Claims{}, err
	}
	return Claims{Content: unsignedContent(r)}, nil
}

// CheckHeader implements [HeaderChecker]. The header is all there is to check.
func (v *Token) CheckHeader(r *Request, _ time.Time) error {
	token, err := single(r.Header, v.header)
	if err == nil && v.bearer {
		token, err = credentials(r.Header, "Bearer")
	}
	if err != nil {
		return err
	}
	if !v.tokens.contain(token) {
		return &fieldError{v.header, ErrMismatch}
	}
	return nil
}

// Traits implements [Verifier].
func (v *Token) Traits() Traits { return Traits{Headers: []string{v.header}} }

// credentials returns what stands after the name of the authentication scheme,
// which may be in either case.
func credentials(h http.Header, scheme string) (string, error) {
	value, err := single(h, "Authorization")
	if err != nil {
		return "", err
	}
	name, rest, _ := strings.Cut(value, " ")
	if !strings.EqualFold(name, scheme) {
		return "", fmt.Errorf("%s credentials in header Authorization: %w", scheme, ErrMissing)
	}
	if rest = strings.TrimLeft(rest, " "); rest == "" {
		return "", fmt.Errorf("%s credentials in header Authorization are empty: %w", scheme, ErrMalformed)
	}
	return rest, nil
}

// tokens are secret texts. Only hashes are kept and compared, so that neither
// the time a comparison takes nor its length tells anything about them.
type tokens [][sha256.Size]byte

// newTokens checks the texts. What is their name in errors.
func newTokens(what string, texts []string) (tokens, error) {
	if len(texts) == 0 {
		return nil, fmt.Errorf("no %ss", what)
	}
	var t tokens
	for i, text := range texts {
		if err := checkText(text); err != nil {
			return nil, fmt.Errorf("%s %d %w", what, i+1, err)
		}
		if err := checkPrintable(text); err != nil {
			return nil, fmt.Errorf("%s %d %w", what, i+1, err)
		}
		t = append(t, sha256.Sum256([]byte(text)))
	}
	return t, nil
}

// contain compares text with every token, whatever the outcome of the first.
func (t tokens) contain(text string) bool {
	var room [256]byte // on the stack, where the conversion of a long text is not
	sum := sha256.Sum256(append(room[:0], text...))
	found := 0
	for i := range t {
		found |= subtle.ConstantTimeCompare(t[i][:], sum[:])
	}
	return found == 1
}

func checkPrintable(text string) error {
	for i := range len(text) {
		if text[i] < ' ' || text[i] == 0x7f {
			return errors.New("contains a control character, which no header can")
		}
	}
	return nil
}
