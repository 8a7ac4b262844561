// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"testing"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

func TestVectors(t *testing.T) {
	t.Parallel()
	for name, v := range readVectors(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := v.request.clone()
			claims, err := v.verifier.Verify(v.request.Request, v.now)
			if got := outcome(err); got != v.expect {
				t.Fatalf("Verify: got %s (%v), want %s", got, err, v.expect)
			}
			if err == nil && claims != v.claims {
				t.Errorf("claims\n got %+v\nwant %+v", claims, v.claims)
			}
			if err != nil && claims != (verify.Claims{}) {
				t.Errorf("a refused request has the claims %+v", claims)
			}
			if !v.request.equal(before) {
				t.Error("Verify modified the request")
			}
		})
	}
}

func TestVectorsOnHeadersAlone(t *testing.T) {
	t.Parallel()
	for name, v := range readVectors(t) {
		checker, ok := v.verifier.(verify.HeaderChecker)
		if !ok {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := v.request.clone()
			r.Body = nil
			if got := outcome(checker.CheckHeader(r.Request, v.now)); got != v.check {
				t.Errorf("CheckHeader: got %s, want %s", got, v.check)
			}
		})
	}
}

// Leaving the content out changes nothing else.
func TestVectorsWithoutContent(t *testing.T) {
	t.Parallel()
	for name, v := range readVectors(t) {
		want, wantErr := v.verifier.Verify(v.request.Request, v.now)
		r := v.request.clone()
		r.NoContent = true
		got, err := v.verifier.Verify(r.Request, v.now)
		want.Content = [32]byte{}
		if got != want || outcome(err) != outcome(wantErr) {
			t.Errorf("%s: %+v, %v; with content %+v, %v", name, got, err, want, wantErr)
		}
	}
}

func TestVectorsWithAnyCoveredBitChangedAreRefused(t *testing.T) {
	t.Parallel()
	for name, v := range readVectors(t) {
		for _, part := range v.covered {
			t.Run(name+"/"+part, func(t *testing.T) {
				t.Parallel()
				flips := 0
				for r := range v.request.flips(part) {
					flips++
					if _, err := v.verifier.Verify(r.Request, v.now); err == nil {
						t.Fatalf("accepted with a changed %s:\n%q", part, r)
					}
				}
				if flips == 0 && len(v.request.Body) > 0 {
					t.Error("there was nothing to change")
				}
			})
		}
	}
}

func TestVectorsOfAnotherSecretAreRefused(t *testing.T) {
	t.Parallel()
	vectors := readVectors(t)
	other := map[string]verify.Verifier{}
	for _, v := range vectors {
		if v.scheme == "none" || v.expect != "ok" {
			continue
		}
		config, err := replaceSecrets(v.config)
		if err != nil {
			t.Fatal(err)
		}
		if other[string(config)] == nil {
			if other[string(config)], err = newVerifier(v.scheme, config); err != nil {
				t.Fatalf("%s: %v", config, err)
			}
		}
		if _, err := other[string(config)].Verify(v.request.Request, v.now); err == nil {
			t.Errorf("%s is accepted with another secret", v.name)
		}
	}
}

// outcome is the word that the vectors have for an error.
func outcome(err error) string {
	if err == nil {
		return "ok"
	}
	return verify.Reason(err)
}
