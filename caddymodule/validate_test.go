// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// What adapts is also valid, but for what only the environment can say.
func TestAdaptedConfigurationsAreValid(t *testing.T) {
	data := t.TempDir()
	t.Setenv("XDG_DATA_HOME", data)
	for name, value := range map[string]string{
		"TOKEN": "secret-token-of-20-b", "OLD_TOKEN": "old-token-of-20-byte",
		"PASSWORD": "secret-password-of-26-byte", "OLD_PASSWORD": "old-password",
		"SVIX_SECRET": "whsec_c2VjcmV0LWtleQ==", "SVIX_SECRET_2": "whsec_b3RoZXIta2V5",
		"NEW_SECRET": "whsec_bmV3", "OLD_SECRET": "whsec_b2xk", "OLDEST_SECRET": "whsec_b2xkZXN0",
		"SIGN_SECRET":     "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
		"OLD_SIGN_SECRET": "whsec_Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA=",
		"STANDARD_SECRET": "whsec_c2VjcmV0LWtleQ==",
		"PUBLIC_KEY":      "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
		"HEX_SECRET":      "00ff00ff00ff00ff00ff00ff00ff00ff", "BASE64_SECRET": "c2VjcmV0",
		"TOKEN_KEY":   "a key of 32 bytes, which is long enough",
		"PUBLIC_HOST": "hooks.example.com",
		"EC_KEY_PEM": "-----BEGIN PUBLIC KEY-----\n" +
			"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEAoLEI6HjJxaiO86nxF/pPMD2LlJB\n" +
			"NpNAZkTabwtzBBgcXRVrowNysIaDMxyVVWlTcLVWuWe9bHRVsr03HIIy/g==\n" +
			"-----END PUBLIC KEY-----\n",
		"STATE_DIRECTORY": filepath.Join(data, "state"),
	} {
		t.Setenv(name, value)
	}
	for _, c := range adaptCases(t) {
		if c.refused() {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			if err := validate([]byte(c.want)); err != nil {
				t.Error(err)
			}
		})
	}
	nothingOpened(t, data)
}

