// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// keyedSite is issuerSite with a key that the test knows, so that it can make what
// the issuer would not.
const (
	tokenKey  = "a key of 32 bytes, which is long enough"
	keyedSite = `
	webhook_inbox_token /login idexa {
		user idexa previous
		key  {env.TOKEN_KEY}
	}
	webhook_inbox demo {
		verify bearer {
			issued_by idexa
		}
		dedupe off
		deliver %s
	}
`
)

// issuerKey is the key of an issuer, which a new version must derive alike.
func issuerKey(t *testing.T, issuer string) []byte {
	t.Helper()
	key, err := hkdf.Key(sha256.New, []byte(tokenKey), nil, "caddy webhook inbox token: "+issuer, 32)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// Of the tokens that somebody could make, only those that the issuer would have
// made are accepted.
func TestForgedTokensAreRefused(t *testing.T) {
	t.Setenv("TOKEN_KEY", tokenKey)
	app := newApplication(t)
	s := serve(t, fmt.Sprintf(keyedSite, app.addr))
	key := issuerKey(t, "idexa")
	now := time.Now()

	// What the issuer makes is what another library makes of the same claims.
	genuine := s.token()
	parsed, err := jwt.ParseSigned(genuine, []jose.SignatureAlgorithm{jose.HS256})
	if err != nil {
		t.Fatal(err)
	}
	claims := make(map[string]any)
	if err := parsed.Claims(key, &claims); err != nil {
		t.Fatal(err)
	}
	issued, _ := claims["iat"].(float64)
	if claims["iss"] != "idexa" || claims["aud"] != "webhook_inbox" || claims["exp"] != issued+3600 || len(claims) != 4 {
		t.Errorf("the claims are %v", claims)
	}
	with := func(name string, value any) map[string]any {
		changed := maps.Clone(claims)
		changed[name] = value
		if value == nil {
			delete(changed, name)
		}
		return changed
	}
	sign := func(algorithm jose.SignatureAlgorithm, key any, claims map[string]any) string {
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, nil)
		if err != nil {
			t.Fatal(err)
		}
		token, err := jwt.Signed(signer).Claims(claims).Serialize()
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	parts := strings.Split(genuine, ".")
	headed := func(header string) string {
		text := encode([]byte(header)) + "." + parts[1]
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(text))
		return text + "." + encode(mac.Sum(nil))
	}

	for name, token := range map[string]string{
		"the issuer's own":       genuine,
		"one like it":            sign(jose.HS256, key, claims),
		"one for several":        sign(jose.HS256, key, with("aud", []string{"x", "webhook_inbox"})),
		"one that is almost old": sign(jose.HS256, key, with("exp", now.Add(-time.Second).Unix())),
	} {
		t.Run("accepted: "+name, func(t *testing.T) {
			s.within(t).expect(http.StatusAccepted, "POST", "/", withBearer(token, ""), "")
		})
	}
	for name, token := range map[string]string{
		"expired":                  sign(jose.HS256, key, with("exp", now.Add(-11*time.Second).Unix())),
		"without an end":           sign(jose.HS256, key, with("exp", nil)),
		"issued ahead":             sign(jose.HS256, key, with("iat", now.Add(time.Minute).Unix())),
		"not valid yet":            sign(jose.HS256, key, with("nbf", now.Add(time.Minute).Unix())),
		"for somebody else":        sign(jose.HS256, key, with("aud", "another")),
		"for nobody":               sign(jose.HS256, key, with("aud", nil)),
		"of another issuer's name": sign(jose.HS256, key, with("iss", "other")),
		"of another issuer's key":  sign(jose.HS256, issuerKey(t, "other"), claims),
		"of the master key":        sign(jose.HS256, []byte(tokenKey), claims),
		"of no key":                sign(jose.HS256, make([]byte, 32), claims),
		"HS512":                    sign(jose.HS512, bytes.Repeat(key, 2), claims),
		"RS256":                    sign(jose.RS256, rsaKey, claims),
		"HMAC that says RS256":     headed(`{"alg":"RS256"}`),
		"HMAC that says none":      headed(`{"alg":"none"}`),
		"alg none":                 encode([]byte(`{"alg":"none"}`)) + "." + parts[1] + ".",
		"alg none, with a MAC":     encode([]byte(`{"alg":"none"}`)) + "." + parts[1] + "." + parts[2],
		"without signature":        parts[0] + "." + parts[1] + ".",
		"without a third part":     parts[0] + "." + parts[1],
		"crit":                     headed(`{"alg":"HS256","crit":["x"],"x":1}`),
		"the key by reference":     headed(`{"alg":"HS256","b64":false}`),
		"tampered":                 parts[0] + "." + encode([]byte(`{"iss":"idexa","aud":"webhook_inbox","exp":9999999999}`)) + "." + parts[2],
		"padded":                   genuine + "=",
		"in quotes":                `"` + genuine + `"`,
		"twice":                    genuine + " " + genuine,
		"a login":                  "idexa",
	} {
		t.Run("refused: "+name, func(t *testing.T) {
			s.within(t).expect(http.StatusUnauthorized, "POST", "/", withBearer(token, ""), "")
		})
	}
	both := withBearer(genuine, "")
	both.Add("Authorization", "Bearer "+genuine)
	s.expect(http.StatusUnauthorized, "POST", "/", both, "")
	s.expect(http.StatusUnauthorized, "POST", "/?access_token="+genuine, nil, "")
}

