// SPDX-License-Identifier: Apache-2.0

package senders

import (
	"strings"
	"testing"
)

func TestSecretsOfAnotherKindAreRefused(t *testing.T) {
	t.Parallel()
	digits := strings.Repeat("0F1e", 16)
	for name, c := range map[string]struct {
		says  string
		right []string // also of forms that nobody documents
		wrong []string
	}{
		"stripe": {
			says:  "is another text of the sender: expected the signing secret of the endpoint, whsec_…",
			right: []string{"whsec_0123456789abcdef", "0123456789abcdef", "task_sk_"},
			wrong: []string{"sk_live_0123456789abcdef", "sk_test_0123456789abcdef", "rk_live_0123456789abcdef", "pk_test_0123456789abcdef", "we_0123456789abcdef"},
		},
		"slack": {
			says:  "is another text of the sender: expected the Signing Secret, not a token",
			right: []string{"8f742231b10e8888abcd99yyyzzz85a5", "a text"},
			wrong: []string{"xoxb-0123456789abcdef", "xoxp-0123456789abcdef", "xapp-0123456789abcdef"},
		},
		"paddle": {
			says:  "is another text of the sender: expected the secret key of the notification destination, pdl_ntfset_…",
			right: []string{"pdl_ntfset_0123456789abcdef", "0123456789abcdef"},
			wrong: []string{"pdl_sdbx_apikey_0123456789abcdef", "pdl_live_apikey_0123456789abcdef"},
		},
		"adyen": {
			says:  "has another length: expected the HMAC key, 64 hex digits",
			right: []string{digits},
			wrong: []string{digits[:32], digits[:62], digits + "00", digits + digits},
		},
		"adyen_platform": {
			says:  "has another length: expected the HMAC key, 64 hex digits",
			right: []string{digits},
			wrong: []string{digits[:32], digits[:62], digits + "00", digits + digits},
		},
	} {
		s, ok := Find(name)
		if !ok {
			t.Fatalf("there is no %s", name)
		}
		for _, right := range c.right {
			if _, err := s.Scheme.Verifier(Keys{Secrets: []string{right, c.right[0]}}); err != nil {
				t.Errorf("%s refuses %s: %v", name, right, err)
			}
		}
		for _, wrong := range c.wrong {
			for number, secrets := range map[string][]string{"secret 1 ": {wrong, c.right[0]}, "secret 2 ": {c.right[0], wrong}} {
				v, err := s.Scheme.Verifier(Keys{Secrets: secrets})
				if err == nil || v != nil || err.Error() != number+c.says && !strings.HasPrefix(err.Error(), number+c.says+",") {
					t.Errorf("%s: got %v, %v, want %s%s", name, v, err, number, c.says)
				}
				if err != nil && (strings.Contains(err.Error(), wrong) || strings.Contains(err.Error(), wrong[8:])) {
					t.Errorf("%s: the error holds the secret: %v", name, err)
				}
			}
		}
	}
}

func TestWhatIsNoSecretAtAllIsSaidBeforeItsForm(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ secret, says string }{
		"adyen":          {"0123456789abcdef!", "secret 1 is not hex"},
		"adyen_platform": {"0123456789abcdef!", "secret 1 is not hex"},
		"stripe":         {"sk_live_0123 ", "secret 1 has white space"},
	} {
		s, _ := Find(name)
		if _, err := s.Scheme.Verifier(Keys{Secrets: []string{c.secret}}); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, which does not say %s", name, err, c.says)
		}
	}
}
