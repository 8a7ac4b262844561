// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

const formType = "application/x-www-form-urlencoded"

// sentByTwilio is a request with the signature of a text.
func sentByTwilio(uri, contentType, body, signed string) request {
	r := newRequest(http.MethodPost, uri, []byte(body))
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	h := hmac.New(sha1.New, []byte(key))
	h.Write([]byte(signed))
	r.Header.Set("X-Twilio-Signature", b64(h.Sum(nil)))
	return r
}

func newTwilio(t testing.TB, publicURL string, tokens ...string) *verify.Twilio {
	t.Helper()
	v, err := verify.NewTwilio(verify.TwilioConfig{Tokens: append(tokens, key), PublicURL: publicURL})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func bodyHash(body string) string {
	sum := sha256.Sum256([]byte(body))
	return "bodySHA256=" + hex.EncodeToString(sum[:])
}

func TestTwilioSignsTheURLAndWhatCoversTheBody(t *testing.T) {
	t.Parallel()
	const host = "https://hooks.example.com"
	const body = `{"a": 1}`
	hashed := "/hooks?x=1&" + bodyHash(body)
	for name, c := range map[string]struct{ uri, contentType, body, signed string }{
		"the URL alone":        {"/hooks?a=1", "", "", host + "/hooks?a=1"},
		"an empty form":        {"/hooks", formType, "", host + "/hooks"},
		"a sorted form":        {"/hooks", formType, "To=b&From=a&a=1", host + "/hooksFromaTob" + "a1"},
		"an empty value":       {"/hooks", formType, "b=&a=1", host + "/hooksa1b"},
		"escapes":              {"/hooks", formType, "a=%2B1+2%203&%62=caf%c3%A9", host + "/hooksa+1 2 3bcafé"},
		"several values":       {"/hooks", formType, "a=2&b=x&a=1&a=2", host + "/hooksa1a2bx"},
		"a charset":            {"/hooks", formType + "; charset=UTF-8", "a=1", host + "/hooksa1"},
		"an unknown charset":   {"/hooks", "Application/X-WWW-Form-Urlencoded;charset=x", "a=1", host + "/hooksa1"},
		"the hash of JSON":     {hashed, "application/json", body, host + hashed},
		"the hash of anything": {hashed, "", body, host + hashed},
		"a form and its hash":  {"/hooks?" + bodyHash("a=1"), formType, "a=1", host + "/hooks?" + bodyHash("a=1") + "a1"},
		"the port of https":    {"/hooks", "", "", host + ":443/hooks"},
		"a plain quote":        {"/hooks?a=%27b%27", "", "", host + "/hooks?a='b'"},
		"a quote in escapes":   {"/hooks?a='b'", "", "", host + "/hooks?a=%27b%27"},
		"a quote as it came":   {"/hooks?a='b%27", "", "", host + "/hooks?a='b%27"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := sentByTwilio(c.uri, c.contentType, c.body, c.signed)
			v := newTwilio(t, "", "the next token")
			expect(t, v, r, "ok")
			if err := v.CheckHeader(r.Request, time.Unix(now, 0)); err != nil {
				t.Error("CheckHeader:", err)
			}
			r.Body = append(slices.Clone(r.Body), '\n')
			if _, err := v.Verify(r.Request, time.Unix(now, 0)); err == nil {
				t.Error("accepted with another body")
			}
		})
	}
}

func TestTwilioRefusesWhatParsersReadDifferently(t *testing.T) {
	t.Parallel()
	v := newTwilio(t, "")
	const url = "https://hooks.example.com/hooks"
	for body, signed := range map[string]string{
		"a":        "a",
		"=a":       "a",
		"=":        "",
		"&":        "",
		"a=1&":     "a1",
		"&a=1":     "a1",
		"a=1&&b=2": "a1b2",
		"a=1;b=2":  "a1b2",
		"a=%":      "a%",
		"a=%2":     "a%2",
		"a=%zz":    "a%zz",
		"%=1":      "%1",
		"a=%ff":    "a\xff",
		"a=\xff":   "a\xff",
		`{"a": 1}`: `{"a": 1}`,
	} {
		expect(t, v, sentByTwilio("/hooks", formType, body, url+signed), "malformed")
	}
	for contentType, want := range map[string]string{
		"application/x-www-form-urlencoded;": "ok",
		";":                                  "malformed",
		"a b":                                "malformed",
		"multipart/form-data":                "missing",
	} {
		expect(t, v, sentByTwilio("/hooks", contentType, "a=1", url+"a1"), want)
	}
}

func TestTwilioFormsAreBounded(t *testing.T) {
	t.Parallel()
	v := newTwilio(t, "")
	for n, want := range map[int]string{1000: "ok", 1001: "malformed"} {
		body := strings.TrimSuffix(strings.Repeat("a=1&", n), "&")
		expect(t, v, sentByTwilio("/hooks", formType, body, "https://hooks.example.com/hooksa1"), want)
	}
}

