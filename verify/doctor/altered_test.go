// SPDX-License-Identifier: Apache-2.0

package doctor_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-webhook-inbox/inbox/verify"
	"github.com/caddy-webhook-inbox/inbox/verify/doctor"
	"github.com/caddy-webhook-inbox/inbox/verify/senders"
)

// The request is GitHub's, so that every change is tried with the table, and the
// search.
func github(body string) *verify.Request {
	h := hmac.New(sha256.New, []byte(textSecret))
	h.Write([]byte(body))
	return set(send(body), "X-Hub-Signature-256", "sha256="+hex.EncodeToString(h.Sum(nil)))
}

// What was changed on the way of the body is said, if it can be undone.
func TestAlteredBodies(t *testing.T) {
	t.Parallel()
	const sent = `{"id":1,"name":"Zoë & Co","url":"https://a/b","nested":{"b":[1,2.50,null,true],"a":{}}}`
	for name, c := range map[string]struct{ sent, captured, want string }{
		"line break added":   {sent, sent + "\n", "without the one at its end"},
		"line break lost":    {sent + "\n", sent, "with LF at its end"},
		"CRLF lost":          {sent + "\r\n", sent, "with CRLF at its end"},
		"CRLF turned to LF":  {"{\"a\": 1,\r\n\"b\": 2}\r\n", "{\"a\": 1,\n\"b\": 2}\n", "with CRLF in place of LF"},
		"LF turned to CRLF":  {"{\"a\": 1,\n\"b\": 2}\n", "{\"a\": 1,\r\n\"b\": 2}\r\n", "with LF in place of CRLF"},
		"indented":           {sent, "{\n  \"id\": 1,\n  \"name\": \"Zoë & Co\",\n  \"url\": \"https://a/b\",\n  \"nested\": {\"b\": [1, 2.50, null, true], \"a\": {}}\n}", "without spaces between its parts"},
		"compacted":          {`{"id": 1, "list": [1, 2]}`, `{"id":1,"list":[1,2]}`, "with a space after each comma and colon"},
		"sent indented":      {"{\n    \"id\": 1,\n    \"list\": [\n        1,\n        2\n    ],\n    \"none\": []\n}", `{"id":1,"list":[1,2],"none":[]}`, "indented by four spaces"},
		"order lost":         {`{"a":1,"b":2}`, `{"b":2,"a":1}`, "with its names sorted"},
		"PHP":                {`{"url":"https:\/\/a","name":"Zo\u00eb \ud83d\ude00"}`, `{"url":"https://a","name":"Zoë 😀"}`, `with / written as \/, with what is not ASCII written as \u…`},
		"Python":             {`{"name": "Zo\u00eb", "n": 1}`, `{"name":"Zoë","n":1}`, `with a space after each comma and colon, with what is not ASCII written as \u…`},
		"Go":                 {`{"name":"a \u003c b \u0026 c"}`, `{"name":"a < b & c"}`, "with <, > and & written as"},
		"escapes taken away": {`{"a":"\"\\\t\n"}`, `{"a": "\u0022\u005c\u0009\u000a"}`, "without spaces between its parts"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := github(c.sent)
			if f := one(t, diagnose(r, []string{textSecret})); f.Altered != "" {
				t.Fatalf("as it was sent: %q", f.Altered)
			}
			r.Body = []byte(c.captured)
			for _, find := range []func(*verify.Request, []string) doctor.Report{diagnose, search} {
				report := find(r, []string{textSecret})
				f := one(t, report)
				if !strings.Contains(f.Altered, c.want) {
					t.Errorf("got %q, want %q", f.Altered, c.want)
				}
				if report.Genuine() {
					t.Error("it counts as genuine as it was captured")
				}
				keeps(t, report, textSecret, c.sent, c.captured)
			}
			if string(r.Body) != c.captured {
				t.Error("the request was changed")
			}
		})
	}
}

// A secret that was given in the wrong form is said to be.
func TestAlteredSecrets(t *testing.T) {
	t.Parallel()
	withBreak := textSecret + "\n"
	for name, c := range map[string]struct{ used, given, want string }{
		"white space":              {textSecret, " " + textSecret + "\t", "white space"},
		"quotation marks":          {textSecret, `"` + textSecret + `"`, "quotation marks"},
		"line break at the sender": {withBreak, textSecret, "with a line break at its end"},
		"prefix is no part":        {textSecret, "whsec_" + textSecret, "without that prefix"},
		"NAME=value":               {textSecret, "export SECRET='" + textSecret + "'", "a line such as NAME=value"},
		"a file of them":           {textSecret, "A=1\nSECRET=" + textSecret + "\nB=2", "a line such as NAME=value"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := send(`{"a":1}`)
			h := hmac.New(sha256.New, []byte(c.used))
			h.Write(r.Body)
			set(r, "X-Acme-Signature", base64.StdEncoding.EncodeToString(h.Sum(nil)))
			report := diagnose(r, []string{"another", c.given})
			f := one(t, report)
			if !strings.Contains(f.Altered, c.want) || f.Secret != 2 {
				t.Errorf("got %+v, want %q", f, c.want)
			}
			if report.Genuine() {
				t.Error("it counts as genuine with the secret as it was given")
			}
			keeps(t, report, textSecret)
		})
	}
}

