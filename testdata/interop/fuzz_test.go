// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"encoding/json"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

// FuzzLibraries holds each sender's row against its library, on requests that a
// fuzzer makes from a genuine one: of any body, with any signature, and with any bit
// changed. What the library refuses is refused. What is genuine is accepted by both,
// and with a bit changed of what is signed, or of the signature, by neither.
func FuzzLibraries(f *testing.F) {
	for n, l := range libraries {
		f.Add(uint(n), []byte(l.body), "", uint(n*7), uint(0))
	}
	f.Add(uint(0), []byte(""), "v1,@ v1,@", uint(1), uint(8))
	f.Add(uint(1), []byte("\x00\xff"), "v1,AAAA @", uint(2), uint(9))
	f.Add(uint(4), []byte(`{"a":"é"}`), "@,v0=00,v1=00", uint(3), uint(10))
	f.Add(uint(6), []byte("{}"), "@@", uint(4), uint(11))
	f.Add(uint(8), []byte(""), "", uint(63), uint(152))

	f.Fuzz(func(t *testing.T, which uint, body []byte, signature string, bit, part uint) {
		l := libraries[which%uint(len(libraries))]
		// Some libraries take a form, or JSON in which they look for the signature.
		if l.form || strings.Contains(l.body, `"signature"`) {
			body = []byte(l.body)
		}
		synctest.Test(t, func(t *testing.T) {
			l.body = string(body)
			r := l.request(t, time.Now())
			verifier := l.verifier(t, l.secret)
			_, err := verifier.Verify(r, time.Now())
			library := l.accepts(l.secret, r)
			if err == nil && !library && len(body) == 0 {
				return // some take no empty body, whoever signed it
			}
			if err != nil || !library {
				t.Fatalf("a genuine request is accepted by the library: %t, here: %v", library, err)
			}
			// @ stands for the genuine signature.
			if headers := verifier.Traits().Headers; signature != "" && len(headers) > 0 {
				forged := clone(r)
				name := headers[len(headers)-1]
				forged.Header.Set(name, strings.ReplaceAll(signature, "@", r.Header.Get(name)))
				compareWithLibrary(t, l, verifier, forged)
			}
			acceptedByNeither(t, l, verifier, r, withBitChanged(r, verifier.Traits().Headers, bit, part))
		})
	})
}

// Each bit is changed of what each library takes, in turn.
func TestNoBitOfARequestCanBeChanged(t *testing.T) {
	forEachLibrary(t, func(t *testing.T, l library) {
		r := l.request(t, time.Now())
		verifier := l.verifier(t, l.secret)
		headers := verifier.Traits().Headers
		changes := 0
		for part := range uint(len(headers) + 1) {
			text := string(r.Body)
			if part > 0 {
				text = r.Header.Get(headers[part-1])
			}
			for bit := range uint(8 * len(text)) {
				if acceptedByNeither(t, l, verifier, r, withBitChanged(r, headers, bit, part)) {
					changes++
				}
			}
		}
		if changes < 8*32 {
			t.Errorf("only %d changes are refused", changes)
		}
	})
}

// acceptedByNeither fails if r is accepted after a change by either. It returns whether
// anything is changed that matters.
func acceptedByNeither(t *testing.T, l library, v verify.Verifier, r, changed *verify.Request) (matters bool) {
	t.Helper()
	if l.readsTheSame(string(r.Body), string(changed.Body)) && sameButForCapitals(r, changed, v.Traits().Headers) {
		return false
	}
	if _, err := v.Verify(changed, time.Now()); err == nil {
		t.Errorf("accepted for %s after a change: %v %q", l.sender, changed.Header, changed.Body)
	}
	if laxer[l.name] == "" && l.accepts(l.secret, changed) {
		t.Errorf("the library %s accepts it after a change: %v %q", l.name, changed.Header, changed.Body)
	}
	return true
}

