// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/verify"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// A signable is a way of signing, and what it covers of a request.
type signable struct {
	config  verify.HMACConfig
	covered []string
}

// signables are all ways to write a signature, a timestamp and an id, combined.
func signables() map[string]signable {
	all := map[string]signable{}
	headers := []string{"X-Signature", "X-Other"}
	signatures := map[string]verify.Signature{
		"plain":            {Headers: headers},
		"base64":           {Headers: headers, Encoding: "base64"},
		"prefix":           {Headers: headers, Prefix: "sha256="},
		"prefix and split": {Headers: headers, Prefix: "v1,", Split: " ", Encoding: "base64"},
		"key":              {Headers: headers, Key: "v1"},
		"key and split":    {Headers: headers, Key: "h1", Split: ";", Encoding: "base64"},
		"json":             {JSON: "meta.signature"},
		"json and key":     {JSON: "meta.signature", Key: "v1", Split: " "},
	}
	timestamps := map[string]*verify.Timestamp{
		"no time":      nil,
		"header":       {Header: "X-Time"},
		"ms":           {Header: "X-Time", Unit: "ms"},
		"rfc3339":      {Header: "X-Time", Unit: "rfc3339"},
		"key time":     {Key: "t"},
		"json time":    {JSON: "meta.time"},
		"json time ms": {JSON: "sent", Unit: "ms"},
	}
	ids := map[string]*verify.ID{
		"no id":     nil,
		"header id": {Header: "X-Id"},
		"json id":   {JSON: "meta.id"},
	}
	for s, signature := range signatures {
		for t, timestamp := range timestamps {
			for i, id := range ids {
				inBody := signature.JSON != ""
				if timestamp != nil && timestamp.Key != "" && signature.Key == "" || inBody && timestamp == nil && id == nil {
					continue
				}
				c := signable{config: verify.HMACConfig{
					Secrets:   []verify.Secret{{Text: key}, {Text: "another"}},
					Signature: signature,
					Timestamp: timestamp,
					ID:        id,
					Signed:    "{url} {http.request.method}",
					PublicURL: "https://inbox.example.com/at",
				}, covered: []string{"uri", "method"}}
				if id != nil {
					c.config.Signed += " {id}."
					c.cover(id.Header, id.JSON)
				}
				if timestamp != nil {
					c.config.Signed += "{timestamp}"
					c.cover(timestamp.Header, timestamp.JSON)
				}
				if !inBody {
					c.config.Signed += "{body}"
					c.covered = append(c.covered, "body")
				}
				all[s+", "+t+", "+i] = c
			}
		}
	}
	return all
}

func (c *signable) cover(header, path string) {
	if header != "" {
		c.covered = append(c.covered, header)
	}
	if path != "" {
		c.covered = append(c.covered, "json:"+path)
	}
}

func TestWhatIsSignedVerifiesAndNotWithAnyCoveredBitChanged(t *testing.T) {
	t.Parallel()
	for name, c := range signables() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first := c.config
			first.Secrets = first.Secrets[:1]
			v := newHMAC(t, first)
			r := newRequest(http.MethodPut, "/hooks?a=b", []byte(`{"n": 1, "sent": 0, "text": "<é>"}`))
			at := time.Unix(now, 123_000_000).UTC()
			if err := c.config.Sign(r.Request, "msg_1", at); err != nil {
				t.Fatal(err)
			}
			claims, err := v.Verify(r.Request, at)
			if err != nil {
				t.Fatalf("%v: %q", err, r)
			}
			if want := map[bool]string{true: "msg_1"}[c.config.ID != nil]; claims.ID != want {
				t.Errorf("the id is %q, want %q", claims.ID, want)
			}
			if c.config.Timestamp != nil && claims.Timestamp.Sub(at).Abs() > time.Second {
				t.Errorf("signed at %v, want %v", claims.Timestamp, at)
			}
			if err := v.CheckHeader(r.Request, at); err != nil {
				t.Errorf("the header alone: %v", err)
			}
			for _, part := range c.covered {
				flips := 0
				for changed := range r.flips(part) {
					flips++
					if _, err := v.Verify(changed.Request, at); err == nil {
						t.Fatalf("accepted with a changed %s: %q", part, changed)
					}
				}
				if flips == 0 {
					t.Errorf("there is no %s in %q", part, r)
				}
			}
		})
	}
}

// Signing a retry changes what the sender changes, and nothing of the claims
// that recognize it.
func TestSigningAgainLaterMakesTheSameMessage(t *testing.T) {
	t.Parallel()
	for name, c := range signables() {
		if c.config.Timestamp != nil && c.config.Timestamp.JSON != "" {
			continue // it is part of the content, as the rest of the body
		}
		v := newHMAC(t, c.config)
		r := newRequest(http.MethodPut, "/hooks?a=b", []byte(`{"n":1}`))
		var contents [2][32]byte
		for i := range contents {
			at := time.Unix(now+int64(i)*100, 0)
			if err := c.config.Sign(r.Request, "msg_1", at); err != nil {
				t.Fatal(err)
			}
			claims, err := v.Verify(r.Request, at)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			contents[i] = claims.Content
		}
		if contents[0] != contents[1] {
			t.Errorf("%s: the retry has other content", name)
		}
	}
}

