// SPDX-License-Identifier: Apache-2.0

package senders

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTheTableHasEverySenderThatIsPromised(t *testing.T) {
	t.Parallel()
	promised := strings.Fields(`
		adyen adyen_platform anesya anon anthropic asana bitbucket calendly circleci clerk coinbase discord docusign
		dropbox elevenlabs forgejo gitea github gitlab gitlab_signing gogs hubspot hubspot_v1 hubspot_v2 idexa intercom
		jira lemonsqueezy line linear mailgun meta microsoft_graph netlify okta openai paddle pagerduty polar postmark
		quickbooks razorpay resend scan_documents sendgrid sentry shopify shopify_events slack square standard_webhooks stripe supabase
		svix trello twilio typeform vercel webflow woocommerce workos xero zoom`)
	for _, name := range promised {
		if _, ok := Find(name); !ok {
			t.Errorf("%s is missing", name)
		}
	}
	if n := len(All()); n != len(promised) {
		t.Errorf("the table has %d rows, and %d are listed here", n, len(promised))
	}
	if _, ok := Find("nobody"); ok {
		t.Error("a sender was found that is not there")
	}
}

func TestNamesAreSortedAndUniqueAndFitForAModule(t *testing.T) {
	t.Parallel()
	name := regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)
	// The schemes without a sender, which have modules of these names.
	generic := []string{"hmac", "public_key", "token", "bearer", "basic", "jwt", "none"}
	last := ""
	for _, s := range All() {
		if !name.MatchString(s.Name) {
			t.Errorf("%q is no name: expected letters a-z, digits and _", s.Name)
		}
		if s.Name <= last {
			t.Errorf("%s comes after %s", s.Name, last)
		}
		if slices.Contains(generic, s.Name) {
			t.Errorf("%s is the name of a generic scheme", s.Name)
		}
		last = s.Name
	}
}

// forEach runs check for every row.
func forEach(t *testing.T, check func(t *testing.T, s Sender)) {
	t.Helper()
	for _, s := range All() {
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			check(t, s)
		})
	}
}

func TestEveryRowMakesAVerifier(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, s Sender) {
		keys := plausible(t, s)
		verifier, err := s.Scheme.Verifier(keys)
		if err != nil {
			t.Fatal(err)
		}
		traits := verifier.Traits()
		if traits.Timestamp != (s.Scheme.Needs().Tolerance > 0) {
			t.Errorf("the verifier has a timestamp: %v, but the scheme needs say %v", traits.Timestamp, s.Scheme.Needs().Tolerance)
		}
		if traits.Timestamp && traits.Tolerance != s.Scheme.Needs().Tolerance {
			t.Errorf("the tolerance is %v, but the scheme needs say %v", traits.Tolerance, s.Scheme.Needs().Tolerance)
		}
		if _, ok := s.Scheme.(HMAC); ok && s.Scheme.Needs().URL && !traits.Covers("http.request.uri") {
			t.Error("the scheme needs the URL, but the verifier does not cover it")
		}

		second := keys
		second.Secrets = append(slices.Clone(keys.Secrets), plausible(t, s).Secrets...)
		if _, err := s.Scheme.Verifier(second); err != nil {
			t.Errorf("with two secrets: %v", err)
		}
	})
}

func TestEveryRowTakesWhatItsNeedsSay(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, s Sender) {
		needs := s.Scheme.Needs()
		keys := plausible(t, s)
		if needs.URL {
			keys.PublicURL = "https://hooks.example.com"
		}
		if needs.Tolerance > 0 {
			keys.Tolerance = 42 * time.Second
		}
		verifier, err := s.Scheme.Verifier(keys)
		if err != nil {
			t.Fatal(err)
		}
		if got := verifier.Traits().Tolerance; needs.Tolerance > 0 && got != keys.Tolerance {
			t.Errorf("the tolerance is %v, want that of the user, %v", got, keys.Tolerance)
		}
		if !slices.Contains([]string{"secret", "token", "public key", "password", "client state"}, needs.Secret) {
			t.Errorf("its secrets are called %q", needs.Secret)
		}
	})
}

func TestEveryRowRefusesToDoWithoutASecret(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, s Sender) {
		good := plausible(t, s)
		for what, secrets := range map[string][]string{
			"no secret":           nil,
			"an empty secret":     {""},
			"spaces for a secret": {"  "},
			"an empty second one": {good.Secrets[0], ""},
		} {
			keys := good
			keys.Secrets = secrets
			if _, err := s.Scheme.Verifier(keys); err == nil {
				t.Errorf("with %s there is a verifier", what)
			}
		}
	})
}

func TestErrorsAboutASecretHoldNoneOfIt(t *testing.T) {
	t.Parallel()
	// None of these is of the form that the row expects; where any text will do
	// there is no error.
	for _, wrong := range []string{"whsec_" + "Sup3r-S3cr3t!", "zzSup3r!S3cr3t", "Sup3r\nS3cr3t"} {
		forEach(t, func(t *testing.T, s Sender) {
			keys := plausible(t, s)
			keys.Secrets = []string{keys.Secrets[0], wrong}
			_, err := s.Scheme.Verifier(keys)
			if err == nil {
				return
			}
			if strings.Contains(err.Error(), "3cr3t") {
				t.Errorf("the error holds the secret: %v", err)
			}
			if !strings.Contains(err.Error(), " 2 ") {
				t.Errorf("the error does not say which secret: %v", err)
			}
		})
	}
}

const adyenSecret = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056"

// plausible returns keys of the form that the row's sender shows.
func plausible(t *testing.T, s Sender) Keys {
	t.Helper()
	keys := Keys{Secrets: []string{"4f1c0ba7d0c84b7f9a5e3d2b1c0f9e8d"}}
	if s.Scheme.Needs().User {
		keys.User = "hooks"
	}
	switch scheme := s.Scheme.(type) {
	case Standard:
		keys.Secrets[0] = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	case Adyen:
		keys.Secrets[0] = adyenSecret
	case HMAC:
		if scheme.Form.Length == len(adyenSecret) {
			keys.Secrets[0] = adyenSecret
		}
	case PublicKey:
		if scheme.Config.Algorithm == "ed25519" {
			// The public key of the first test of RFC 8032.
			keys.Secrets[0] = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
			break
		}
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		keys.Secrets[0] = base64.StdEncoding.EncodeToString(der)
	}
	return keys
}
