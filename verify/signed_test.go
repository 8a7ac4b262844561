// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

// Without a separator, digits could move from the timestamp to what follows it,
// and from there to the timestamp. The time is then another by decades.
func TestAttackerMovesDigitsOfATimestamp(t *testing.T) {
	t.Parallel()
	for unit, timestamp := range map[string]string{"s": "1700000000", "ms": "1700000000000", "rfc3339": "2023-11-14T22:13:20.1234Z"} {
		for name, signed := range map[string]string{
			"a body after it":  "{timestamp}{body}",
			"a body before it": "{body}{timestamp}",
		} {
			config := github()
			config.Signed = signed
			config.Timestamp = &verify.Timestamp{Header: "X-Time", Unit: unit}
			v := newHMAC(t, config)

			send := func(timestamp, body string) error {
				text := strings.NewReplacer("{timestamp}", timestamp, "{body}", body).Replace(signed)
				r := newRequest(http.MethodPost, "/", []byte(body))
				r.Header.Set("X-Time", timestamp)
				r.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac(key, text)))
				_, err := v.Verify(r.Request, time.Unix(now, 0))
				return err
			}
			// The body is of digits at both ends, and of signed text only.
			const body = "1234567890 and 1234567890"
			if err := send(timestamp, body); err != nil {
				t.Fatalf("the premise of this test is wrong: %v", err)
			}
			text := strings.NewReplacer("{timestamp}", timestamp, "{body}", body).Replace(signed)
			for length := range text {
				moved, rest := text[:length], text[length:]
				if name == "a body before it" {
					rest, moved = moved, rest
				}
				if moved == timestamp || moved == "" {
					continue
				}
				if err := send(moved, rest); outcome(err) != "expired" && outcome(err) != "malformed" {
					t.Errorf("%s, %s: the time %q and the body %q: %v", unit, name, moved, rest, err)
				}
			}
		}
	}
}

// square signs the URL, and what is before the request target may be configured.
func square(publicURL string) verify.HMACConfig {
	config := github()
	config.Signed, config.PublicURL = "{url}{body}", publicURL
	return config
}

func signURL(url, uri string) request {
	r := newRequest(http.MethodPost, uri, []byte("{}"))
	r.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac(key, url+"{}")))
	return r
}

func TestTheURLIsTheOneThatTheSenderWasGiven(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ public, signed, uri, want string }{
		{"", "https://hooks.example.com/a?b=c", "/a?b=c", "ok"},
		{"", "http://hooks.example.com/a", "/a", "mismatch"},
		{"", "https://other.example.com/a", "/a", "mismatch"},
		{"https://inbox.example.com", "https://inbox.example.com/a", "/a", "ok"},
		{"https://inbox.example.com/", "https://inbox.example.com/a", "/a", "ok"},
		{"http://inbox.example.com:8080", "http://inbox.example.com:8080/a", "/a", "ok"},
		{"https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443/a", "/a", "ok"},
		{"https://inbox.example.com/at/it/", "https://inbox.example.com/at/it/a", "/a", "ok"},
		{"https://inbox.example.com", "https://hooks.example.com/a", "/a", "mismatch"},
		{"https://inbox.example.com", "https://inbox.example.com/a", "/b", "mismatch"},
		{"", "https://hooks.example.com/%2F%7e//..?%41&a;b=", "/%2F%7e//..?%41&a;b=", "ok"},
		{"", "https://hooks.example.com*", "*", "malformed"},
		{"", "https://hooks.example.comhttps://hooks.example.com/a", "https://hooks.example.com/a", "malformed"},
		{"", "https://hooks.example.com", "", "malformed"},
	} {
		_, err := newHMAC(t, square(c.public)).Verify(signURL(c.signed, c.uri).Request, time.Unix(now, 0))
		if outcome(err) != c.want {
			t.Errorf("public URL %q, signed %s, sent to %s: got %v, want %s", c.public, c.signed, c.uri, err, c.want)
		}
	}
}

// Without knowing where it was sent to, a request is not what was signed.
func TestAURLThatIsNotKnownRefuses(t *testing.T) {
	t.Parallel()
	for _, known := range []map[string]string{{}, {"http.request.scheme": "https"}, {"http.request.scheme": "", "http.request.hostport": "hooks.example.com"}} {
		r := signURL("https://hooks.example.com/a", "/a")
		r.Lookup = func(name string) (string, bool) {
			value, ok := known[name]
			return value, ok
		}
		expect(t, newHMAC(t, square("")), r, "missing")
	}
	r := signURL("https://hooks.example.com/a", "/a")
	r.Lookup = nil
	expect(t, newHMAC(t, square("")), r, "missing")
	expect(t, newHMAC(t, square("https://hooks.example.com")), r, "ok")
}

// What arrives with a forged Host proves nothing about the URL that is
// configured, and is a mismatch where it is not.
func TestAttackerSendsAnotherHost(t *testing.T) {
	t.Parallel()
	r := signURL("https://hooks.example.com/a", "/a")
	r.host = "attacker.example.com"
	r.setLookup()
	expect(t, newHMAC(t, square("")), r, "mismatch")
	expect(t, newHMAC(t, square("https://hooks.example.com")), r, "ok")
}

// The rest of a body with the signature in it is anyone's, which the traits say,
// and which changes nothing of the claims.
func TestAttackerChangesABodyThatHoldsItsSignature(t *testing.T) {
	t.Parallel()
	config := github()
	inBody(&config, "{timestamp}{id}")
	config.ID = &verify.ID{JSON: "token"}
	v := newHMAC(t, config)
	r := newRequest(http.MethodPost, "/", []byte(`{"event":"genuine"}`))
	if err := config.Sign(r.Request, "a1", time.Unix(now, 0)); err != nil {
		t.Fatal(err)
	}
	first := expect(t, v, r, "ok")

	r.Body = []byte(strings.Replace(string(r.Body), "genuine", "forged", 1))
	if again := expect(t, v, r, "ok"); again != first || again.ID != "a1" {
		t.Errorf("got %+v for a replay, after %+v", again, first)
	}
	if v.Traits().Covers("body") {
		t.Error("the body is said to be covered")
	}
	if err := v.CheckHeader(r.Request, time.Unix(now, 0)); err != nil {
		t.Errorf("the header alone: %v", err)
	}
	for _, body := range []string{"", "null", "[]", `{"sig":{}}`, `{"sig":""}`} {
		r.Body = []byte(body)
		if _, err := v.Verify(r.Request, time.Unix(now, 0)); err == nil {
			t.Errorf("accepted: %s", body)
		}
	}
	// A header of the name is not the member.
	r.Body = []byte(`{"t":1700000000,"token":"a1"}`)
	r.Header.Set("sig", hex.EncodeToString(mac(key, "1700000000a1")))
	expect(t, v, r, "missing")
}
