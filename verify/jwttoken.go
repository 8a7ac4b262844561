// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
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
// section 7.1). What it returns is in room.
func parseJWT(text string, room *scratch) (t jwtToken, err error) {
	if len(text) > maxJWT {
		return t, fmt.Errorf("token of more than %d bytes: %w", maxJWT, ErrMalformed)
	}
	if strings.Count(text, ".") != 2 {
		return t, errParts
	}
	var decoded [3][]byte
	for i, rest := 0, text; i < len(decoded); i++ {
		var part string
		part, rest, _ = strings.Cut(rest, ".")
		from := len(room.text)
		// The decoder passes over line breaks, which makes many texts of one token.
		room.text, err = strictURL.AppendDecode(room.text, []byte(part))
		decoded[i] = room.since(from)
		if err != nil || len(decoded[i]) == 0 || strings.ContainsAny(part, "\r\n") {
			return t, errNotBase64URL
		}
	}
	header, err := membersOnce(decoded[0], "header of the token", room)
	if err != nil {
		return t, err
	}
	for _, name := range []string{"crit", "b64"} {
		if header.get(name) != nil {
			return t, fmt.Errorf("token with extension %s: %w", name, ErrMalformed)
		}
	}
	algorithm, ok := jsonText(header.get("alg"))
	if !ok {
		return t, fmt.Errorf("token without alg: %w", ErrMalformed)
	}
	signed := text[:strings.LastIndexByte(text, '.')]
	return jwtToken{algorithm, room.bytes(signed), decoded[1], decoded[2]}, nil
}

var (
	strictURL       = base64.RawURLEncoding.Strict()
	errParts        = fmt.Errorf("token has not three parts: %w", ErrMalformed)
	errNotBase64URL = fmt.Errorf("token is not canonical base64url: %w", ErrMalformed)
)

// jwtClaims are the claims that are read, each empty if it is not there.
type jwtClaims struct {
	issuer, subject            string
	audience                   []string
	body                       string
	issued, notBefore, expires time.Time
}

// readJWTClaims reads the payload of a token (RFC 7519, section 4.1). BodyClaim is
// the name of a further claim, or empty.
func readJWTClaims(payload []byte, bodyClaim string, room *scratch) (c jwtClaims, err error) {
	members, err := membersOnce(payload, "claims of the token", room)
	if err != nil {
		return c, err
	}
	for name, to := range c.texts(bodyClaim) {
		value := members.get(name)
		if value == nil {
			continue
		}
		text, ok := jsonText(value)
		if !ok {
			return c, fmt.Errorf("claim %s is no text: %w", name, ErrMalformed)
		}
		*to = text
	}
	for name, to := range c.dates() {
		value := members.get(name)
		if value == nil {
			continue
		}
		date, ok := numericDate(value)
		if !ok {
			return c, fmt.Errorf("claim %s is no date: %w", name, ErrMalformed)
		}
		*to = date
	}
	c.audience, err = readAudience(members.get("aud"))
	return c, err
}

// texts yields the claims that are texts, by name.
func (c *jwtClaims) texts(bodyClaim string) iter.Seq2[string, *string] {
	return func(yield func(string, *string) bool) {
		_ = yield("iss", &c.issuer) && yield("sub", &c.subject) && (bodyClaim == "" || yield(bodyClaim, &c.body))
	}
}

// dates yields the claims that are dates, by name.
func (c *jwtClaims) dates() iter.Seq2[string, *time.Time] {
	return func(yield func(string, *time.Time) bool) {
		_ = yield("iat", &c.issued) && yield("nbf", &c.notBefore) && yield("exp", &c.expires)
	}
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

// jsonMembers are the members of a JSON object.
type jsonMembers []jsonMember

type jsonMember struct {
	name  []byte // without quotes and escapes
	value []byte
}

// get returns the value of a member, nil if it is not there.
func (m jsonMembers) get(name string) []byte {
	for i := range m {
		if string(m[i].name) == name {
			return m[i].value
		}
	}
	return nil
}

// membersOnce returns the members of a JSON object. A name that is given twice is
// malformed, also in another case: of two, some parsers take the first, some the
// last, and some take either case for the same. What is its name in errors. The
// members are in room, until it is called again.
func membersOnce(document []byte, what string, room *scratch) (jsonMembers, error) {
	if !json.Valid(document) {
		return nil, fmt.Errorf("%s: %w", what, ErrMalformed)
	}
	value := trimJSON(document)
	if value[0] != '{' {
		return nil, fmt.Errorf("%s: %w", what, ErrMalformed)
	}
	room.members = emptied(room.members)
	for rest := trimJSON(value[1:]); rest[0] != '}'; {
		end := skipJSON(rest)
		name := plainJSON(rest[:end])
		if !utf8.Valid(name) || bytes.ContainsRune(name, utf8.RuneError) || len(room.members) == maxJWTMembers {
			return nil, fmt.Errorf("%s: %w", what, ErrMalformed)
		}
		for i := range room.members {
			if bytes.EqualFold(name, room.members[i].name) {
				return nil, fmt.Errorf("%s: a name is given twice: %w", what, ErrMalformed)
			}
		}
		rest = trimJSON(trimJSON(rest[end:])[1:]) // after the colon
		end = skipJSON(rest)
		room.members = append(room.members, jsonMember{name, rest[:end]})
		rest = nextJSON(rest[end:])
	}
	return room.members, nil
}
