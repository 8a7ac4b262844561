// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

func TestReasonIsOneWord(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"missing":   verify.ErrMissing,
		"malformed": fmt.Errorf("header X: %w", verify.ErrMalformed),
		"mismatch":  fmt.Errorf("a: %w", fmt.Errorf("b: %w", verify.ErrMismatch)),
		"expired":   verify.ErrExpired,
		"error":     errors.New("missing"),
	} {
		if got := verify.Reason(err); got != want {
			t.Errorf("%v: got %s, want %s", err, got, want)
		}
	}
}

// Of several signature headers, the one that came closest says why.
func TestTheReasonIsThatOfTheBestAlternative(t *testing.T) {
	t.Parallel()
	config := github()
	config.Signature = verify.Signature{Headers: []string{"X-A", "X-B"}, Key: "v1"}
	config.Timestamp = &verify.Timestamp{Key: "t"}
	config.Signed = "{timestamp}{body}"
	v := newHMAC(t, config)
	right := fmt.Sprintf("%x", mac(key, "1600000000{}"))
	wrong := fmt.Sprintf("%x", mac("another", "1600000000{}"))

	values := map[string]string{
		"missing":   "",
		"malformed": "t=1600000000,v1=x",
		"mismatch":  "t=1600000000,v1=" + wrong,
		"expired":   "t=1600000000,v1=" + right,
	}
	order := []string{"missing", "malformed", "mismatch", "expired"}
	for i, a := range order {
		for j, b := range order {
			r := newRequest(http.MethodPost, "/", []byte("{}"))
			r.Header.Set("X-A", values[a])
			r.Header.Set("X-B", values[b])
			expect(t, v, r, order[max(i, j)])
		}
	}
}

func TestWithoutLookupARequestHasNoPlaceholders(t *testing.T) {
	t.Parallel()
	config := github()
	config.Signed = "{http.request.method}{body}"
	r := signGitHub([]byte("{}"))
	r.Lookup = nil
	expect(t, newHMAC(t, config), r, "missing")
}

func TestAVerifierIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	standard, hmac := newStandard(t, "another", key), newHMAC(t, github())
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 200 {
				body := fmt.Appendf(nil, "%d %d", i, j)
				for v, r := range map[verify.Verifier]request{
					standard: signStandard(key, "svix", "msg_1", "1700000000", body),
					hmac:     signGitHub(body),
				} {
					if _, err := v.Verify(r.Request, time.Unix(now, 0)); err != nil {
						t.Error(err)
					}
					r.Body = append(r.Body, '.')
					if _, err := v.Verify(r.Request, time.Unix(now, 0)); !errors.Is(err, verify.ErrMismatch) {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
}
