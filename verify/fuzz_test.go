// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/verify"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// What we accept, the official library accepts. What it accepts and we refuse
// is what we are stricter about. What is signed genuinely is accepted, and not
// with any bit of it changed.
func FuzzStandard(f *testing.F) {
	genuine := signStandard(key, "webhook", "msg_1", "1700000000", []byte("{}")).Header.Get("Webhook-Signature")
	f.Add("msg_1", "1700000000", genuine, []byte("{}"), uint(0))
	f.Add("msg_1", "1700000000", "v1,x "+genuine+" v1a,AA", []byte("{}"), uint(77))
	f.Add("msg_1", "01700000000", genuine, []byte("{}"), uint(3))
	f.Add("msg.1", "+1700000000", "v1,", []byte(""), uint(8))
	f.Add("", "", " , ", []byte("\x00\xff"), uint(1<<20))

	v := newStandard(f, key)
	official, err := standardwebhooks.NewWebhook(whsec(key).Text)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, id, timestamp, signature string, body []byte, bit uint) {
		r := newRequest(http.MethodPost, "/", body)
		r.Header.Set("webhook-id", id)
		r.Header.Set("webhook-timestamp", timestamp)
		r.Header.Set("webhook-signature", signature)
		_, err := v.Verify(r.Request, time.Unix(now, 0))
		theirs := official.VerifyIgnoringTimestamp(body, r.Header)
		switch {
		// It takes neither a comma at the end nor a signature without padding.
		case err == nil && theirs != nil && !strings.Contains(signature, ", ") && strings.Contains(signature, "="):
			t.Errorf("we accept what they refuse: %v", theirs)
		case outcome(err) == "mismatch" && theirs == nil:
			t.Errorf("they accept what we find no match in")
		}

		// The library signs for us.
		seconds, err := strconv.ParseInt(timestamp, 10, 64)
		if err != nil || strings.Contains(id, "%") {
			return
		}
		genuine, err := official.Sign(id, time.Unix(seconds, 0), body)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("webhook-signature", genuine)
		_, err = v.Verify(r.Request, time.Unix(seconds, 0))
		if outcome(err) == "mismatch" {
			t.Fatalf("refuses what the library signed: %v", err)
		}
		if err != nil {
			return
		}
		for _, part := range []string{"body", "webhook-id", "webhook-timestamp", "webhook-signature"} {
			refuseFlip(t, v, r, part, bit, time.Unix(seconds, 0))
		}
	})
}

// refuseFlip expects a refusal once one bit of the part has changed.
func refuseFlip(t *testing.T, v verify.Verifier, r request, part string, bit uint, at time.Time) {
	t.Helper()
	changed, ok := r.flip(part, bit)
	if !ok {
		return
	}
	if _, err := v.Verify(changed.Request, at); err == nil {
		t.Errorf("accepted with a changed %s:\n%q\n%q", part, changed, r)
	}
}

