// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-webhook-inbox/inbox/verify"
	"github.com/caddy-webhook-inbox/inbox/verify/senders"
)

// jwts returns the JSON Web Tokens of the header that one of the secrets has
// signed, or the private key of a public one.
func (d diagnosis) jwts() []Finding {
	var findings []Finding
	for _, name := range slices.Sorted(maps.Keys(d.r.Header)) {
		header, claims, ok := readJWT(strings.TrimPrefix(d.r.Header.Get(name), "Bearer "))
		if !ok {
			continue
		}
		config := verify.JWTConfig{
			Algorithm:     header.text("alg"),
			Issuer:        claims.text("iss"),
			RequireExpiry: claims["exp"] != nil,
		}
		audiences := audiencesOf(claims)
		var notes []string
		if len(audiences) > 0 {
			config.Audience = audiences[0]
		}
		if len(audiences) > 1 {
			notes = []string{"The token is for several audiences. The first of them is printed: see that it is yours."}
		}
		if name != "Authorization" {
			config.Header = name
		}
		config.BodyClaim, config.BodyEncoding = bodyClaim(claims, d.r.Body)
		for i, secret := range d.secrets {
			for _, encoding := range []string{"", "base64", "hex"} {
				if f, ok := d.try(senders.JWT{Config: config, Encoding: encoding}, senders.Keys{Secrets: []string{secret}}); ok {
					f.Secret, f.Notes = i+1, notes
					findings = append(findings, f)
					break
				}
			}
		}
	}
	return findings
}

// readJWT reads what has the form of a JSON Web Token.
func readJWT(text string) (header, claims object, ok bool) {
	pieces := strings.Split(text, ".")
	if len(pieces) != 3 {
		return nil, nil, false
	}
	var parsed [2]object
	for i := range parsed {
		b, err := base64.RawURLEncoding.DecodeString(pieces[i])
		if err != nil || json.Unmarshal(b, &parsed[i]) != nil {
			return nil, nil, false
		}
	}
	return parsed[0], parsed[1], parsed[0].text("alg") != ""
}

// bodyClaim returns the name of the claim that holds the hash of the body, and how;
// nothing if none does.
func bodyClaim(claims object, body []byte) (name, encoding string) {
	sum := sha256.Sum256(body)
	for _, name := range slices.Sorted(maps.Keys(claims)) {
		switch text, _ := asText(claims[name]); {
		case strings.EqualFold(text, hex.EncodeToString(sum[:])):
			return name, ""
		case text == base64.StdEncoding.EncodeToString(sum[:]):
			return name, "base64"
		}
	}
	return "", ""
}

// audiencesOf returns those that a token is for.
func audiencesOf(claims object) (list []string) {
	if text := claims.text("aud"); text != "" {
		return []string{text}
	}
	for _, value := range asList(claims["aud"]) {
		if text, ok := asText(value); ok && text != "" {
			list = append(list, text)
		}
	}
	return list
}

// until returns when a token of the request is refused from; zero if it does not
// say so, or the scheme is none with a token.
func (d diagnosis) until(scheme senders.Scheme) time.Time {
	s, ok := scheme.(senders.JWT)
	if !ok {
		return time.Time{}
	}
	_, claims, ok := readJWT(strings.TrimPrefix(d.r.Header.Get(Headers(s)[0]), "Bearer "))
	seconds, err := strconv.ParseFloat(claims.text("exp"), 64)
	if !ok || err != nil || math.Abs(seconds) > 1e11 {
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0).Add(cmp.Or(s.Config.Tolerance, verify.DefaultLeeway))
}