// What needs secrets, or more than one option at a time, is refused when the
// configuration is provisioned: by `caddy validate`, which opens nothing.
func TestConfigurationsThatAreRefused(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_DATA_HOME", dir)
	t.Setenv("TOKEN", "s3cr3t-token")
	t.Setenv("SVIX_SECRET", "whsec_czNjcjN0")
	t.Setenv("EMPTY", "")
	t.Setenv("NEWLINE", "s3cr3t-token\n")
	t.Setenv("ODD", "s3cr3t!")

	const bearer = "verify bearer {env.TOKEN}\n"
	hmac := func(lines string) string {
		return "verify hmac {\n" + lines + "\n}\ndedupe on content\n"
	}
	const signature = "secret {env.TOKEN}\nsignature header X-Signature\n"
	cases := []struct{ name, options, want string }{
		{"no id, and nothing said about duplicates", bearer, "the scheme bearer gives messages no id to recognize duplicates by: say where it is with message_id, or choose `dedupe <window> on content` or `dedupe off`"},
		{"no id, and only a window", bearer + "dedupe 24h", "gives messages no id to recognize duplicates by"},
		{"no id of one of two schemes", "verify svix {env.SVIX_SECRET}\n" + bearer, "the scheme bearer gives messages no id"},
		{"no id from a signature without a timestamp", "verify hmac {\n" + signature + "}", "the scheme hmac gives messages no id"},
		{"dedupe on id without one", bearer + "dedupe 24h on id", "dedupe on id: the scheme bearer gives messages no id"},
		{"dedupe with a field, but on the id", bearer + "message_id header X-Id\ndedupe 24h on id with X-Topic", "dedupe with: header fields are added to the content"},
		{"a window shorter than twice the default tolerance", "verify svix {env.SVIX_SECRET}\ndedupe 9m59s", "the dedupe window of 9m59s is shorter than twice the tolerance of svix, 5m0s"},
		{"a window shorter than twice a tolerance", "verify svix {env.SVIX_SECRET} {\ntolerance 1h\n}\ndedupe 119m", "shorter than twice the tolerance of svix, 1h0m0s"},
		{"an unsigned id instead of a signed one", "verify svix {env.SVIX_SECRET}\nmessage_id header X-Id", "message_id is not covered by the signature, which covers an id of its own"},
		{"none with another scheme", "verify none\n" + bearer + "dedupe off", "verify none must stand alone"},
		{"another scheme with none", bearer + "verify none\ndedupe off", "verify none must stand alone"},

		{"a variable that is not set", "verify bearer {env.NOT_SET}\ndedupe off", "{env.NOT_SET}"},
		{"a variable that is empty", "verify bearer {env.EMPTY}\ndedupe off", "{env.EMPTY}"},
		{"one of two that is not set", "verify bearer {env.TOKEN} {env.NOT_SET}\ndedupe off", "token 2: "},
		{"an empty secret", "verify bearer \"\"\ndedupe off", "the secret is empty"},
		{"a placeholder that is none", "verify bearer {evn.TOKEN}\ndedupe off", "{evn.TOKEN}"},
		{"a placeholder of the request", "verify bearer {http.request.header.X-Token}\ndedupe off", "{http.request.header.X-Token}"},
		{"a file that is not there", "verify bearer {file./not/there}\ndedupe off", "{file./not/there}"},
		{"a secret with a line break", "verify bearer {env.NEWLINE}\ndedupe off", "white space"},
		{"an empty hmac secret", hmac("secret {env.EMPTY}\nsignature header X-Signature"), "{env.EMPTY}"},
		{"a svix secret that is not base64", "verify svix {env.ODD}", "is not base64"},
		{"a hex secret that is not hex", hmac("secret {env.ODD} hex\nsignature header X-Signature"), "is not hex"},
		{"a whsec secret that is not base64", hmac("secret {env.ODD} whsec\nsignature header X-Signature"), "is not base64"},
		{"an unknown encoding of a secret", hmac("secret {env.TOKEN} utf8\nsignature header X-Signature"), "unknown encoding"},
		{"an unknown algorithm", hmac(signature + "algorithm md5"), "unknown algorithm \"md5\""},
		{"an unknown encoding of the signature", hmac("secret {env.TOKEN}\nsignature header X-Signature encoding base32"), "base32"},
		{"an unknown unit", hmac(signature + "timestamp header X-Time unit us\nsigned {timestamp}{body}"), "unknown unit \"us\""},

		{"a timestamp that is not signed", hmac(signature + "timestamp header X-Time"), "{timestamp} is not in it"},
		{"a timestamp by key that is not signed", hmac("secret {env.TOKEN}\nsignature header X-Signature key v1\ntimestamp key t"), "{timestamp} is not in it"},
		{"a timestamp by key of a signature without", hmac(signature + "timestamp key t\nsigned {timestamp}{body}"), "key without a key for the signature"},
		{"a signed timestamp that is nowhere", hmac(signature + "signed {timestamp}{body}"), "{timestamp} without a timestamp"},
		{"a tolerance of nothing", hmac(signature + "tolerance 1m"), "tolerance without a timestamp"},
		{"an id that is not signed", hmac(signature + "id header X-Id"), "{id} is not in it"},
		{"a signed id that is nowhere", hmac(signature + "signed {id}{body}"), "{id} without an id"},
		{"a body that is not signed", hmac(signature + "signed {method}{uri}"), "{body} is not in it"},
		{"the body by Caddy's placeholder", hmac(signature + "signed {http.request.body}"), "use {body}"},
		{"the body by Caddy's other placeholder", hmac(signature + "signed {body}{http.request.body_base64}"), "use {body}"},
		{"an unknown placeholder", hmac(signature + "signed {body}{topic}"), "unknown placeholder {topic}"},

		{"a window shorter than twice a sender's tolerance", "verify stripe {env.TOKEN} {\ntolerance 1h\n}\ndedupe 119m", "the dedupe window of 1h59m0s is shorter than twice the tolerance of stripe, 1h0m0s"},
		{"a window shorter than twice a sender's own tolerance", "verify slack {env.TOKEN}\ndedupe 9m", "shorter than twice the tolerance of slack, 5m0s"},
		{"duplicates by id of a sender without ids", "verify zoom {env.TOKEN}\ndedupe 24h on id", "dedupe on id: the scheme zoom gives messages no id, so message_id must say where it is"},
		{"duplicates of a sender that has none", "verify dropbox {env.TOKEN}\ndedupe 24h", "the scheme dropbox gives messages no id"},
		{"no id of a scheme beside a sender", "verify github {env.TOKEN}\n" + bearer, "the scheme bearer gives messages no id"},
		{"an unsigned id beside the signed one of a sender", "verify clerk {env.SVIX_SECRET}\nmessage_id header X-Id", "message_id is not covered by the signature, which covers an id of its own"},
		{"a public URL that is not set", "verify square {env.TOKEN} {\npublic_url {env.NOT_SET}\n}", "square: public_url: "},
		{"a public URL that is none", "verify square {env.TOKEN} {\npublic_url {env.TOKEN}\n}", "square: public URL: expected scheme and host"},
		{"a public URL without use", hmac(signature + "public_url https://hooks.example.com"), "public URL without {url} in signed"},

		{"a longest delay below the first", bearer + "dedupe off\nretry {\nbackoff 10m 1s\n}", "longest backoff is 1s"},
		{"a first delay above the default of the longest", bearer + "dedupe off\nretry {\nbackoff 1h\n}", ""},
		{"a window of exactly twice the tolerance", "verify svix {env.SVIX_SECRET}\ndedupe 10m", ""},
		{"no id but a signed timestamp", "verify hmac {\n" + signature + "timestamp header X-Time\nsigned {timestamp}{body}\n}", ""},
		{"a signed id instead of another", "verify svix {env.SVIX_SECRET}\nmessage_id json id", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			config, _, err := adapt(`{
	webhook_inbox {
		queue badger ` + filepath.Join(dir, "queue") + `
	}
}
:8080 {
	webhook_inbox demo {
		` + c.options + `
		deliver app:8080
	}
}`)
			if err != nil {
				t.Fatalf("adapting: %v", err)
			}
			checkRefused(t, validate(config), "endpoint demo: ", c.want)
		})
	}
	nothingOpened(t, dir)
}

