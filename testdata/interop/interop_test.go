// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"errors"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-webhook-inbox/inbox/verify"
	"github.com/caddy-webhook-inbox/inbox/verify/senders"
)

// Libraries read the clock. In the bubbles of synctest it stands still.

func TestEachLibraryAcceptsWhatIsSignedAsTheTableSays(t *testing.T) {
	forEachLibrary(t, func(t *testing.T, l library) {
		r := l.request(t, time.Now())
		if !l.accepts(l.secret, r) {
			t.Errorf("the library refuses %s %s %v %s", r.Method, r.URI, r.Header, r.Body)
		}
		if _, err := l.verifier(t, l.secret).Verify(r, time.Now()); err != nil {
			t.Errorf("refused here: %v", err)
		}
	})
}

func TestWhatEachLibraryRefusesIsRefused(t *testing.T) {
	forEachLibrary(t, func(t *testing.T, l library) {
		r := l.request(t, time.Now())
		verifier := l.verifier(t, l.secret)
		compare := func(what string, changed *verify.Request) {
			t.Helper()
			library := l.accepts(l.secret, changed)
			_, err := verifier.Verify(changed, time.Now())
			if err == nil && !library {
				t.Errorf("%s: refused by the library and accepted here", what)
			}
			if err != nil && library && laxer[l.name] == "" {
				t.Errorf("%s: accepted by the library and refused here: %v", what, err)
			}
		}
		for at := range r.Body {
			changed := clone(r)
			changed.Body[at] ^= 1
			compare("another body", changed)
		}
		for _, name := range verifier.Traits().Headers {
			value := r.Header.Get(name)
			for at := range value {
				text := []byte(value)
				text[at] ^= 1
				changed := clone(r)
				changed.Header.Set(name, string(text))
				compare("another "+name, changed)
			}
			changed := clone(r)
			changed.Header.Del(name)
			compare("no "+name, changed)
		}
		for at := 1; at < len(r.URI); at++ { // after the slash
			changed := clone(r)
			changed.URI = r.URI[:at] + string(r.URI[at]^1) + r.URI[at+1:]
			compare("another URI", changed)
		}
	})
}

// laxer are the libraries that accept some of these changes.
var laxer = map[string]string{
	"openai-go":   "takes a signature without a version before it",
	"resend-go":   "passes over the version before a signature",
	"sendgrid-go": "passes over the unused bits at the end of base64",
}

func TestEachLibraryRefusesAnotherSecretAsIsDoneHere(t *testing.T) {
	forEachLibrary(t, func(t *testing.T, l library) {
		r := l.request(t, time.Now())
		other := []byte(l.secret)
		at := len(other) / 2
		other[at] = map[bool]byte{true: 'b', false: 'a'}[other[at] == 'a']
		if l.accepts(string(other), r) {
			t.Error("the library accepts it")
		}
		verifier, err := l.row(t).Scheme.Verifier(senders.Keys{Secrets: []string{string(other)}})
		if err != nil {
			return // not every text is a public key
		}
		if _, err := verifier.Verify(r, time.Now()); !errors.Is(err, verify.ErrMismatch) {
			t.Errorf("here: got %v, want a mismatch", err)
		}
	})
}

func TestWhatIsTooOldForALibraryIsTooOldHere(t *testing.T) {
	forEachLibrary(t, func(t *testing.T, l library) {
		now := time.Now()
		verifier := l.verifier(t, l.secret)
		tolerance := verifier.Traits().Tolerance
		for _, limit := range []struct {
			name      string
			direction time.Duration
			library   time.Duration
		}{{"past", -1, l.past}, {"future", 1, l.future}} {
			at := func(distance time.Duration) (library bool, err error) {
				r := l.request(t, now.Add(limit.direction*distance))
				_, err = verifier.Verify(r, now)
				return l.accepts(l.secret, r), err
			}
			if limit.library != 0 {
				if ok, _ := at(limit.library); !ok {
					t.Errorf("%v in the %s: refused by the library", limit.library, limit.name)
				}
				if ok, _ := at(limit.library + time.Second); ok {
					t.Errorf("a second more than %v in the %s: accepted by the library", limit.library, limit.name)
				}
			} else if ok, _ := at(24 * time.Hour); !ok {
				t.Errorf("a day in the %s: refused by the library, which is said to have no limit", limit.name)
			}
			if tolerance == 0 {
				continue
			}
			if _, err := at(tolerance); err != nil {
				t.Errorf("%v in the %s: refused here: %v", tolerance, limit.name, err)
			}
			if _, err := at(tolerance + time.Second); !errors.Is(err, verify.ErrExpired) {
				t.Errorf("a second more than %v in the %s: got %v here, want expired", tolerance, limit.name, err)
			}
		}
		if l.past > tolerance {
			t.Errorf("the library takes %v, and only %v is taken here", l.past, tolerance)
		}
	})
}

// --- Requests

func forEachLibrary(t *testing.T, check func(*testing.T, library)) {
	t.Parallel()
	for _, l := range libraries {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { check(t, l) })
		})
	}
}

func (l library) row(t *testing.T) senders.Sender {
	t.Helper()
	row, ok := senders.Find(l.sender)
	if !ok {
		t.Fatalf("there is no sender %s", l.sender)
	}
	return row
}

func (l library) verifier(t *testing.T, secret string) verify.Verifier {
	t.Helper()
	v, err := l.row(t).Scheme.Verifier(senders.Keys{Secrets: []string{secret}})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// request returns one that is signed at now.
func (l library) request(t *testing.T, now time.Time) *verify.Request {
	t.Helper()
	r := &verify.Request{Method: http.MethodPost, URI: "/hooks?from=there", Header: http.Header{}, Body: []byte(l.body)}
	r.Lookup = placeholders(r)
	r.Header.Set("Content-Type", map[bool]string{true: "application/x-www-form-urlencoded", false: "application/json"}[l.form])
	if l.sign != nil {
		l.sign(r, now)
		return r
	}
	if err := l.row(t).Scheme.Sign(senders.Keys{Secrets: []string{l.secret}}, r, "msg_2XqV8F", now); err != nil {
		t.Fatalf("signing: %v", err)
	}
	return r
}

func clone(r *verify.Request) *verify.Request {
	c := &verify.Request{Method: r.Method, URI: r.URI, Header: r.Header.Clone(), Body: slices.Clone(r.Body)}
	c.Lookup = placeholders(c)
	return c
}

func placeholders(r *verify.Request) func(string) (string, bool) {
	return func(name string) (string, bool) {
		value, ok := map[string]string{
			"http.request.method":   r.Method,
			"http.request.scheme":   "https",
			"http.request.hostport": host,
			"http.request.uri":      r.URI,
		}[name]
		return value, ok
	}
}