func TestWhatCannotBeSignedIsAnError(t *testing.T) {
	t.Parallel()
	idAndBody := func(c *verify.HMACConfig) { withID(c, "{id}.{body}") }
	for says, c := range map[string]struct {
		change func(*verify.HMACConfig)
		body   string
		id     string
	}{
		"no secrets":                                            {func(c *verify.HMACConfig) { c.Secrets = nil }, "{}", ""},
		"secret 1 is not hex":                                   {func(c *verify.HMACConfig) { c.Secrets[0].Encoding = "hex" }, "{}", ""},
		"id: expected 1 to 256 characters":                      {idAndBody, "{}", "two words"},
		"id contains the text that ends it":                     {idAndBody, "{}", "a.b"},
		"header X-Topic: missing":                               {func(c *verify.HMACConfig) { c.Signed = "{http.request.header.X-Topic}{body}" }, "{}", ""},
		"{http.request.tls.version}: missing":                   {func(c *verify.HMACConfig) { c.Signed = "{http.request.tls.version}{body}" }, "{}", ""},
		"body that is not JSON":                                 {func(c *verify.HMACConfig) { inBody(c, "{timestamp}") }, "t=1", ""},
		"setting the JSON value t: there is a value on the way": {func(c *verify.HMACConfig) { inBody(c, "{timestamp}") }, "1", ""},
		"the array has no element t":                            {func(c *verify.HMACConfig) { inBody(c, "{timestamp}") }, "[1]", ""},
	} {
		config := github()
		c.change(&config)
		err := config.Sign(newRequest(http.MethodPost, "/", []byte(c.body)).Request, c.id, time.Unix(now, 0))
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, which does not say %s", err, says)
		}
	}
	config := github()
	if err := config.Sign(&verify.Request{}, "", time.Unix(now, 0)); err == nil {
		t.Error("a request without a header is signed")
	}
}

func TestSigningKeepsTheRestOfTheBody(t *testing.T) {
	t.Parallel()
	config := github()
	inBody(&config, "{timestamp}")
	config.Timestamp.JSON, config.Signature.JSON = "list.1.at", "list.1.by.whom"
	r := newRequest(http.MethodPost, "/", []byte(`{"amount": 12345678901234567890.10, "list": [null, {"at": 5, "<": "&"}]}`))
	if err := config.Sign(r.Request, "", time.Unix(now, 0)); err != nil {
		t.Fatal(err)
	}
	signature := fmt.Sprintf("%x", mac(key, "1700000000"))
	want := `{"amount":12345678901234567890.10,"list":[null,{"<":"&","at":1700000000,"by":{"whom":"` + signature + `"}}]}`
	if string(r.Body) != want {
		t.Errorf("got  %s\nwant %s", r.Body, want)
	}
}

// The official library verifies what the signer signs, and so does Standard.
func TestTheStandardSignerSignsAsTheOfficialLibraryExpects(t *testing.T) {
	t.Parallel()
	signer, err := verify.NewStandardSigner([]verify.Secret{whsec(key), {Text: "another secret", Encoding: "raw"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{"", "{}", "\x00\xff", strings.Repeat("x", 1<<16)} {
		r := newRequest(http.MethodPost, "/", []byte(body))
		r.Header.Set("Webhook-Id", "of the sender")
		at := time.Now() // the library reads the clock
		signer.Sign(r.Header, "msg_1", r.Body, at)

		for _, key := range []string{key, "another secret"} {
			official, err := standardwebhooks.NewWebhookRaw([]byte(key))
			if err != nil {
				t.Fatal(err)
			}
			if err := official.Verify(r.Body, r.Header); err != nil {
				t.Errorf("the official library: %v", err)
			}
			claims, err := newStandard(t, key).Verify(r.Request, at)
			if err != nil || claims.ID != "msg_1" || claims.Timestamp.Unix() != at.Unix() {
				t.Errorf("got %+v, %v", claims, err)
			}
		}
		first := strings.Fields(r.Header.Get("Webhook-Signature"))[0]
		if want := v1(key, "msg_1", r.Header.Get("Webhook-Timestamp"), r.Body); first != want {
			t.Errorf("the first signature is %s, want that of the first secret, %s", first, want)
		}
	}
}

func TestTheStandardSignerTakesSecretsOnly(t *testing.T) {
	t.Parallel()
	public, private := keyPair("one")
	for says, secret := range map[string]verify.Secret{
		"secret 2 is a public key (whpk_…), with which nobody can sign": {Text: "whpk_" + b64(public)},
		"secret 2 is a private key (whsk_…)":                            {Text: "whsk_" + b64(private)},
		"secret 2 is empty":                                             {},
		"secret 2 is not base64":                                        {Text: "hunter2-hunter2"},
	} {
		_, err := verify.NewStandardSigner([]verify.Secret{whsec(key), secret})
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("got %v, which does not say %s", err, says)
		}
	}
	if _, err := verify.NewStandardSigner(nil); err == nil {
		t.Error("a signer without secrets is taken")
	}
}