// readsTheSame reports whether what the sender signs is the same in two bodies: of a
// form its values, and of JSON with a signature in it what stands there.
func (l library) readsTheSame(body, other string) bool {
	switch {
	case l.form:
		values, err := url.ParseQuery(body)
		others, otherErr := url.ParseQuery(other)
		return err == nil && otherErr == nil && maps.EqualFunc(values, others, slices.Equal)
	case strings.Contains(l.body, `"signature"`):
		var in, otherIn struct {
			Signature struct{ Token, Timestamp, Signature string }
		}
		return json.Unmarshal([]byte(body), &in) == nil && json.Unmarshal([]byte(other), &otherIn) == nil &&
			in.Signature.Token == otherIn.Signature.Token && in.Signature.Timestamp == otherIn.Signature.Timestamp &&
			strings.EqualFold(in.Signature.Signature, otherIn.Signature.Signature) // hexadecimal
	}
	return body == other
}

// hexadecimal is the end of a header field that is a signature in hexadecimal digits.
var hexadecimal = regexp.MustCompile(`(?i)(?:^|=)[0-9a-f]{64,}$`)

// sameButForCapitals reports whether the fields are the same, but for the letters of
// hexadecimal digits, which may be capitals.
func sameButForCapitals(r, changed *verify.Request, headers []string) bool {
	for _, name := range headers {
		text, other := r.Header.Get(name), changed.Header.Get(name)
		begin := len(text)
		if at := hexadecimal.FindStringIndex(text); at != nil {
			begin = at[0]
		}
		if len(text) != len(other) || text[:begin] != other[:begin] || !strings.EqualFold(text[begin:], other[begin:]) {
			return false
		}
	}
	return true
}

// compareWithLibrary fails if what the library refuses is accepted here, unless that
// is one of the differences that differences_test.go lists.
func compareWithLibrary(t *testing.T, l library, v verify.Verifier, r *verify.Request) {
	t.Helper()
	_, err := v.Verify(r, time.Now())
	if err != nil || l.accepts(l.secret, r) {
		return
	}
	for _, name := range v.Traits().Headers {
		text := r.Header.Get(name)
		if strings.ContainsAny(text, " \t,;") || strings.Trim(text, "=") != text || unpadded(text) {
			return // lists, spaces and padding are read more kindly here
		}
	}
	t.Errorf("refused by the library %s and accepted here: %s %s %v %q", l.name, r.Method, r.URI, r.Header, r.Body)
}

// unpadded reports whether the text could be base64 that lacks its padding.
func unpadded(text string) bool { return len(text)%4 != 0 }

// withBitChanged returns r with one bit changed, of its body or of a header field
// that the sender signs with.
func withBitChanged(r *verify.Request, headers []string, bit, part uint) *verify.Request {
	changed := clone(r)
	if n := part % uint(len(headers)+1); n > 0 {
		text := []byte(r.Header.Get(headers[n-1]))
		if len(text) > 0 {
			flip(text, bit)
			changed.Header.Set(headers[n-1], string(text))
		}
		return changed
	}
	if len(changed.Body) > 0 {
		flip(changed.Body, bit)
	}
	return changed
}

func flip(text []byte, bit uint) {
	bit %= uint(8 * len(text))
	text[bit/8] ^= 1 << (bit % 8)
}

// FuzzNothingIsAcceptedUnsigned: whatever stands where the signature should, no
// library and no row accepts it under a key that nobody signed with.
func FuzzNothingIsAcceptedUnsigned(f *testing.F) {
	f.Add("v1,AAAA", "1700000000", []byte("{}"))
	f.Add("t=1700000000,v1=", "", []byte(""))
	f.Add("sha256=", "0", []byte("x"))
	f.Fuzz(func(t *testing.T, signature, timestamp string, body []byte) {
		for _, l := range libraries {
			verifier := l.verifier(t, l.secret)
			r := &verify.Request{Method: "POST", URI: "/hooks", Header: map[string][]string{}, Body: slices.Clone(body)}
			r.Lookup = placeholders(r)
			for _, name := range verifier.Traits().Headers {
				r.Header.Set(name, signature)
				if strings.Contains(strings.ToLower(name), "time") {
					r.Header.Set(name, timestamp)
				}
			}
			if _, err := verifier.Verify(r, time.Unix(1700000000, 0)); err == nil {
				t.Errorf("%s accepts %v", l.sender, r.Header)
			}
		}
	})
}
