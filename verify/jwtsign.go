// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Sign sets on r.Header, which is not nil, a token that is issued at now and
// signed with the first key. It has the claims that the configuration asks for,
// and id as jti unless it is empty. If RequireExpiry is set it expires MaxAge
// later or, without that, after five minutes.
//
// It is an error if the algorithm is not one with a secret: nobody but the
// sender can sign then.
func (c JWTConfig) Sign(r *Request, id string, now time.Time) error {
	v, err := NewJWT(c)
	if err != nil {
		return err
	}
	keys, ok := v.keys.(macKeys)
	switch {
	case !ok:
		return errors.New("signing: only the sender has the private key")
	case r.Header == nil:
		return errors.New("signing a request without a header")
	}
	claims := map[string]any{"iat": now.Unix()}
	for name, value := range map[string]string{"iss": c.Issuer, "aud": c.Audience, "sub": c.Subject, "jti": id} {
		if value != "" {
			claims[name] = value
		}
	}
	if c.RequireExpiry {
		claims["exp"] = now.Add(cmp.Or(c.MaxAge, 5*time.Minute)).Unix()
	}
	if c.BodyClaim != "" {
		sum := sha256.Sum256(r.Body)
		claims[c.BodyClaim] = hex.EncodeToString(sum[:])
		if c.BodyEncoding == "base64" {
			claims[c.BodyClaim] = base64.StdEncoding.EncodeToString(sum[:])
		}
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return fmt.Errorf("signing: %w", err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	token := encode([]byte(`{"alg":"`+c.Algorithm+`","typ":"JWT"}`)) + "." + encode(payload)
	token += "." + encode(keys[0].sum([][]byte{[]byte(token)}))
	if v.bearer {
		token = "Bearer " + token
	}
	r.Header.Set(v.config.Header, token)
	return nil
}