// JSON is held to the same rules, and what a Caddyfile cannot say is refused too.
func TestJSONThatIsRefused(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_DATA_HOME", dir)
	const (
		none    = `"verify": [{"scheme": "none"}], "dedupe": {"off": true}`
		deliver = `"deliver": [{"handle": [{"handler": "reverse_proxy", "upstreams": [{"dial": "app:8080"}]}]}]`
		rest    = none + ", " + deliver
	)
	cases := []struct{ name, fields, want string }{
		{"nothing but what is required", rest, ""},
		{"an unknown field", rest + `, "max_bdy": 1`, `unknown field "max_bdy"`},
		{"an unknown field of retry", rest + `, "retry": {"delay": 1}`, `unknown field "delay"`},
		{"an unknown field of a message id", rest + `, "message_id": [{"cookie": "id"}]`, `unknown field "cookie"`},
		{"an unknown field of dedupe", deliver + `, "verify": [{"scheme": "none"}], "dedupe": {"of": true}`, `unknown field "of"`},
		{"an unknown field of a scheme", `"verify": [{"scheme": "bearer", "tokens": ["x"], "token": "y"}], ` + deliver, `unknown field "token"`},
		{"an unknown field of a public key", `"verify": [{"scheme": "public_key", "keys": [{"secret": "x"}]}], ` + deliver, `unknown field "secret"`},
		{"an unknown field of a signature", `"verify": [{"scheme": "hmac", "secrets": [{"secret": "x"}], "signature": {"header": "X-Signature"}}], ` + deliver, `unknown field "header"`},
		{"an unknown scheme", `"verify": [{"scheme": "gihub"}], ` + deliver, "unrecognized scheme gihub; did you mean github? "},
		{"an unknown scheme like no other", `"verify": [{"scheme": "zzzzzzzz"}], ` + deliver, "unrecognized scheme zzzzzzzz; `caddy webhook-inbox schemes` lists all"},
		{"a sender without a secret", `"verify": [{"scheme": "github"}], ` + deliver, "github: secret is missing"},
		{"a sender with a field of another scheme", `"verify": [{"scheme": "github", "secrets": ["x"], "algorithm": "sha1"}], ` + deliver, `unknown field "algorithm"`},
		{"a sender with a user without one", `"verify": [{"scheme": "postmark", "secrets": ["x"]}], ` + deliver, "postmark: the user is missing"},
		{"a sender without a user with one", `"verify": [{"scheme": "github", "secrets": ["x"], "user": "y"}], ` + deliver, "github: user is of no use"},
		{"a sender without a timestamp with a tolerance", `"verify": [{"scheme": "github", "secrets": ["x"], "tolerance": "1m"}], ` + deliver, "github: tolerance is of no use"},
		{"a sender with a negative tolerance", `"verify": [{"scheme": "stripe", "secrets": ["x"], "tolerance": "-1m"}], ` + deliver, "stripe: tolerance is negative"},
		{"a sender that does not sign its URL with one", `"verify": [{"scheme": "github", "secrets": ["x"], "public_url": "https://hooks.example.com"}], ` + deliver, "github: public_url is of no use"},
		{"a sender with a URL that is none", `"verify": [{"scheme": "twilio", "secrets": ["x"], "public_url": "hooks.example.com"}], ` + deliver, "twilio: public URL: expected scheme and host, such as https://hooks.example.com"},
		{"a signature in two places", `"verify": [{"scheme": "hmac", "secrets": [{"secret": "x"}], "signature": {"headers": ["X-Signature"], "json": "signature"}}], ` + deliver, "header and json exclude each other"},
		{"no public keys", `"verify": [{"scheme": "public_key", "algorithm": "ed25519", "signature": {"headers": ["X-Signature"]}}], ` + deliver, "no keys"},
		{"no scheme", `"verify": [{}], ` + deliver, "scheme"},
		{"no tokens", `"verify": [{"scheme": "bearer"}], ` + deliver, "token is missing"},
		{"no secrets", `"verify": [{"scheme": "svix"}], ` + deliver, "secret is missing"},
		{"no hmac secrets", `"verify": [{"scheme": "hmac", "signature": {"headers": ["X-Signature"]}}], ` + deliver, "no secrets"},
		{"no header of the signature", `"verify": [{"scheme": "hmac", "secrets": [{"secret": "x"}], "signature": {}}], ` + deliver, "signature: no header"},
		{"no verify", deliver, "verify is missing"},
		{"an empty verify", `"verify": [], ` + deliver, "verify is missing"},
		{"no deliver", none, "deliver is missing"},
		{"an inbox in the delivery route", none + `, "deliver": [{"handle": [{"handler": "webhook_inbox", "endpoint": "inner", ` + rest + `}]}]`, "inside the delivery route of endpoint demo"},
		{"an inbox deep in the delivery route", none + `, "deliver": [{"handle": [{"handler": "subroute", "routes": [{"handle": [{"handler": "webhook_inbox", "endpoint": "inner", ` + rest + `}]}]}]}]`, "inside the delivery route of endpoint demo"},
		{"a message id of two places", rest + `, "message_id": [{"header": "X-Id", "json": "id"}]`, "message_id 1: it takes exactly one of header, json, query and path"},
		{"a message id of no place", rest + `, "message_id": [{"header": "X-Id"}, {}]`, "message_id 2: it takes exactly one of"},
		{"dedupe off within a window", `"verify": [{"scheme": "none"}], "dedupe": {"off": true, "window": "1h"}, ` + deliver, "dedupe off takes nothing else"},
		{"dedupe on something else", `"verify": [{"scheme": "none"}], "dedupe": {"on": ["body"]}, ` + deliver, `dedupe on "body"`},
		{"a negative window", `"verify": [{"scheme": "none"}], "dedupe": {"on": ["content"], "window": "-1h"}, ` + deliver, "the dedupe window is negative"},
		{"a status that is no success", rest + `, "respond": 302`, "respond is 302"},
		{"a share of more than everything", rest + `, "max_share": 101`, "max_share is 101"},
		{"a negative size", rest + `, "max_size": -1`, "max_size is negative"},
		{"a negative body", rest + `, "max_body": -1`, "max_body is negative"},
		{"a negative timeout", rest + `, "read_timeout": "-1s"`, "read_timeout is negative"},
		{"a negative attempt", rest + `, "attempt_timeout": "-1s"`, "attempt timeout is -1s"},
		{"negative concurrency", rest + `, "concurrency": -1`, "concurrency is -1"},
		{"giving up on a success", rest + `, "retry": {"give_up_on": [204]}`, "giving up on 204"},
		{"a name with a slash", rest + `, "endpoint": "a/b"`, `endpoint name "a/b"`},
		{"no name", rest + `, "endpoint": ""`, `endpoint name ""`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			// Of a field that is there twice, the last one counts.
			config := `{"apps": {"http": {"servers": {"srv": {"listen": [":8080"], "routes": [{"handle": [{"handler": "webhook_inbox", "endpoint": "demo", ` + c.fields + `}]}]}}}}}`
			checkRefused(t, validate([]byte(config)), "", c.want)
		})
	}

	server := func(port, respond string) string {
		return `{"listen": [":` + port + `"], "routes": [{"handle": [{"handler": "webhook_inbox", "endpoint": "demo", ` + rest + `, "respond": ` + respond + `}]}]}`
	}
	t.Run("one name configured differently on two servers", func(t *testing.T) {
		config := `{"apps": {"http": {"servers": {"one": ` + server("8080", "200") + `, "two": ` + server("8081", "202") + `}}}}`
		err := validate([]byte(config))
		for _, want := range []string{"endpoint demo", "server one", "server two", "differently in respond", "one name is one endpoint"} {
			checkRefused(t, err, "", want)
		}
	})
	t.Run("one name configured alike on two servers", func(t *testing.T) {
		config := `{"apps": {"http": {"servers": {"one": ` + server("8080", "200") + `, "two": ` + server("8081", "200") + `}}}}`
		checkRefused(t, validate([]byte(config)), "", "")
	})
	for _, c := range []struct{ name, app, want string }{
		{"an unknown field of the app", `{"max_inflight": 1}`, `unknown field "max_inflight"`},
		{"an unknown field of the engine", `{"queue": {"engine": "badger", "dir": "/x"}}`, `unknown field "dir"`},
		{"an unknown engine", `{"queue": {"engine": "sqlite"}}`, "webhook_inbox.queues.sqlite"},
		{"a negative size of the queue", `{"queue": {"engine": "badger", "max_size": -1}}`, "must not be negative"},
		{"a negative limit in flight", `{"max_in_flight": -1}`, "max_in_flight is negative"},
		{"a directory from nowhere", `{"queue": {"engine": "badger", "directory": "{env.NOT_SET}/x"}}`, "{env.NOT_SET}"},
	} {
		t.Run(c.name, func(t *testing.T) {
			checkRefused(t, validate([]byte(`{"apps": {"webhook_inbox": `+c.app+`}}`)), "", c.want)
		})
	}
	nothingOpened(t, dir)
}