// A scheme that signs a bit of everything: what a sender signs is accepted, and
// not with any bit of it changed.
func FuzzHMAC(f *testing.F) {
	f.Add("msg_1", "1700000000", "orders", "/hooks?a=b", []byte("{}"), uint(0), "")
	f.Add("msg|1", "1700000001", "a, b", "/", []byte("|"), uint(9), "t=1,v1=x")
	f.Add("m", "-1", "", "", []byte{}, uint(3), "v1=,v1=,t=,t=")
	f.Add("m", "99999999999999999999", "\x00", "*", []byte("1"), uint(99), strings.Repeat("v1=a,", 17))

	v := newHMAC(f, verify.HMACConfig{
		Secrets:   []verify.Secret{{Text: "another"}, {Text: key}},
		Signature: verify.Signature{Headers: []string{"X-Signature"}, Key: "v1"},
		Signed:    "{id}|{timestamp}{http.request.header.X-Topic}|{http.request.uri}|{body}",
		Timestamp: &verify.Timestamp{Key: "t"},
		ID:        &verify.ID{Header: "X-Id"},
	})
	f.Fuzz(func(t *testing.T, id, timestamp, topic, uri string, body []byte, bit uint, forged string) {
		r := newRequest(http.MethodPost, uri, body)
		r.Header.Set("X-Id", id)
		r.Header.Set("X-Topic", topic)
		r.Header.Set("X-Signature", forged)
		if _, err := v.Verify(r.Request, time.Unix(now, 0)); err == nil {
			t.Fatalf("accepted: %q", r)
		}

		text := fmt.Sprintf("%s|%s%s|%s|%s", id, timestamp, topic, uri, body)
		r.Header.Set("X-Signature", fmt.Sprintf("v1=%s,t=%s,v1=%x", hex.EncodeToString(mac("x", text)), timestamp, mac(key, text)))
		seconds, err := strconv.ParseInt(timestamp, 10, 64)
		_, verr := v.Verify(r.Request, time.Unix(seconds, 0))
		switch {
		case verr == nil && err != nil:
			t.Fatalf("%q is no timestamp", timestamp)
		// Commas and spaces end the timestamp early; all else that is wrong is
		// malformed or missing.
		case outcome(verr) == "mismatch" && !strings.ContainsAny(timestamp, ", \t"), outcome(verr) == "expired" && err == nil && strconv.FormatInt(seconds, 10) == timestamp:
			t.Fatalf("refuses a genuine request: %v", verr)
		case verr != nil:
			return
		}
		for _, part := range []string{"body", "uri", "X-Id", "X-Topic"} {
			refuseFlip(t, v, r, part, bit, time.Unix(seconds, 0))
		}
	})
}

// Whatever the header and the format: no panic, at most 16 candidates, and one
// that is there is found.
func FuzzSignatureHeader(f *testing.F) {
	f.Add("t=1,v1=%,v1=x", "v1", "", ",", false)
	f.Add("sha256=%", "", "sha256=", "", false)
	f.Add("a %  b", "", "", " ", true)
	f.Add("%", "", "", "", true)
	f.Add(strings.Repeat(",", 100)+"%", "", "v0=", ",", true)

	f.Fuzz(func(t *testing.T, header, field, prefix, split string, inBase64 bool) {
		config := github()
		config.Signature = verify.Signature{Headers: []string{"X-Signature"}, Key: field, Prefix: prefix, Split: split, Encoding: "hex"}
		signature := hex.EncodeToString(mac(key, "{}"))
		if inBase64 {
			config.Signature.Encoding = "base64"
			signature = b64(mac(key, "{}"))
		}
		v, err := verify.NewHMAC(config)
		if err != nil {
			return
		}
		r := newRequest(http.MethodPost, "/", []byte("{}"))
		r.Header.Set("X-Signature", header)
		if _, err := v.Verify(r.Request, time.Unix(now, 0)); err == nil {
			t.Fatalf("accepted: %q", r)
		} else if outcome(err) == "error" {
			t.Fatalf("%v wraps no reason", err)
		}

		// % stands for the signature, with what has to stand before it.
		lead := prefix
		if field != "" {
			lead = field + "="
		}
		r.Header.Set("X-Signature", strings.ReplaceAll(header, "%", lead+signature))
		_, err = v.Verify(r.Request, time.Unix(now, 0))
		if header == "%" && !strings.Contains(lead+signature, split) && err != nil {
			t.Errorf("refuses the signature alone: %v", err)
		}
		if err == nil && !strings.Contains(header, "%") {
			t.Errorf("accepted: %q", r)
		}
	})
}

