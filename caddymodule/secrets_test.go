// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import "testing"

// A secret that is not of the form that its scheme wants can verify nothing, so it
// is refused when the configuration loads. The error says which of them it is and
// what is expected, and nothing of the secret.
func TestSecretsThatAreRefused(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_DATA_HOME", dir)
	t.Setenv("EMPTY", "")
	t.Setenv("ODD", "whsec_s3cr3t!")
	t.Setenv("SPACED", " s3cr3t ")
	t.Setenv("GOOD", "whsec_c2VjcmV0LWtleQ==")
	t.Setenv("HEX_KEY", "44782def547aaa06c910c43932b1eb0c71fc68d9d0c057550c48ec2acf6ba056")
	t.Setenv("SHORT_KEY", "00112233445566778899aabbccddeeff")
	t.Setenv("NO_SPKI", "czNjcjN0LWtleQ==")
	t.Setenv("NO_PEM", "-----BEGIN PUBLIC KEY-----\ns3cr3t\n-----END PUBLIC KEY-----")
	publicKey := func(algorithm, key string) string {
		return "verify public_key {\nalgorithm " + algorithm + "\nkey " + key + "\nsignature header X-Signature\n}\ndedupe on content"
	}
	cases := []struct{ name, options, scheme, number, want string }{
		{"svix: not base64 after whsec_", "verify svix {env.ODD}", "svix", "secret 1", "is not base64"},
		{"standard_webhooks: not base64, the second", "verify standard_webhooks {env.GOOD} {env.ODD}", "standard_webhooks", "secret 2", "is not base64"},
		{"clerk: not base64 after whsec_", "verify clerk {env.ODD}", "clerk", "clerk: secret 1", "is not base64"},
		{"clerk: not base64, of the block", "verify clerk {env.GOOD} {\nsecret {env.ODD}\n}", "clerk", "clerk: secret 2", "is not base64"},
		{"clerk: empty", "verify clerk {env.EMPTY}", "clerk", "clerk: secret 1", "{env.EMPTY}"},
		{"clerk: empty, the second", "verify clerk {env.GOOD} {env.EMPTY}", "clerk", "clerk: secret 2", "{env.EMPTY}"},
		{"github: empty", "verify github \"\"", "github", "github: secret 1", "the secret is empty"},
		{"github: braces in the secret", "verify github \"abc{s3cr3t}def\"", "github", "github: secret 1", "braces"},
		{"github: braces around the secret", "verify github {s3cr3t}", "github", "github: secret 1", "braces"},
		{"github: a placeholder without a value, in a text", "verify github \"x{env.NOBODY_SET}\"", "github", "github: secret 1", "{env.NOBODY_SET}"},
		{"github: white space", "verify github {env.SPACED}", "github", "github: secret 1", "white space"},
		{"gitlab: white space", "verify gitlab {env.SPACED}", "gitlab", "gitlab: token 1", "white space"},
		{"adyen: not hex", "verify adyen {env.ODD}", "adyen", "adyen: secret 1", "is not hex"},
		{"adyen_platform: not hex, the second", "verify adyen_platform {env.HEX_KEY} {env.ODD}", "adyen_platform", "adyen_platform: secret 2", "is not hex"},
		{"adyen: a key that is too short", "verify adyen {env.SHORT_KEY}", "adyen", "adyen: secret 1", "64"},
		{"gitlab_signing: the secret token", "verify gitlab_signing s3cr3ts3cr3t", "gitlab_signing", "gitlab_signing: secret 1", "whsec_"},
		{"stripe: an API key", "verify stripe sk_live_s3cr3t", "stripe", "stripe: secret 1", "signing secret"},
		{"discord: a key that is too short", "verify discord {env.SHORT_KEY}", "discord", "discord: key 1", "64 hex digits"},
		{"discord: not hex, the second", "verify discord d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a {env.ODD}", "discord", "discord: key 2", "64 hex digits"},
		{"sendgrid: no key", "verify sendgrid {env.NO_SPKI}", "sendgrid", "sendgrid: key 1", "P-256"},
		{"hmac: not hex", "verify hmac {\nsecret {env.ODD} hex\nsignature header X-Signature\n}\ndedupe on content", "hmac", "secret 1", "is not hex"},
		{"public_key: too short", publicKey("ed25519", "{env.SHORT_KEY}"), "public_key", "key 1", "64 hex digits"},
		{"public_key: empty", publicKey("ed25519", "{env.EMPTY}"), "public_key", "key 1", "{env.EMPTY}"},
		{"public_key: no PEM", publicKey("ecdsa-p256", "{env.NO_PEM} pem"), "public_key", "key 1", "PEM"},
		{"public_key: unknown encoding", publicKey("ed25519", "{env.HEX_KEY} base32"), "public_key", "key 1", "encoding"},
		{"public_key: unknown algorithm", publicKey("rsa", "{env.HEX_KEY}"), "public_key", "", "unknown algorithm \"rsa\": expected ed25519 or ecdsa-p256"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			config, _, err := adapt(":8080 {\nwebhook_inbox demo {\n" + c.options + "\ndeliver app:8080\n}\n}\n")
			if err != nil {
				t.Fatalf("adapting: %v", err)
			}
			err = validate(config)
			checkRefused(t, err, "endpoint demo: ", "verifiers."+c.scheme+": ")
			checkRefused(t, err, c.number, c.want)
		})
	}
	nothingOpened(t, dir)
}