// A secret that is decoded when it should not be, or the other way round, is found
// by another scheme, with no need to change it.
func TestSecretsAreReadInEveryWay(t *testing.T) {
	t.Parallel()
	r := send(`{"a":1}`)
	scheme := senders.Standard{Encoding: "raw"}
	if err := scheme.Sign(senders.Keys{Secrets: []string{whsecSecret}}, r, "msg_1", now); err != nil {
		t.Fatal(err)
	}
	f := one(t, diagnose(r, []string{whsecSecret}))
	if got, ok := f.Scheme.(senders.Standard); !ok || got.Encoding != "raw" || f.Altered != "" {
		t.Errorf("Standard Webhooks with a raw whsec_…: got %+v", f)
	}
	r = github(`{"a":1}`)
	f = one(t, diagnose(r, []string{hex.EncodeToString([]byte(textSecret))}))
	if got, ok := f.Scheme.(senders.HMAC); !ok || got.Encoding != "hex" || f.Name != "" {
		t.Errorf("GitHub with a secret in hex: got %+v", f)
	}
}

// A header field that is there twice is refused, and said to be why.
func TestFieldGivenTwice(t *testing.T) {
	t.Parallel()
	r := github(`{"a":1}`)
	r.Header.Add("X-Hub-Signature-256", "sha256=00")
	for _, find := range []func(*verify.Request, []string) doctor.Report{diagnose, search} {
		f := one(t, find(r, []string{textSecret}))
		if !strings.Contains(f.Altered, "X-Hub-Signature-256 is there 2 times") || !strings.Contains(f.Altered, "number 1") {
			t.Errorf("got %q", f.Altered)
		}
	}
	slices.Reverse(r.Header["X-Hub-Signature-256"])
	if f := one(t, diagnose(r, []string{textSecret})); !strings.Contains(f.Altered, "number 2") {
		t.Errorf("reversed: got %q", f.Altered)
	}
	report := diagnose(r, []string{"another secret"})
	if len(report.Findings) > 0 || !strings.Contains(strings.Join(report.Remarks, "\n"), "2 times") {
		t.Errorf("with another secret: got %+v", report)
	}
}

// A URL that differs from what the sender was given is found out.
func TestURLThatDiffers(t *testing.T) {
	t.Parallel()
	config := verify.HMACConfig{Signature: verify.Signature{Headers: []string{"X-Square-Hmacsha256-Signature"}, Encoding: "base64"}, Signed: "{url}{body}"}
	for given, public := range map[string]string{
		"http://hooks.example.com":      "http://hooks.example.com",
		"https://hooks.example.com:443": "https://hooks.example.com:443",
		"http://hooks.example.com:80":   "http://hooks.example.com:80",
		"https://hooks.example.com":     "https://hooks.example.com",
	} {
		r := send("{}")
		if err := (senders.HMAC{Config: config}).Sign(senders.Keys{Secrets: []string{textSecret}, PublicURL: given}, r, "", now); err != nil {
			t.Fatal(err)
		}
		for _, find := range []func(*verify.Request, []string) doctor.Report{diagnose, search} {
			if f := one(t, find(r, []string{textSecret})); f.PublicURL != public || f.Altered != "" {
				t.Errorf("%s: got %+v", given, f)
			}
		}
	}

	r := send("{}")
	if err := (senders.HMAC{Config: config}).Sign(senders.Keys{Secrets: []string{textSecret}, PublicURL: "https://other.example/path"}, r, "", now); err != nil {
		t.Fatal(err)
	}
	if report := diagnose(r, []string{textSecret}); len(report.Findings) > 0 {
		t.Errorf("a URL that nobody named was found: %+v", report)
	}
	report := doctor.Diagnose(r, []string{textSecret}, "https://other.example/path/", now)
	if f := one(t, report); f.PublicURL != "https://other.example/path" || f.Name != "square" {
		t.Errorf("with the public URL: got %+v", f)
	}

	for uri, want := range map[string]string{
		"/hooks/?a=1": "with a / at the end",
		"/hooks?a=1":  "without the / at the end",
	} {
		r := send("{}")
		r.URI = uri
		if err := (senders.HMAC{Config: config}).Sign(senders.Keys{Secrets: []string{textSecret}, PublicURL: "https://hooks.example.com"}, r, "", now); err != nil {
			t.Fatal(err)
		}
		arrived := send("{}")
		if uri == arrived.URI {
			arrived.URI = "/hooks/?a=1"
		}
		arrived.Header = r.Header
		if f := one(t, diagnose(arrived, []string{textSecret})); !strings.Contains(f.Altered, want) {
			t.Errorf("signed %s, came as %s: got %q, want %q", uri, arrived.URI, f.Altered, want)
		}
	}
}