// validate does what `caddy validate` does.
func validate(config []byte) error {
	var parsed caddy.Config
	if err := caddy.StrictUnmarshalJSON(config, &parsed); err != nil {
		return err
	}
	return caddy.Validate(&parsed)
}

// nothingOpened checks that dir is as empty as a validation must leave it, but
// for what Caddy itself keeps there.
func nothingOpened(t *testing.T, dir string) {
	t.Helper()
	for _, within := range []string{dir, filepath.Join(dir, "caddy")} {
		entries, err := os.ReadDir(within)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		for _, e := range entries {
			if name := e.Name(); name != "caddy" && name != "pki" && name != "instance.uuid" {
				t.Errorf("validating made %s", filepath.Join(within, name))
			}
		}
	}
}

// checkRefused checks that err names where and says why, and no secret. If why
// is empty there must be no error.
func checkRefused(t *testing.T, err error, where, why string) {
	t.Helper()
	switch {
	case why == "" && err != nil:
		t.Errorf("unexpected error: %v", err)
	case why == "":
	case err == nil:
		t.Errorf("no error, want one with %q", why)
	case !strings.Contains(err.Error(), where), !strings.Contains(err.Error(), why):
		t.Errorf("error\n%v\nwant one with %q and %q", err, where, why)
	case strings.Contains(err.Error(), "s3cr3t"), strings.Contains(err.Error(), "czNjcjN0"):
		t.Errorf("the error shows a secret: %v", err)
	}
}
