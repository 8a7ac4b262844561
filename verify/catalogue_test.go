// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

// The catalogue is a collection of vectors of some forty senders, and how each
// of them signs. It is kept beside the repository, not in it.
const catalogue = "../../shared"

// beyond lists the schemes of the catalogue that this package does not have.
var beyond = map[string]string{
	"twilio":         "signs the URL and the sorted form values",
	"adyen-standard": "signs fields of each item in the body, the signature is there too",
	"mailgun":        "the signature is in the body, of which it covers nothing else",
	"hubspot-v1":     "a plain SHA-256 of the secret and the body, no HMAC",
	"hubspot-v2":     "a plain SHA-256 of the secret and the request, no HMAC",
	"sendgrid":       "ECDSA",
	"discord":        "ed25519 outside of Standard Webhooks",
	"paypal":         "RSA with a certificate that has to be fetched",
	"meta":           "an unsigned handshake",
	"okta":           "an unsigned handshake",
	"msgraph":        "an unsigned handshake",
	"asana":          "an unsigned handshake",
}

// stricter lists the vectors that come out differently here, on purpose.
var stricter = map[string]string{
	"openai-rawts":      "its timestamp begins with a zero, which no sender writes",
	"dropbox-challenge": "an unsigned handshake, answered before verification",
}

func TestEverySenderOfTheCatalogueComesOutAsItSays(t *testing.T) {
	t.Parallel()
	var vectors []catalogueVector
	readCatalogue(t, "vectors.json", &vectors)
	var schemes map[string]catalogueScheme
	readCatalogue(t, "schemes.json", &schemes)

	ran, seen := 0, map[string]bool{}
	for _, vector := range vectors {
		if _, ok := beyond[vector.Scheme]; ok {
			seen[vector.Scheme] = true
			continue
		}
		if _, ok := stricter[vector.Name]; ok {
			seen[vector.Name] = true
			vector.Expect = "fail"
		}
		ran++
		t.Run(vector.Name, func(t *testing.T) {
			t.Parallel()
			vector.check(t, schemes[vector.Scheme])
		})
	}
	for _, list := range []map[string]string{beyond, stricter} {
		for name := range list {
			if !seen[name] {
				t.Errorf("%s is listed here, but the catalogue does not have it", name)
			}
		}
	}
	if ran < 140 {
		t.Errorf("only %d vectors ran", ran)
	}
}

type catalogueVector struct {
	Name     string
	Scheme   string
	Method   string
	URL      string
	Headers  map[string]string
	Body     string
	Secret   string
	Now      int64
	Expect   string
	ExpectID string `json:"expect_id"`
}

type catalogueScheme struct {
	Alg, Key, Prefix, Sep, Pick, Enc, Ts, Unit, Signed string
	Sig                                                []string
	Tol                                                int
}

func (v catalogueVector) check(t *testing.T, scheme catalogueScheme) {
	verifier, err := scheme.verifier(v.Secret)
	if err != nil {
		if v.Expect == "ok" || v.Name != "github-emptysecret" {
			t.Fatalf("configuring: %v", err)
		}
		return
	}
	r := v.request(t)
	now := time.Unix(v.Now, 0)
	claims, err := verifier.Verify(r, now)
	if got := map[bool]string{true: "ok", false: "fail"}[err == nil]; got != v.Expect {
		t.Fatalf("got %s (%v), want %s", got, err, v.Expect)
	}
	if err != nil {
		if verify.Reason(err) == "error" {
			t.Errorf("%v wraps no reason", err)
		}
		return
	}
	if checker, ok := verifier.(verify.HeaderChecker); ok {
		if err := checker.CheckHeader(r, now); err != nil {
			t.Errorf("CheckHeader refuses what Verify accepts: %v", err)
		}
	}
	if v.ExpectID != "" && verifier.Traits().ID && claims.ID != v.ExpectID {
		t.Errorf("id %q, want %q", claims.ID, v.ExpectID)
	}
}

func (v catalogueVector) request(t *testing.T) *verify.Request {
	u, err := url.Parse(v.URL)
	if err != nil {
		t.Fatal(err)
	}
	header := http.Header{}
	for name, value := range v.Headers {
		header.Set(name, value)
	}
	return &verify.Request{
		Method: v.Method,
		URI:    u.RequestURI(),
		Header: header,
		Body:   []byte(v.Body),
		Lookup: func(name string) (string, bool) {
			value, ok := map[string]string{
				"http.request.method":   v.Method,
				"http.request.scheme":   u.Scheme,
				"http.request.hostport": u.Host,
				"http.request.uri":      u.RequestURI(),
			}[name]
			return value, ok
		},
	}
}

// verifier says the scheme in this package's terms.
func (s catalogueScheme) verifier(secret string) (verify.Verifier, error) {
	switch algorithm, isHMAC := strings.CutPrefix(s.Alg, "hmac-"); {
	case s.Alg == "std":
		return verify.NewStandard(verify.StandardConfig{
			Secrets:   []verify.Secret{{Text: secret, Encoding: s.Key}},
			Tolerance: time.Duration(s.Tol) * time.Second,
		})
	case s.Alg == "token" && s.Prefix == "Bearer ":
		return verify.NewBearer([]string{secret})
	case s.Alg == "token":
		return verify.NewToken(verify.TokenConfig{Header: s.Sig[0], Tokens: []string{secret}})
	case isHMAC:
		config := verify.HMACConfig{
			Secrets:   []verify.Secret{{Text: secret, Encoding: s.Key}},
			Algorithm: algorithm,
			Signature: verify.Signature{Headers: s.Sig, Prefix: s.Prefix, Key: s.Pick, Encoding: s.Enc, Split: s.Sep},
			Signed: strings.NewReplacer(
				"{ts}", "{timestamp}",
				"{method}", "{http.request.method}",
				"{url}", "{http.request.scheme}://{http.request.hostport}{http.request.uri}",
			).Replace(s.Signed),
			Tolerance: time.Duration(s.Tol) * time.Second,
		}
		if from, name, ok := strings.Cut(s.Ts, "."); ok {
			config.Timestamp = &verify.Timestamp{Unit: s.Unit}
			*map[string]*string{
				"header": &config.Timestamp.Header,
				"sig":    &config.Timestamp.Key,
				"json":   &config.Timestamp.JSON,
			}[from] = name
		}
		return verify.NewHMAC(config)
	default:
		return nil, errors.New("the catalogue has a scheme that the test does not know: " + s.Alg)
	}
}

func readCatalogue(t *testing.T, name string, into any) {
	data, err := os.ReadFile(filepath.Join(catalogue, name))
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("the catalogue of senders is not here; testdata/verify has vectors of its own")
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatal(err)
	}
}