// If nothing helps, it is said what is conspicuous.
func TestRemarks(t *testing.T) {
	t.Parallel()
	hash := sha256.Sum256([]byte("{}"))
	salted := sha256.Sum256([]byte(textSecret + "{}"))
	foreign := hex.EncodeToString(make([]byte, 32))
	for name, c := range map[string]struct {
		fields            map[string]string
		uri, body, secret string
		want              string
	}{
		"another secret":        {fields: map[string]string{"X-Hub-Signature-256": "sha256=" + foreign}, want: "X-Hub-Signature-256 is there, as it is for github, meta"},
		"form of the secret":    {fields: map[string]string{"Webhook-Id": "1", "Webhook-Timestamp": "1700000000", "Webhook-Signature": "v1,x"}, secret: "not base64!", want: "Secret 1 cannot be one of"},
		"public key":            {fields: map[string]string{"X-Signature-Ed25519": hex.EncodeToString(make([]byte, 64)), "X-Signature-Timestamp": "1"}, want: "for discord, but it is made with a private key"},
		"form of a public key":  {fields: map[string]string{"X-Signature-Ed25519": hex.EncodeToString(make([]byte, 64))}, secret: "no key", want: "Secret 1 cannot be one of discord: key 1"},
		"unknown private key":   {fields: map[string]string{"X-Acme-Signature": base64.StdEncoding.EncodeToString(make([]byte, 64))}, want: "size of a signature with a private key"},
		"checksum":              {fields: map[string]string{"X-Checksum": hex.EncodeToString(hash[:])}, want: "X-Checksum is a hash of the body alone"},
		"salted hash":           {fields: map[string]string{"X-Checksum": hex.EncodeToString(salted[:])}, want: "plain hash of secret 1 and the body"},
		"query":                 {uri: "/?token=" + textSecret, want: `the value of "token" in the query`},
		"path":                  {uri: "/hooks/" + textSecret, want: "part of the URL's path"},
		"body":                  {body: `{"auth":{"key":"` + textSecret + `"}}`, want: `the value of "auth.key" in the body`},
		"word in Authorization": {fields: map[string]string{"Authorization": "Token " + textSecret}, want: "after a word that is not Bearer"},
		"JWT":                   {fields: map[string]string{"Authorization": "Bearer eyJhbGciOiJIUzI1NiJ9.e30.c2ln"}, want: "JSON Web Token"},
		"nothing":               {want: "No header field has the form of a signature"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body := "{}"
			if c.body != "" {
				body = c.body
			}
			r := send(body)
			if c.uri != "" {
				r.URI = c.uri
			}
			for _, field := range slices.Sorted(maps.Keys(c.fields)) {
				set(r, field, c.fields[field])
			}
			secret := textSecret
			if c.secret != "" {
				secret = c.secret
			}
			report := diagnose(r, []string{secret})
			if len(report.Findings) > 0 {
				t.Fatalf("found %+v", report.Findings)
			}
			text := strings.Join(report.Remarks, "\n")
			if !strings.Contains(text, c.want) {
				t.Errorf("remarks %q, want %q", text, c.want)
			}
			keeps(t, report, secret)
		})
	}
}

// The work is bounded, however large the body is and however much of the request
// looks like a signature, a time or an id.
func TestTheSearchIsBounded(t *testing.T) {
	t.Parallel()
	r := send(`{"a":"` + strings.Repeat("x", 1<<20) + `"}`)
	for i := range 50 {
		set(r, fmt.Sprintf("X-Signature-%d", i), hex.EncodeToString(make([]byte, 32)))
		set(r, fmt.Sprintf("X-Time-%d", i), fmt.Sprint(1700000000+i))
		set(r, fmt.Sprintf("X-Message-Id-%d", i), fmt.Sprint("m", i))
	}
	report := doctor.Limited(r, []string{textSecret, whsecSecret}, now, 64<<20)
	if len(report.Findings) > 0 || !strings.Contains(strings.Join(report.Remarks, "\n"), "ended early") {
		t.Errorf("got %+v", report)
	}
	if r.Method != http.MethodPost {
		t.Error("the request was changed")
	}
}
