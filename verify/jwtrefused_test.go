// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

func TestJWTsThatAreRefused(t *testing.T) {
	t.Parallel()
	const (
		header = `{"alg":"HS256","typ":"JWT"}`
		claims = `{"iss":"a","sub":"s","aud":"b","iat":1700000000,"exp":1700003600,"h":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}`
	)
	signed := func(claims string) string { return writeJWT(header, claims, jwtSecret) }
	change := func(old, new string) string { return signed(strings.Replace(claims, old, new, 1)) }
	headed := func(header string) string { return writeJWT(header, claims, jwtSecret) }
	genuine := signed(claims)
	cut := func(s string, n int) string { return s[:len(s)-n] }
	unsigned := cut(genuine, 43)

	config := jwtConfig()
	config.Issuer, config.Subject, config.Audience, config.BodyClaim = "a", "s", "b", "h"
	config.MaxAge, config.RequireExpiry = 10*time.Minute, true
	v := newJWT(t, config)
	for name, c := range map[string]struct{ token, want string }{
		"genuine":                             {genuine, "ok"},
		"with a kid, jku and jwk":             {headed(`{"alg":"HS256","kid":"../../dev/null","jku":"https://example.com","jwk":{"kty":"oct","k":"AA"}}`), "ok"},
		"for several":                         {change(`"b"`, `["x", "b"]`), "ok"},
		"with a fraction":                     {change(`1700003600`, `1700003600.5`), "ok"},
		"with an exponent":                    {change(`1700003600`, `17000036e2`), "ok"},
		"with spaces":                         {signed(" " + claims + "\n"), "ok"},
		"issued just within the tolerance":    {change(`1700000000`, `1700000060`), "ok"},
		"issued just within the greatest age": {change(`1700000000`, `1699999400`), "ok"},
		"valid since 1970":                    {change(`"exp"`, `"nbf":0,"exp"`), "ok"},

		"nothing":                            {"", "missing"},
		"alg none":                           {encodeURL([]byte(`{"alg":"none"}`)) + "." + encodeURL([]byte(claims)) + ".", "malformed"},
		"alg none with a signature":          {headed(`{"alg":"none"}`), "mismatch"},
		"alg None":                           {headed(`{"alg":"None"}`), "mismatch"},
		"alg in lower case":                  {headed(`{"alg":"hs256"}`), "mismatch"},
		"another alg":                        {headed(`{"alg":"HS512"}`), "mismatch"},
		"a public alg":                       {headed(`{"alg":"RS256"}`), "mismatch"},
		"no alg":                             {headed(`{"typ":"JWT"}`), "malformed"},
		"alg of another type":                {headed(`{"alg":["HS256"]}`), "malformed"},
		"alg twice":                          {headed(`{"alg":"HS256","alg":"HS256"}`), "malformed"},
		"alg twice, once escaped":            {headed(`{"alg":"HS256","\u0061lg":"none"}`), "malformed"},
		"alg twice, once in upper case":      {headed(`{"alg":"HS256","ALG":"none"}`), "malformed"},
		"crit":                               {headed(`{"alg":"HS256","crit":["exp"],"exp":1}`), "malformed"},
		"an empty crit":                      {headed(`{"alg":"HS256","crit":[]}`), "malformed"},
		"b64 false":                          {headed(`{"alg":"HS256","b64":false}`), "malformed"},
		"a header that is no object":         {headed(`["HS256"]`), "malformed"},
		"a header that is no JSON":           {headed(`{"alg":"HS256",}`), "malformed"},
		"two headers":                        {headed(header + header), "malformed"},
		"another key":                        {writeJWT(header, claims, jwtSecret+"!"), "mismatch"},
		"a signature cut off":                {cut(genuine, 4), "malformed"},
		"no signature":                       {unsigned, "malformed"},
		"no third part":                      {cut(unsigned, 1), "malformed"},
		"a fourth part":                      {genuine + ".AAAA", "malformed"},
		"an encrypted one":                   {"a.b.c.d.e", "malformed"},
		"padding":                            {genuine + "=", "malformed"},
		"unused bits":                        {cut(genuine, 1) + nextDigit(genuine[len(genuine)-1]), "malformed"},
		"a line break":                       {cut(genuine, 1) + "\n" + genuine[len(genuine)-1:], "malformed"},
		"the standard alphabet":              {unsigned + strings.Repeat("+", 43), "malformed"},
		"too long":                           {signed(cut(claims, 1) + `,"x":"` + strings.Repeat("x", 13<<10) + `"}`), "malformed"},
		"too many claims":                    {signed(cut(claims, 1) + many(200) + "}"), "malformed"},
		"claims that are no object":          {signed("[]"), "malformed"},
		"claims that are no JSON":            {signed(claims + "x"), "malformed"},
		"claims that are not Unicode":        {change(`"s"`, "\"\xff\""), "malformed"},
		"a claim twice":                      {change(`"iss":"a"`, `"iss":"a","iss":"a"`), "malformed"},
		"a claim twice, once in upper case":  {change(`"iss":"a"`, `"iss":"a","ISS":"a"`), "malformed"},
		"an unknown claim twice":             {change(`"iss":"a"`, `"iss":"a","x":1,"x":1`), "malformed"},
		"another issuer":                     {change(`"iss":"a"`, `"iss":"ab"`), "mismatch"},
		"no issuer":                          {change(`"iss":"a",`, ``), "mismatch"},
		"an issuer of another type":          {change(`"iss":"a"`, `"iss":["a"]`), "malformed"},
		"another subject":                    {change(`"sub":"s"`, `"sub":""`), "mismatch"},
		"another audience":                   {change(`"aud":"b"`, `"aud":["c"]`), "mismatch"},
		"no audience":                        {change(`"aud":"b",`, ``), "mismatch"},
		"an empty audience":                  {change(`"aud":"b"`, `"aud":[]`), "mismatch"},
		"an audience of another type":        {change(`"aud":"b"`, `"aud":{"b":1}`), "malformed"},
		"audiences of other types":           {change(`"aud":"b"`, `"aud":["b",1]`), "malformed"},
		"no hash of the body":                {change(`"h":"e3`, `"i":"e3`), "missing"},
		"the hash of another body":           {change(`"h":"e3`, `"h":"e4`), "mismatch"},
		"a part of the hash":                 {change(`"h":"e3`, `"h":"`), "malformed"},
		"a hash in another encoding":         {change(`"h":"e3`, `"h":"!!`), "malformed"},
		"a hash that is no text":             {change(`"h":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"`, `"h":7`), "malformed"},
		"not issued":                         {change(`"iat":1700000000,`, ``), "missing"},
		"issued at a text":                   {change(`1700000000`, `"1700000000"`), "malformed"},
		"issued at null":                     {change(`1700000000`, `null`), "malformed"},
		"issued before time":                 {change(`1700000000`, `-1`), "malformed"},
		"issued in 1970":                     {change(`1700000000`, `0`), "expired"},
		"valid before time":                  {change(`"exp"`, `"nbf":-1,"exp"`), "malformed"},
		"expired in 1970":                    {change(`1700003600`, `0`), "expired"},
		"issued beyond time":                 {change(`1700000000`, `1e400`), "malformed"},
		"issued in milliseconds":             {change(`1700000000`, `1700000000000`), "malformed"},
		"issued ahead":                       {change(`1700000000`, `1700000061`), "expired"},
		"issued too long ago":                {change(`1700000000`, `1699999399`), "expired"},
		"without end":                        {change(`"exp":1700003600,`, ``), "missing"},
		"with an end that is a text":         {change(`1700003600`, `"never"`), "malformed"},
		"expired":                            {change(`1700003600`, `1699999940`), "expired"},
		"not valid yet":                      {change(`"exp"`, `"nbf":1700000061,"exp"`), "expired"},
		"expired and forged":                 {writeJWT(header, strings.Replace(claims, `1700003600`, `1`, 1), "?"), "mismatch"},
		"of duplicate claims, and forged":    {writeJWT(header, `{"iss":"a","iss":"a"}`, "?"), "mismatch"},
		"expired with a date that overflows": {change(`1700003600`, `9e99`), "malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := withToken(c.token, "")
			if _, err := v.Verify(r, jwtNow); outcome(err) != c.want {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}

	t.Run("twice", func(t *testing.T) {
		t.Parallel()
		r := withToken(genuine, "")
		r.Header.Add("X-Token", genuine)
		if _, err := v.Verify(r, jwtNow); outcome(err) != "malformed" {
			t.Error(err)
		}
	})
}

// A token without an age limit may have been issued in 1970, which is a date as any
// other. A secret of 16 bytes is long enough, and a shorter one where that is said.
func TestJWTsThatAreJustAccepted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		secret string
		short  bool
	}{
		"16 bytes":         {"sixteen bytes ok", false},
		"a secret of ours": {jwtSecret, false},
		"a short one":      {"short", true},
	} {
		config := jwtConfig()
		config.Keys[0].Text, config.ShortSecrets = c.secret, c.short
		token := writeJWT(`{"alg":"HS256"}`, `{"iat":0,"nbf":0.0}`, c.secret)
		if _, err := newJWT(t, config).Verify(withToken(token, ""), jwtNow); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A token signed with the text of a public key as its secret is refused, whatever
// it says of its algorithm.
func TestAPublicKeyIsNoSecretOfJWTs(t *testing.T) {
	t.Parallel()
	public := otherRSAKey(t)
	v := newJWT(t, verify.JWTConfig{Header: "X-Token", Algorithm: "RS256", Keys: []verify.Secret{{Text: public}}})
	for _, algorithm := range []string{"HS256", "RS256"} {
		forged := writeJWT(fmt.Sprintf(`{"alg":%q}`, algorithm), `{}`, public)
		if _, err := v.Verify(withToken(forged, ""), jwtNow); err == nil {
			t.Errorf("accepted one that says %s", algorithm)
		}
	}
	_, err := verify.NewJWT(verify.JWTConfig{Algorithm: "HS256", Keys: []verify.Secret{{Text: public}}})
	if err == nil || !strings.Contains(err.Error(), "key 1 is a PEM block") {
		t.Errorf("a public key as a secret: %v", err)
	}
}

func TestJWTConfigurationsThatCannotBeMeantAreRefused(t *testing.T) {
	t.Parallel()
	short := &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 1023, 1), E: 65537}
	for name, c := range map[string]struct {
		change func(*verify.JWTConfig)
		says   string
	}{
		"no algorithm":             {func(c *verify.JWTConfig) { c.Algorithm = "" }, "no algorithm: expected HS256"},
		"none":                     {func(c *verify.JWTConfig) { c.Algorithm = "none" }, `"none": expected HS256`},
		"no keys":                  {func(c *verify.JWTConfig) { c.Keys = nil }, "no keys"},
		"an empty key":             {func(c *verify.JWTConfig) { c.Keys[0].Text = "" }, "key 1 is empty"},
		"a short secret":           {func(c *verify.JWTConfig) { c.Keys[0].Text = "fifteen bytes !" }, "key 1 is shorter than 16 bytes, so that it can be guessed from one token: let the sender use a random one of 32 bytes"},
		"a short secret for HS512": {func(c *verify.JWTConfig) { c.Algorithm, c.Keys[0].Text = "HS512", "fifteen bytes !" }, "of 64 bytes or more"},
		"a secret that is short once decoded": {func(c *verify.JWTConfig) {
			c.Keys[0] = verify.Secret{Text: strings.Repeat("ab", 15), Encoding: "hex"}
		}, "key 1 is shorter than 16 bytes"},
		"an empty key where short ones will do": {func(c *verify.JWTConfig) { c.Keys[0].Text, c.ShortSecrets = "", true }, "key 1 is empty"},
		"a secret for a public key":             {func(c *verify.JWTConfig) { c.Algorithm = "RS256" }, "key 1 is not base64: expected the base64 of the key in SPKI form"},
		"an EC key for RSA":                     {func(c *verify.JWTConfig) { c.Algorithm, c.Keys[0].Text = "RS256", otherECDSAKey(t) }, "is no RSA public key"},
		"an RSA key for EC":                     {func(c *verify.JWTConfig) { c.Algorithm, c.Keys[0].Text = "ES256", otherRSAKey(t) }, "is no P-256 public key"},
		"an RSA key for EdDSA":                  {func(c *verify.JWTConfig) { c.Algorithm, c.Keys[0].Text = "EdDSA", otherRSAKey(t) }, "is no ed25519 public key"},
		"a short RSA key": {func(c *verify.JWTConfig) {
			c.Algorithm, c.Keys[0].Text = "RS256", base64.StdEncoding.EncodeToString(jwtSPKI(t, short))
		}, "1024 bits: expected 2048 to 8192"},
		"a header that is none":       {func(c *verify.JWTConfig) { c.Header = "X Token" }, "not a header name"},
		"a negative tolerance":        {func(c *verify.JWTConfig) { c.Tolerance = -1 }, "tolerance is negative"},
		"a negative age":              {func(c *verify.JWTConfig) { c.MaxAge = -1 }, "max age is negative"},
		"an encoding of nothing":      {func(c *verify.JWTConfig) { c.BodyEncoding = "hex" }, "body encoding without a body claim"},
		"an unknown encoding":         {func(c *verify.JWTConfig) { c.BodyClaim, c.BodyEncoding = "h", "base32" }, `"base32": expected hex or base64`},
		"a body claim that is a date": {func(c *verify.JWTConfig) { c.BodyClaim = "iat" }, "body claim iat"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := jwtConfig()
			c.change(&config)
			_, err := verify.NewJWT(config)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, which does not say %s", err, c.says)
			}
			if err != nil && strings.Contains(err.Error(), jwtSecret) {
				t.Errorf("the error shows the key: %v", err)
			}
		})
	}
}

// nextDigit returns the digit of base64url after c.
func nextDigit(c byte) string {
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return digits[strings.IndexByte(digits, c)+1:][:1]
}

// many returns so many members to add to an object.
func many(n int) string {
	var s strings.Builder
	for i := range n {
		fmt.Fprintf(&s, `,"m%d":0`, i)
	}
	return s.String()
}