// Whatever the template: no panic, and what is taken for one is signed as it
// reads, with the placeholders replaced.
func FuzzTemplate(f *testing.F) {
	f.Add("{body}", []byte("{}"))
	f.Add("v0:{timestamp}:{body}", []byte("{timestamp}"))
	f.Add("{http.request.method}{http.request.uri}{body}{id}", []byte("{id}"))
	f.Add("{http.request.header.x-id}.{body}", []byte(""))
	f.Add("{url}{body}", []byte("{url}"))
	f.Add("}{", []byte("{"))
	f.Add("{{body}}", []byte("x"))
	f.Add("{http.request.body}{body}", []byte("x"))

	f.Fuzz(func(t *testing.T, template string, body []byte) {
		config := github()
		config.Signed = template
		if strings.Contains(template, "{id}") || strings.Contains(strings.ToLower(template), "{http.request.header.x-id}") {
			config.ID = &verify.ID{Header: "X-Id"}
		}
		if strings.Contains(template, "{timestamp}") {
			config.Timestamp = &verify.Timestamp{Header: "X-Time"}
		}
		v, err := verify.NewHMAC(config)
		if err != nil || template == "" {
			return
		}
		if !strings.Contains(template, "{body}") {
			t.Fatalf("%q is taken, which does not cover the body", template)
		}
		r := newRequest(http.MethodPost, "/hooks", body)
		r.Header.Set("X-Id", "msg_1")
		r.Header.Set("X-Time", strconv.Itoa(now))
		text := strings.NewReplacer(
			"{body}", string(body), "{id}", "msg_1", "{timestamp}", strconv.Itoa(now),
			"{http.request.method}", "POST", "{http.request.uri}", "/hooks",
			"{http.request.scheme}", "https", "{http.request.hostport}", "hooks.example.com",
			"{url}", "https://hooks.example.com/hooks",
			"{http.request.header.x-id}", "msg_1", "{http.request.header.X-Id}", "msg_1",
		).Replace(template)
		r.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac(key, text)))
		_, err = v.Verify(r.Request, time.Unix(now, 0))
		if outcome(err) == "mismatch" {
			t.Errorf("%q: %v", template, err)
		}
		if err == nil {
			r.Body = append(r.Body, 'x')
			if _, err := v.Verify(r.Request, time.Unix(now, 0)); err == nil {
				t.Errorf("%q: accepted with another body", template)
			}
		}
	})
}

// What is found is what encoding/json finds; what it does not find is not.
func FuzzJSONPath(f *testing.F) {
	f.Add([]byte(`{"a":{"b":[1,{"c":"x"}]}}`), "a.b.1.c")
	f.Add([]byte(` [ "\u00e9" , {} , 1e3 ] `), "0")
	f.Add([]byte(`{"a":1,"a":2}`), "a")
	f.Add([]byte(`{"a":"\ud800"}`), "a")
	f.Add([]byte(`{"a":{"a":"b\\\""},"b":"}"}`), "b")
	f.Add([]byte(`{"a":[[],[[true]]]}`), "a.1.0.0")

	f.Fuzz(func(t *testing.T, document []byte, text string) {
		path, err := verify.ParseJSONPath(text)
		if err != nil {
			return
		}
		before := bytes.Clone(document)
		got, err := path.Lookup(document)
		if !bytes.Equal(document, before) {
			t.Fatal("the document was modified")
		}
		if outcome(err) == "error" {
			t.Fatalf("%v wraps no reason", err)
		}
		want, found := lookupInTree(document, strings.Split(text, "."))
		switch outcome(err) {
		case "ok":
			if !found || got != want {
				t.Errorf("%s in %q: got %q, encoding/json finds %q (%v)", text, document, got, want, found)
			}
		case "missing":
			if found {
				t.Errorf("%s in %q is missing, encoding/json finds %q", text, document, want)
			}
		}
	})
}

// lookupInTree does the same with a parsed document.
func lookupInTree(document []byte, names []string) (string, bool) {
	d := json.NewDecoder(bytes.NewReader(document))
	d.UseNumber()
	var value any
	if d.Decode(&value) != nil {
		return "", false
	}
	for _, name := range names {
		switch container := value.(type) {
		case map[string]any:
			value = container[name]
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || strconv.Itoa(i) != name || i < 0 || i >= len(container) {
				return "", false
			}
			value = container[i]
		default:
			return "", false
		}
	}
	switch value := value.(type) {
	case string:
		return value, value != ""
	case json.Number:
		return value.String(), true
	case bool:
		return strconv.FormatBool(value), true
	default:
		return "", false
	}
}
