// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// maxJWT is the length in bytes of the longest token.
	maxJWT = 16 << 10

	// maxJWTMembers is how many names the header or the claims may have.
	maxJWTMembers = 200
)

// A jwtToken is a token taken apart. Nothing in it is verified.
type jwtToken struct {
	algorithm string
	signed    []byte // header and payload as received
	payload   []byte
	signature []byte
}

// parseJWT takes a token of the form header.payload.signature apart (RFC 7515,
// section 7.1).
func parseJWT(text string) (t jwtToken, err error) {
	if len(text) > maxJWT {
		return t, fmt.Errorf("token of more than %d bytes: %w", maxJWT, ErrMalformed)
	}
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return t, fmt.Errorf("token has not three parts: %w", ErrMalformed)
	}
	var decoded [3][]byte
	for i, part := range parts {
		// The decoder passes over line breaks, which makes many texts of one token.
		b, err := base64.RawURLEncoding.Strict().DecodeString(part)
		if err != nil || len(b) == 0 || strings.ContainsAny(part, "\r\n") {
			return t, fmt.Errorf("token is not canonical base64url: %w", ErrMalformed)
		}
		decoded[i] = b
	}
	header, err := membersOnce(decoded[0], "header of the token")
	if err != nil {
		return t, err
	}
	for _, name := range []string{"crit", "b64"} {
		if _, ok := header[name]; ok {
			return t, fmt.Errorf("token with extension %s: %w", name, ErrMalformed)
		}
	}
	algorithm, ok := jsonText(header["alg"])
	if !ok {
		return t, fmt.Errorf("token without alg: %w", ErrMalformed)
	}
	signed := text[:strings.LastIndexByte(text, '.')]
	return jwtToken{algorithm, []byte(signed), decoded[1], decoded[2]}, nil
}

// jwtClaims are the claims that are read, each empty if it is not there.
type jwtClaims struct {
	issuer, subject            string
	audience                   []string
	body                       string
	issued, notBefore, expires time.Time
}

// readJWTClaims reads the payload of a token (RFC 7519, section 4.1). BodyClaim is
// the name of a further claim, or empty.
func readJWTClaims(payload []byte, bodyClaim string) (c jwtClaims, err error) {
	members, err := membersOnce(payload, "claims of the token")
	if err != nil {
		return c, err
	}
	texts := map[string]*string{"iss": &c.issuer, "sub": &c.subject}
	if bodyClaim != "" {
		texts[bodyClaim] = &c.body
	}
	for name, to := range texts {
		value, there := members[name]
		if !there {
			continue
		}
		text, ok := jsonText(value)
		if !ok {
			return c, fmt.Errorf("claim %s is no text: %w", name, ErrMalformed)
		}
		*to = text
	}
	for name, to := range map[string]*time.Time{"iat": &c.issued, "nbf": &c.notBefore, "exp": &c.expires} {
		value, there := members[name]
		if !there {
			continue
		}
		date, ok := numericDate(value)
		if !ok {
			return c, fmt.Errorf("claim %s is no date: %w", name, ErrMalformed)
		}
		*to = date
	}
	c.audience, err = readAudience(members["aud"])
	return c, err
}

func (c *jwtClaims) isFor(audience string) bool { return slices.Contains(c.audience, audience) }

// readAudience reads one audience or a list of them. There may be none.
func readAudience(value []byte) (audience []string, err error) {
	if value == nil {
		return nil, nil
	}
	if text, ok := jsonText(value); ok {
		return []string{text}, nil
	}
	malformed := fmt.Errorf("claim aud is neither text nor texts: %w", ErrMalformed)
	if value[0] != '[' {
		return nil, malformed
	}
	for rest := trimJSON(value[1:]); rest[0] != ']'; {
		end := skipJSON(rest)
		text, ok := jsonText(rest[:end])
		if !ok {
			return nil, malformed
		}
		audience = append(audience, text)
		rest = nextJSON(rest[end:])
	}
	return audience, nil
}

// numericDate reads seconds since 1970, zero or more, maybe with a fraction.
func numericDate(value []byte) (time.Time, bool) {
	seconds, err := strconv.ParseFloat(string(value), 64) // refuses JSON that is no number
	if err != nil || !(seconds >= 0) || seconds > maxSeconds {
		return time.Time{}, false
	}
	whole, fraction := math.Modf(seconds)
	return time.Unix(int64(whole), int64(fraction*1e9)).UTC(), true
}

// jsonText returns the text of a JSON string.
func jsonText(value []byte) (string, bool) {
	if len(value) == 0 || value[0] != '"' {
		return "", false
	}
	text := unquoteJSON(value)
	return text, isText(text)
}

// membersOnce returns the members of a JSON object. A name that is given twice is
// malformed, also in another case: of two, some parsers take the first, some the
// last, and some take either case for the same. What is its name in errors.
func membersOnce(document []byte, what string) (map[string][]byte, error) {
	malformed := fmt.Errorf("%s: %w", what, ErrMalformed)
	if !json.Valid(document) {
		return nil, malformed
	}
	value := trimJSON(document)
	if value[0] != '{' {
		return nil, malformed
	}
	members := make(map[string][]byte)
	for rest := trimJSON(value[1:]); rest[0] != '}'; {
		end := skipJSON(rest)
		name := unquoteJSON(rest[:end])
		if !isText(name) || len(members) == maxJWTMembers {
			return nil, malformed
		}
		for other := range members {
			if strings.EqualFold(name, other) {
				return nil, fmt.Errorf("%s: a name is given twice: %w", what, ErrMalformed)
			}
		}
		rest = trimJSON(trimJSON(rest[end:])[1:]) // after the colon
		end = skipJSON(rest)
		members[name] = rest[:end]
		rest = nextJSON(rest[end:])
	}
	return members, nil
}
