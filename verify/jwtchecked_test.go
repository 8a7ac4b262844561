// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

// A token that CheckHeader found to be authentic is not verified again. That must
// be of no use to any other.
func TestATokenThatWasCheckedVouchesForNoOther(t *testing.T) {
	t.Parallel()
	const head = `{"alg":"HS256"}`
	claims := func(name string) string { return `{"sub":"` + name + `","exp":` + strconv.Itoa(now+60) + `}` }
	right, forged := writeJWT(head, claims("a"), jwtSecret), writeJWT(head, claims("b"), "another secret of 32 bytes or more")
	v := newJWT(t, jwtConfig())
	checked := func() *verify.Request {
		r := withToken(right, "")
		if err := v.CheckHeader(r, jwtNow); err != nil {
			t.Fatal(err)
		}
		return r
	}
	verifies := func(v verify.Verifier, r *verify.Request, at time.Time, want string) {
		t.Helper()
		if _, err := v.Verify(r, at); outcome(err) != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	verifies(v, checked(), jwtNow, "ok")

	// The request has another token by now.
	r := checked()
	r.Header.Set("X-Token", forged)
	verifies(v, r, jwtNow, "mismatch")
	r.Header.Del("X-Token")
	verifies(v, r, jwtNow, "missing")
	r.Header["X-Token"] = []string{right, right}
	verifies(v, r, jwtNow, "malformed")

	// It is another verifier's turn.
	other := jwtConfig()
	other.Keys = []verify.Secret{{Text: "another secret of 32 bytes or more"}}
	verifies(newJWT(t, other), checked(), jwtNow, "mismatch")
	other = jwtConfig()
	other.Subject = "b"
	verifies(newJWT(t, other), checked(), jwtNow, "mismatch")

	// The body took its time, or the token is old already.
	if err := v.CheckHeader(withToken(right, ""), jwtNow.Add(time.Hour)); outcome(err) != "expired" {
		t.Errorf("checked an hour late: %v", err)
	}
	verifies(v, checked(), jwtNow.Add(time.Hour), "expired")
}

// A body claim is compared with the body that came after the header was checked.
func TestATokenThatWasCheckedIsOfItsBody(t *testing.T) {
	t.Parallel()
	config := jwtConfig()
	config.BodyClaim = "hash"
	r := newRequest("POST", "/hooks", []byte("body")).Request
	if err := config.Sign(r, "", jwtNow); err != nil {
		t.Fatal(err)
	}
	v := newJWT(t, config)
	r.Body = nil
	if err := v.CheckHeader(r, jwtNow); err != nil {
		t.Fatal(err)
	}
	for body, want := range map[string]string{"body": "ok", "another": "mismatch", "": "mismatch"} {
		r.Body = []byte(body)
		if _, err := v.Verify(r, jwtNow); outcome(err) != want {
			t.Errorf("%q: %v, want %s", body, err, want)
		}
	}
}
