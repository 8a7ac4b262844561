// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

const jwtSecret = "the secret of a token, 32 bytes or more"

var jwtNow = time.Unix(now, 0)

func jwtConfig() verify.JWTConfig {
	return verify.JWTConfig{Header: "X-Token", Algorithm: "HS256", Keys: []verify.Secret{{Text: jwtSecret}}}
}

func newJWT(t testing.TB, config verify.JWTConfig) *verify.JWT {
	t.Helper()
	v, err := verify.NewJWT(config)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func withToken(token, body string) *verify.Request {
	r := newRequest("POST", "/hooks", []byte(body)).Request
	r.Header.Set("X-Token", token)
	return r
}

// writeJWT makes a token of a header and claims as they are written.
func writeJWT(header, claims, secret string) string {
	text := encodeURL([]byte(header)) + "." + encodeURL([]byte(claims))
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	return text + "." + encodeURL(mac.Sum(nil))
}

var encodeURL = base64.RawURLEncoding.EncodeToString

// A token of RFC 7515, appendix A.1 to A.3, is right as long as it lasts, and with
// no bit of it changed.
func TestJWTOfTheSpecification(t *testing.T) {
	t.Parallel()
	const payload = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
	secret := decodeURL(t, "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
	point := append([]byte{4}, append(decodeURL(t, "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"), decodeURL(t, "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0")...)...)
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		algorithm, token string
		key              verify.Secret
	}{
		"A.1": {"HS256", "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." + payload + ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", verify.Secret{Text: hex.EncodeToString(secret), Encoding: "hex"}},
		"A.3": {"ES256", "eyJhbGciOiJFUzI1NiJ9." + payload + ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q", verify.Secret{Text: base64.StdEncoding.EncodeToString(jwtSPKI(t, public))}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newJWT(t, verify.JWTConfig{Header: "X-Token", Algorithm: c.algorithm, Keys: []verify.Secret{c.key}, Issuer: "joe"})
			last := time.Unix(1300819380, 0).Add(time.Minute)
			r := request{Request: withToken(c.token, "")}
			if _, err := v.Verify(r.Request, last.Add(-time.Second)); err != nil {
				t.Error(err)
			}
			if _, err := v.Verify(r.Request, last); outcome(err) != "expired" {
				t.Errorf("at its end: %v", err)
			}
			for changed := range r.flips("X-Token") {
				if _, err := v.Verify(changed.Request, last.Add(-time.Second)); err == nil {
					t.Errorf("accepted %s", changed.Header.Get("X-Token"))
				}
			}
		})
	}
}

// What another library signs is accepted with its key and with no other, for each
// algorithm and each way of writing the key.
func TestJWTOfAnotherLibrary(t *testing.T) {
	t.Parallel()
	public, ed25519Key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ecdsaKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	secret := []byte(strings.Repeat(jwtSecret, 2))
	secrets := []verify.Secret{
		{Text: string(secret)},
		{Text: hex.EncodeToString(secret), Encoding: "hex"},
		{Text: base64.StdEncoding.EncodeToString(secret), Encoding: "base64"},
	}
	publics := func(key crypto.PublicKey) []verify.Secret {
		der := jwtSPKI(t, key)
		text := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
		return []verify.Secret{
			{Text: text},
			{Text: text, Encoding: "pem"},
			{Text: base64.StdEncoding.EncodeToString(der)},
			{Text: hex.EncodeToString(der), Encoding: "hex"},
		}
	}
	for _, c := range []struct {
		algorithm string
		private   any
		keys      []verify.Secret
		other     verify.Secret
	}{
		{"HS256", secret, secrets, verify.Secret{Text: jwtSecret}},
		{"HS384", secret, secrets, verify.Secret{Text: jwtSecret}},
		{"HS512", secret, secrets, verify.Secret{Text: jwtSecret}},
		{"RS256", rsaKey, publics(rsaKey.Public()), verify.Secret{Text: otherRSAKey(t)}},
		{"ES256", ecdsaKey, publics(ecdsaKey.Public()), verify.Secret{Text: otherECDSAKey(t)}},
		{"EdDSA", ed25519Key, append(publics(public), verify.Secret{Text: hex.EncodeToString(public), Encoding: "hex"}), verify.Secret{Text: otherEd25519Key(t)}},
	} {
		t.Run(c.algorithm, func(t *testing.T) {
			t.Parallel()
			signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(c.algorithm), Key: c.private}, new(jose.SignerOptions).WithType("JWT"))
			if err != nil {
				t.Fatal(err)
			}
			signed, err := jwt.Signed(signer).Claims(jwt.Claims{
				Issuer: "a", Subject: "s", Audience: jwt.Audience{"b", "c"},
				IssuedAt: jwt.NewNumericDate(jwtNow), Expiry: jwt.NewNumericDate(jwtNow.Add(time.Hour)), NotBefore: jwt.NewNumericDate(jwtNow),
			}).Serialize()
			if err != nil {
				t.Fatal(err)
			}
			for i, key := range c.keys {
				config := verify.JWTConfig{
					Header: "X-Token", Algorithm: c.algorithm, Keys: []verify.Secret{c.other, key},
					Issuer: "a", Subject: "s", Audience: "c", MaxAge: time.Minute, RequireExpiry: true,
				}
				if claims, err := newJWT(t, config).Verify(withToken(signed, ""), jwtNow); err != nil || !claims.Timestamp.Equal(jwtNow) {
					t.Errorf("key %d: %v, %+v", i, err, claims)
				}
				config.Keys = config.Keys[:1]
				if _, err := newJWT(t, config).Verify(withToken(signed, ""), jwtNow); outcome(err) != "mismatch" {
					t.Errorf("key %d: with another key: %v", i, err)
				}
			}
		})
	}
}

