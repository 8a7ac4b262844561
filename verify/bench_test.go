// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

// A benched is a scheme whose speed counts, and how its sender signs a body.
type benched struct {
	name string
	new  func(t testing.TB) verify.Verifier
	sign func(body []byte) request
}

func benchedSchemes() []benched {
	slack := github()
	slack.Signature = verify.Signature{Headers: []string{"X-Slack-Signature"}, Prefix: "v0="}
	slack.Timestamp = &verify.Timestamp{Header: "X-Slack-Request-Timestamp"}
	slack.Signed = "v0:{timestamp}:{body}"
	return []benched{
		{"svix", func(t testing.TB) verify.Verifier { return newStandard(t, key) }, func(body []byte) request {
			return signStandard(key, "svix", "msg_1", strconv.Itoa(now), body)
		}},
		{"github", func(t testing.TB) verify.Verifier { return newHMAC(t, github()) }, signGitHub},
		{"slack", func(t testing.TB) verify.Verifier { return newHMAC(t, slack) }, func(body []byte) request {
			r := newRequest("POST", "/hooks", body)
			r.Header.Set("X-Slack-Request-Timestamp", strconv.Itoa(now))
			r.Header.Set("X-Slack-Signature", "v0="+hex.EncodeToString(mac(key, "v0:"+strconv.Itoa(now)+":"+string(body))))
			return r
		}},
		{"token", func(t testing.TB) verify.Verifier {
			v, err := verify.NewToken(verify.TokenConfig{Header: "X-Token", Tokens: []string{"a secret token"}})
			if err != nil {
				t.Fatal(err)
			}
			return v
		}, func(body []byte) request {
			r := newRequest("POST", "/hooks", body)
			r.Header.Set("X-Token", "a secret token")
			return r
		}},
		{"jwt", func(t testing.TB) verify.Verifier { return newJWT(t, jwtConfig()) }, func(body []byte) request {
			token := writeJWT(`{"alg":"HS256","typ":"JWT"}`, `{"iss":"joe","exp":`+strconv.Itoa(now+60)+`}`, jwtSecret)
			return request{withToken(token, string(body)), ""}
		}},
	}
}

// forge returns a request that is like r but for what proves it.
func forge(r request) request {
	forged := r.clone()
	forged.Body = append(forged.Body, '.')
	if token := forged.Header.Get("X-Token"); token != "" {
		forged.Header.Set("X-Token", flipLast(token))
	}
	return forged
}

// flipLast changes the next to last character, all of whose bits count also
// where the text is base64.
func flipLast(text string) string {
	b := []byte(text)
	c := &b[len(b)-2]
	if *c == 'A' {
		*c = 'B'
	} else {
		*c = 'A'
	}
	return string(b)
}

// BenchmarkVerify is what a server does with a request: it checks the header,
// reads the body and verifies.
func BenchmarkVerify(b *testing.B) {
	for _, c := range benchedSchemes() {
		v := c.new(b)
		right := c.sign(bytes.Repeat([]byte("x"), 1<<10))
		b.Run(c.name+"/accepted", func(b *testing.B) { benchmark(b, v, right, nil) })
		b.Run(c.name+"/refused", func(b *testing.B) { benchmark(b, v, forge(right), verify.ErrMismatch) })
	}
}

// BenchmarkVerifyLarge is for the speed of the hashes.
func BenchmarkVerifyLarge(b *testing.B) {
	for _, c := range benchedSchemes()[:2] {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(1 << 20)
			benchmark(b, c.new(b), c.sign(slices.Repeat([]byte("x"), 1<<20)), nil)
		})
	}
}

func benchmark(b *testing.B, v verify.Verifier, r request, want error) {
	b.ReportAllocs()
	at := time.Unix(now, 0)
	for b.Loop() {
		if err := receive(v, r.Request, at); !errors.Is(err, want) {
			b.Fatal(err)
		}
	}
}

func receive(v verify.Verifier, r *verify.Request, at time.Time) error {
	if c, ok := v.(verify.HeaderChecker); ok {
		if err := c.CheckHeader(r, at); err != nil {
			return err
		}
	}
	_, err := v.Verify(r, at)
	return err
}