// A login that is wrong is answered as RFC 6749 says, and says no more than that.
func TestWrongLogins(t *testing.T) {
	t.Setenv("TOKEN_KEY", tokenKey)
	s := serve(t, `
	webhook_inbox_token /login idexa {
		user   idexa previous
		client app s3cr3t
		key    {env.TOKEN_KEY}
	}`)
	const user = "username=idexa&password=previous"
	basic := func(text string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(text)) }
	// Few enough are wrong for none to be limited.
	for name, c := range map[string]struct {
		kind, authorization, body string
		status                    int
		code                      string
	}{
		"wrong password":              {form, "", "username=idexa&password=previou", 401, "invalid_grant"},
		"wrong user":                  {form, "", "username=idex&password=aprevious", 401, "invalid_grant"},
		"wrong secret":                {form, "", "client_id=app&client_secret=S3cr3t", 401, "invalid_client"},
		"a user as a client":          {form, "", "client_id=idexa&client_secret=previous", 401, "invalid_client"},
		"a client as a user":          {form, "", "username=app&password=s3cr3t", 401, "invalid_grant"},
		"a user in Basic as a client": {form, basic("idexa:previous"), "grant_type=client_credentials", 401, "invalid_client"},
		"wrong secret in Basic":       {"", basic("app:secret"), "", 401, "invalid_client"},
		"right user, wrong client":    {form, basic("app:secret"), user, 401, "invalid_grant"},

		"nothing":                     {"", "", "", 400, "invalid_request"},
		"nothing, as a form":          {form, "", "", 400, "invalid_request"},
		"no password":                 {form, "", "username=idexa", 400, "invalid_request"},
		"an empty password":           {form, "", "username=idexa&password=", 400, "invalid_request"},
		"no user":                     {form, "", "password=previous", 400, "invalid_request"},
		"no secret":                   {form, "", "client_id=app&grant_type=client_credentials", 400, "invalid_request"},
		"a user for a client's grant": {form, "", user + "&grant_type=client_credentials", 400, "invalid_request"},
		"a client for a user's grant": {form, "", "client_id=app&client_secret=s3cr3t&grant_type=password", 400, "invalid_request"},
		"another grant":               {form, "", user + "&grant_type=refresh_token", 400, "unsupported_grant_type"},
		"password twice":              {form, "", user + "&password=x", 400, "invalid_request"},
		"password twice in JSON":      {inJSON, "", `{"username":"idexa","password":"x","password":"previous"}`, 400, "invalid_request"},
		"another field twice":         {form, "", user + "&x=1&x=1", 400, "invalid_request"},
		"no form":                     {form, "", "username=idexa&password=%zz", 400, "invalid_request"},
		"no JSON":                     {inJSON, "", `{"username":"idexa","password":"previous"`, 400, "invalid_request"},
		"two objects":                 {inJSON, "", `{"username":"idexa","password":"previous"}{}`, 400, "invalid_request"},
		"a list":                      {inJSON, "", `["idexa","previous"]`, 400, "invalid_request"},
		"a password that is no text":  {inJSON, "", `{"username":"idexa","password":["previous"]}`, 400, "invalid_request"},
		"another type":                {"text/plain", "", user, 400, "invalid_request"},
		"no type":                     {"", "", user, 400, "invalid_request"},
		"Basic that is none":          {"", "Basic idexa:previous", "", 400, "invalid_request"},
		"a client twice":              {form, basic("app:s3cr3t"), "client_id=app&client_secret=s3cr3t", 400, "invalid_request"},
		"two clients":                 {form, basic("app:s3cr3t"), "client_id=other", 400, "invalid_request"},
		"too large":                   {form, "", user + "&x=" + strings.Repeat("x", 16<<10), 413, "invalid_request"},
	} {
		t.Run(name, func(t *testing.T) {
			h := make(http.Header)
			for field, value := range map[string]string{"Content-Type": c.kind, "Authorization": c.authorization} {
				if value != "" {
					h.Set(field, value)
				}
			}
			resp, answer := s.within(t).login(h, c.body)
			if resp.StatusCode != c.status || answer["error"] != c.code || answer["access_token"] != nil {
				t.Errorf("status %d, %v; want %d, %s", resp.StatusCode, answer, c.status, c.code)
			}
			challenge := resp.Header.Get("WWW-Authenticate")
			if want := c.status == 401 && c.authorization != ""; strings.HasPrefix(challenge, "Basic ") != want {
				t.Errorf("WWW-Authenticate is %q", challenge)
			}
			if text := fmt.Sprint(answer); strings.Contains(text, "previous") || strings.Contains(text, "s3cr3t") || strings.Contains(text, "idexa") {
				t.Errorf("the answer holds something of the request: %s", text)
			}
		})
	}
	for _, method := range []string{"GET", "PUT", "DELETE"} {
		r, err := s.trySend(method, "/login?"+user, nil, "")
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.StatusCode != http.StatusMethodNotAllowed || r.Header.Get("Allow") != "POST" {
			t.Errorf("%s: status %d, Allow %q", method, r.StatusCode, r.Header.Get("Allow"))
		}
	}
	// Of two that are there, it could be read one or the other.
	credentials := basic("app:s3cr3t")
	for name, h := range map[string]http.Header{
		"Authorization twice":             header("Authorization", credentials, "Authorization", credentials),
		"Authorization of two kinds":      header("Authorization", "Bearer x", "Authorization", credentials),
		"a user, and Authorization twice": header("Content-Type", form, "Authorization", "Bearer x", "Authorization", "Bearer x"),
		"a body that says it is encoded":  header("Content-Type", form, "Content-Encoding", "identity"),
		"a body that is compressed":       header("Content-Type", form, "Content-Encoding", "gzip"),
	} {
		body := ""
		if h.Get("Content-Type") != "" {
			body = user
		}
		if resp, answer := s.login(h, body); resp.StatusCode != http.StatusBadRequest || answer["error"] != "invalid_request" {
			t.Errorf("%s: status %d, %v", name, resp.StatusCode, answer)
		}
	}
	s.token()
}