// What we sign, another library accepts.
func TestJWTForAnotherLibrary(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{"HS256", "HS384", "HS512"} {
		config := jwtConfig()
		config.Header, config.Algorithm, config.Issuer, config.Audience, config.RequireExpiry = "", algorithm, "netlify", "us", true
		config.Keys = []verify.Secret{{Text: strings.Repeat(jwtSecret, 2)}}
		r := newRequest("POST", "/", []byte("{}")).Request
		if err := config.Sign(r, "id-1", jwtNow); err != nil {
			t.Fatal(err)
		}
		if _, err := newJWT(t, config).Verify(r, jwtNow); err != nil {
			t.Errorf("%s: our own: %v", algorithm, err)
		}
		parsed, err := jwt.ParseSigned(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), []jose.SignatureAlgorithm{jose.SignatureAlgorithm(algorithm)})
		if err != nil {
			t.Fatal(err)
		}
		var claims jwt.Claims
		if err := parsed.Claims([]byte(config.Keys[0].Text), &claims); err != nil {
			t.Fatal(err)
		}
		if err := claims.ValidateWithLeeway(jwt.Expected{Issuer: "netlify", ID: "id-1", AnyAudience: jwt.Audience{"us"}, Time: jwtNow}, 0); err != nil {
			t.Errorf("%s: %v", algorithm, err)
		}
	}
}

// The hash of the body is signed: with another body the token is none.
func TestJWTWithTheHashOfTheBody(t *testing.T) {
	t.Parallel()
	for _, encoding := range []string{"", "hex", "base64"} {
		config := jwtConfig()
		config.Issuer, config.BodyClaim, config.BodyEncoding = "netlify", "sha256", encoding
		v := newJWT(t, config)
		if traits := v.Traits(); traits.Timestamp || !traits.Covers("body") || traits.Covers("http.request.uri") {
			t.Error("it does not cover just the body")
		}
		r := request{Request: withToken("", `{"site":"a"}`)}
		if err := config.Sign(r.Request, "", jwtNow); err != nil {
			t.Fatal(err)
		}
		claims, err := v.Verify(r.Request, jwtNow)
		if err != nil {
			t.Fatalf("%q: %v", encoding, err)
		}
		for changed := range r.flips("body") {
			if _, err := v.Verify(changed.Request, jwtNow); outcome(err) != "mismatch" {
				t.Errorf("%q: with another body: %v", encoding, err)
			}
		}

		// A retry is signed anew, and its content is the same at another URL too.
		retry := request{Request: withToken("", `{"site":"a"}`)}
		retry.URI = "/other"
		if err := config.Sign(retry.Request, "", jwtNow.Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		if again, err := v.Verify(retry.Request, jwtNow); err != nil || again.Content != claims.Content || retry.Header.Get("X-Token") == r.Header.Get("X-Token") {
			t.Errorf("%q: a retry is other content: %v", encoding, err)
		}
		checkHeader(t, v, r.Request, "ok")
	}
}

// Without a claim for the body a token proves nothing of it.
func TestJWTAloneCoversNothing(t *testing.T) {
	t.Parallel()
	traits := newJWT(t, jwtConfig()).Traits()
	if traits.Covers != nil || traits.Timestamp || traits.ID {
		t.Errorf("traits %+v", traits)
	}
	config := jwtConfig()
	config.MaxAge = time.Hour
	if traits := newJWT(t, config).Traits(); !traits.Timestamp || traits.Tolerance != time.Hour || traits.Covers != nil {
		t.Errorf("with a greatest age: traits %+v", traits)
	}
}

// What go-jose makes of a token that we accept is the same, and nothing that is
// changed is accepted.
func FuzzJWT(f *testing.F) {
	f.Add(`{"alg":"HS256"}`, `{"iss":"a","exp":1700003600}`, uint(0))
	f.Add(`{"alg":"none"}`, `{"iss":"a"}`, uint(7))
	f.Add(`{"alg":"HS256","crit":["b64"],"b64":false}`, `{"exp":"1"}`, uint(300))
	f.Add(`{"ALG":"HS256"}`, `{"aud":["x",null],"nbf":1e9}`, uint(1))
	config := jwtConfig()
	v := newJWT(f, config)
	f.Fuzz(func(t *testing.T, header, claims string, bit uint) {
		r := request{Request: withToken(writeJWT(header, claims, jwtSecret), "")}
		_, err := v.Verify(r.Request, jwtNow)
		if err != nil {
			return
		}
		parsed, theirs := jwt.ParseSigned(r.Header.Get("X-Token"), []jose.SignatureAlgorithm{jose.HS256})
		if theirs != nil {
			t.Fatalf("we accept what they refuse: %v", theirs)
		}
		var read map[string]any
		if theirs := parsed.Claims([]byte(jwtSecret), &read); theirs != nil {
			t.Fatalf("we accept what they refuse: %v", theirs)
		}
		if changed, ok := r.flip("X-Token", bit); ok {
			if _, err := v.Verify(changed.Request, jwtNow); err == nil {
				t.Errorf("accepted with a bit changed: %s", changed.Header.Get("X-Token"))
			}
		}
	})
}
