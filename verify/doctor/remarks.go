// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/caddy-webhook-inbox/inbox/verify"
	"github.com/caddy-webhook-inbox/inbox/verify/senders"
)

// remarks says what is conspicuous about the request: if nothing verifies it, all
// that may tell why.
func (d diagnosis) remarks(findings []Finding) []string {
	if len(findings) > 0 {
		return nil
	}
	var list []string
	list = append(list, d.twice()...)
	list = append(list, d.known()...)
	list = append(list, d.hashes()...)
	list = append(list, d.tokensMeant()...)
	list = append(list, d.elsewhere()...)
	return append(list, d.lookedLike())
}

// renumber puts the number of a secret into an error about a first one.
func renumber(reason string, number int) string {
	for _, what := range []string{"secret", "token", "key", "password", "client state"} {
		if rest, ok := strings.CutPrefix(reason, what+" 1 "); ok {
			return fmt.Sprintf("%s %d %s", what, number, rest)
		}
	}
	return reason
}

// twice names the fields that are there several times and should not be.
func (d diagnosis) twice() []string {
	var list []string
	proofs := make(map[string]bool)
	for _, row := range d.rows {
		for _, name := range Headers(row.Scheme) {
			proofs[http.CanonicalHeaderKey(name)] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.r.Header)) {
		if n := len(d.r.Header[name]); n > 1 && proofs[name] {
			list = append(list, fmt.Sprintf("The header field %s is there %d times: an inbox takes none of them.", name, n))
		}
	}
	return list
}

// hashes names the values that are plain hashes of the body, with a secret or
// without.
func (d diagnosis) hashes() []string {
	var list []string
	for _, s := range signatures(d.r) {
		where := s.at.JSON
		if where == "" {
			where = s.at.Headers[0]
		}
		if bytes.Equal(hashOf(len(s.bytes), d.r.Body), s.bytes) {
			list = append(list, fmt.Sprintf("%s is a hash of the body alone: everyone can make it, and it proves nothing.", where))
		}
		for i, secret := range d.secrets {
			before, after := slices.Concat([]byte(secret), d.r.Body), slices.Concat(d.r.Body, []byte(secret))
			if bytes.Equal(hashOf(len(s.bytes), before), s.bytes) || bytes.Equal(hashOf(len(s.bytes), after), s.bytes) {
				list = append(list, fmt.Sprintf("%s is a plain hash of secret %d and the body, and no HMAC. Only hubspot_v1 is like that, in X-HubSpot-Signature: there is no generic scheme for it, because it is weak.", where, i+1))
			}
		}
		if n := len(s.bytes); n == 64 || algorithms[n] == "" {
			list = append(list, fmt.Sprintf("%s has the size of a signature with a private key. If it is one, give the sender's public key for the secret.", where))
		}
	}
	return slices.Compact(list)
}

func hashOf(size int, data []byte) []byte {
	switch size {
	case sha1.Size:
		sum := sha1.Sum(data)
		return sum[:]
	case sha256.Size:
		sum := sha256.Sum256(data)
		return sum[:]
	case sha512.Size384:
		sum := sha512.Sum384(data)
		return sum[:]
	case sha512.Size:
		sum := sha512.Sum512(data)
		return sum[:]
	default:
		return nil
	}
}

// tokensMeant says that a JSON Web Token is there which none of the secrets made, or
// can have made.
func (d diagnosis) tokensMeant() []string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(d.r.Header)) {
		header, _, ok := readJWT(strings.TrimPrefix(d.r.Header.Get(name), "Bearer "))
		if !ok {
			continue
		}
		list = append(list, fmt.Sprintf("%s holds a JSON Web Token, which was made with another secret than these, or for another body: see \"verify jwt\".", name))
		for i, secret := range d.secrets {
			scheme := senders.JWT{Config: verify.JWTConfig{Algorithm: header.text("alg")}}
			if _, err := scheme.Verifier(senders.Keys{Secrets: []string{secret}}); err != nil {
				list = append(list, fmt.Sprintf("Secret %d cannot be its key: %s.", i+1, renumber(err.Error(), i+1)))
			}
		}
	}
	return list
}