// The hash of the body is in the URL, which is signed, and the content type is
// not.
func TestAttackerReplacesTheBodyOfTwilio(t *testing.T) {
	t.Parallel()
	v := newTwilio(t, "")
	const body = `{"a": 1}`
	signed := "/hooks?" + bodyHash(body)
	other := "/hooks?" + bodyHash("{}")
	twice := signed + "&" + bodyHash("{}")
	escaped := signed + "&body%53HA256=" + strings.Repeat("0", 64)
	for _, c := range []struct{ uri, contentType, body, want string }{
		{signed, "application/json", body, "ok"},
		{signed, "application/json", body + " ", "mismatch"},
		{signed, "application/json", "", "mismatch"},
		{signed, formType, "", "mismatch"},
		{signed, formType, body, "malformed"},
		{signed, formType, "a=1", "mismatch"},
		{signed, formType, "=", "malformed"},
		{other, "application/json", body, "mismatch"},
		{twice, "application/json", body, "malformed"},
		{escaped, "application/json", body, "malformed"},
		{"/hooks", "application/json", body, "missing"},
		{"/hooks", "", body, "missing"},
		{"/hooks?bodySHA256=", "", body, "missing"},
		{"/hooks?bodySHA256=00", "", body, "malformed"},
		{"/hooks?bodySHA256=" + strings.Repeat("x", 64), "", body, "malformed"},
		{"/hooks?" + strings.ToLower(bodyHash(body)), "", body, "missing"},
		{"/hooks#" + bodyHash(body), "", body, "missing"},
	} {
		expect(t, v, sentByTwilio(c.uri, c.contentType, c.body, "https://hooks.example.com"+c.uri), c.want)
	}
	r := sentByTwilio("/hooks", formType, "a=1", "https://hooks.example.com/hooksa1")
	r.Header.Add("Content-Type", "application/json")
	expect(t, v, r, "malformed")
}

func TestAttackerForgesTheSignatureOfTwilio(t *testing.T) {
	t.Parallel()
	v := newTwilio(t, "")
	genuine := sentByTwilio("/hooks", formType, "a=1", "https://hooks.example.com/hooksa1")
	signature := genuine.Header.Get("X-Twilio-Signature")
	mac, _ := base64.StdEncoding.DecodeString(signature)
	for n := range mac {
		r := genuine.clone()
		r.Header.Set("X-Twilio-Signature", b64(mac[:n]))
		want := map[bool]string{true: "missing", false: "malformed"}[n == 0]
		expect(t, v, r, want)
	}
	for value, want := range map[string]string{
		"":                                    "missing",
		" ":                                   "malformed",
		hex.EncodeToString(mac):               "malformed",
		signature + "," + signature:           "malformed",
		signature + "\n":                      "malformed",
		signature[:26] + "\n=":                "malformed",
		strings.TrimRight(signature, "="):     "ok",
		"=" + signature[1:]:                   "malformed",
		b64(make([]byte, sha1.Size)):          "mismatch",
		b64(append(mac, make([]byte, 12)...)): "malformed",
	} {
		r := genuine.clone()
		r.Header.Set("X-Twilio-Signature", value)
		expect(t, v, r, want)
	}
	r := genuine.clone()
	r.Header.Add("X-Twilio-Signature", signature)
	expect(t, v, r, "malformed")
	for _, part := range []string{"uri", "X-Twilio-Signature"} {
		for r := range genuine.flips(part) {
			if _, err := v.Verify(r.Request, time.Unix(now, 0)); err == nil {
				t.Errorf("accepted with a changed %s: %v", part, r)
			}
		}
	}
}

// One signature is that of several requests, which have one content: whatever
// is accepted with the signature of another is a duplicate of it.
func TestVariantsOfARequestFromTwilioAreDuplicates(t *testing.T) {
	t.Parallel()
	v := newTwilio(t, "")
	genuine := sentByTwilio("/hooks?id=1", formType, "Body=hi+you&From=%2B1&To=a&To=b",
		"https://hooks.example.com/hooks?id=1Bodyhi youFrom+1ToaTob")
	content := expect(t, v, genuine, "ok").Content
	for name, c := range map[string]struct{ uri, body string }{
		"in another order":      {"/hooks?id=1", "To=b&To=a&From=%2B1&Body=hi+you"},
		"with other escapes":    {"/hooks?id=1", "%42ody=hi%20you&From=%2b1&To=%61&To=b"},
		"with a value repeated": {"/hooks?id=1", "Body=hi+you&From=%2B1&To=a&To=a&To=b"},
		"with other names":      {"/hooks?id=1", "Bod=yhi+you&From%2B=1&Toa=Tob"},
		"with a longer URL":     {"/hooks?id=1Body", "hi+youFrom=%2B1ToaTob"},
	} {
		r := genuine.clone()
		r.URI, r.Body = c.uri, []byte(c.body)
		if expect(t, v, r, "ok").Content != content {
			t.Errorf("%s it is another message", name)
		}
	}
	form, _ := url.ParseQuery(string(genuine.Body))
	for r := range genuine.flips("body") {
		claims, err := v.Verify(r.Request, time.Unix(now, 0))
		if err != nil {
			continue
		}
		changed, err := url.ParseQuery(string(r.Body))
		if claims.Content != content || err != nil || !reflect.DeepEqual(changed, form) {
			t.Errorf("accepted with another form: %v", r)
		}
	}
	other := sentByTwilio("/hooks?id=1", formType, "Body=hi", "https://hooks.example.com/hooks?id=1Bodyhi")
	if expect(t, v, other, "ok").Content == content {
		t.Error("two messages have the same content")
	}
	covers := v.Traits().Covers
	if !covers("body") || !covers("http.request.uri") || !covers("http.request.uri.query.id") || covers("http.request.method") {
		t.Error("what is covered: want the body and the URL")
	}
}
