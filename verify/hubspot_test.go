// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"crypto/sha256"
	"encoding"
	"encoding/binary"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

// sentByHubSpot is a request with the hash of a secret and a text.
func sentByHubSpot(version, uri, body, hashed string) request {
	r := newRequest(http.MethodPost, uri, []byte(body))
	sum := sha256.Sum256([]byte(hashed))
	r.Header.Set("X-HubSpot-Signature", hex.EncodeToString(sum[:]))
	if version != "" {
		r.Header.Set("X-HubSpot-Signature-Version", version)
	}
	return r
}

func newHubSpot(t testing.TB, version int, publicURL string) *verify.HubSpot {
	t.Helper()
	v, err := verify.NewHubSpot(verify.HubSpotConfig{Secrets: []string{"next", key}, Version: version, PublicURL: publicURL})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestHubSpotHashesTheSecretAndTheRequest(t *testing.T) {
	t.Parallel()
	const body = `[{"eventId": 1, "text": "café"}]`
	const url = "https://hooks.example.com/hooks?a=1"
	first, second := newHubSpot(t, 1, ""), newHubSpot(t, 2, "")
	for _, c := range []struct {
		verifier             verify.Verifier
		version, body, other string
		want                 string
	}{
		{first, "", body, key + body, "ok"},
		{first, "v1", body, key + body, "ok"},
		{first, "v1", "", key, "ok"},
		{first, "v2", body, key + body, "mismatch"},
		{first, "V1", body, key + body, "mismatch"},
		{first, "v1", body, body + key, "mismatch"},
		{first, "v1", body, body, "mismatch"},
		{first, "v1", body, key + "POST" + url + body, "mismatch"},
		{second, "", body, key + "POST" + url + body, "ok"},
		{second, "v2", body, key + "POST" + url + body, "ok"},
		{second, "v2", "", key + "POST" + url, "ok"},
		{second, "v1", body, key + "POST" + url + body, "mismatch"},
		{second, "v2", body, key + "GET" + url + body, "mismatch"},
		{second, "v2", body, key + "POSThttps://hooks.example.com/hooks" + body, "mismatch"},
		{second, "v2", body, key + "POSThttps://hooks.example.com:443/hooks?a=1" + body, "mismatch"},
		{second, "v2", body, key + body, "mismatch"},
	} {
		r := sentByHubSpot(c.version, "/hooks?a=1", c.body, c.other)
		expect(t, c.verifier, r, c.want)
		checker := c.verifier.(verify.HeaderChecker)
		if err := checker.CheckHeader(r.Request, time.Unix(now, 0)); err != nil && c.want == "ok" {
			t.Error("CheckHeader:", err)
		}
	}
	public := newHubSpot(t, 2, "https://public.example.com/in/")
	expect(t, public, sentByHubSpot("v2", "/hooks", body, key+"POSThttps://public.example.com/in/hooks"+body), "ok")
	expect(t, public, sentByHubSpot("v2", "/hooks", body, key+"POSThttps://hooks.example.com/hooks"+body), "mismatch")
	r := sentByHubSpot("v2", "/hooks", body, key+body)
	r.Lookup = nil
	expect(t, second, r, "missing")
}

func TestAttackerChangesWhatHubSpotHashed(t *testing.T) {
	t.Parallel()
	const body = `[{"eventId": 1}]`
	genuine := map[string]request{
		"1": sentByHubSpot("v1", "/hooks", body, key+body),
		"2": sentByHubSpot("v2", "/hooks", body, key+"POSThttps://hooks.example.com/hooks"+body),
	}
	verifiers := map[string]verify.Verifier{"1": newHubSpot(t, 1, ""), "2": newHubSpot(t, 2, "")}
	for version, parts := range map[string][]string{
		"1": {"body", "X-HubSpot-Signature", "X-HubSpot-Signature-Version"},
		"2": {"body", "X-HubSpot-Signature", "X-HubSpot-Signature-Version", "method", "uri"},
	} {
		for _, part := range parts {
			for r := range genuine[version].flips(part) {
				if _, err := verifiers[version].Verify(r.Request, time.Unix(now, 0)); err == nil {
					t.Errorf("version %s is accepted with a changed %s: %v", version, part, r)
				}
			}
		}
		for _, name := range parts[1:3] {
			r := genuine[version].clone()
			r.Header.Add(name, r.Header.Get(name))
			expect(t, verifiers[version], r, "malformed")
		}
		signature := genuine[version].Header.Get("X-HubSpot-Signature")
		for value, want := range map[string]string{
			"":                          "missing",
			signature[:62]:              "malformed",
			signature[:63]:              "malformed",
			signature + "00":            "malformed",
			" " + signature:             "malformed",
			signature + "," + signature: "malformed",
			strings.ToUpper(signature):  "ok",
			strings.Repeat("0", 64):     "mismatch",
		} {
			r := genuine[version].clone()
			r.Header.Set("X-HubSpot-Signature", value)
			expect(t, verifiers[version], r, want)
		}
	}
}

// Who has a message and its hash can compute that of a longer message, because
// the hash is the state of SHA-256 after the message.
func TestAttackerLengthensAMessageOfHubSpot(t *testing.T) {
	t.Parallel()
	first, second := newHubSpot(t, 1, ""), newHubSpot(t, 2, "")
	for _, body := range []string{`[{"eventId": 1}]`, "", "é", strings.Repeat("a", 200)} {
		for _, suffix := range []string{"", `[{"eventId": 2}]`, strings.Repeat("b", 100)} {
			r := sentByHubSpot("v1", "/hooks", body, key+body)
			padding, hash := lengthen(t, r.Header.Get("X-HubSpot-Signature"), len(key+body), suffix)
			whole := sha256.Sum256([]byte(key + body + padding + suffix))
			if hash != hex.EncodeToString(whole[:]) {
				t.Fatal("the attack does not work")
			}
			r.Body = []byte(body + padding + suffix)
			r.Header.Set("X-HubSpot-Signature", hash)
			expect(t, first, r, "malformed")

			signed := "POSThttps://hooks.example.com/hooks" + body
			r = sentByHubSpot("v2", "/hooks", body, key+signed)
			padding, hash = lengthen(t, r.Header.Get("X-HubSpot-Signature"), len(key+signed), suffix)
			r.Header.Set("X-HubSpot-Signature", hash)
			r.Body = []byte(body + padding + suffix)
			expect(t, second, r, "malformed")
			r.URI, r.Body = "/hooks"+body+padding, []byte(suffix)
			expect(t, second, r, "malformed")
		}
	}
}

// lengthen returns the padding after a hashed text of n bytes, and the hash of
// that text, the padding and the suffix.
func lengthen(t *testing.T, hash string, n int, suffix string) (padding, longer string) {
	t.Helper()
	pad := append([]byte{0x80}, make([]byte, (119-n%64)%64)...)
	pad = binary.BigEndian.AppendUint64(pad, uint64(8*n))
	h := sha256.New()
	state, err := h.(encoding.BinaryMarshaler).MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	sum, err := hex.DecodeString(hash)
	if err != nil {
		t.Fatal(err)
	}
	copy(state[4:], sum) // after "sha\x03"
	binary.BigEndian.PutUint64(state[len(state)-8:], uint64(n+len(pad)))
	if err := h.(encoding.BinaryUnmarshaler).UnmarshalBinary(state); err != nil {
		t.Fatal(err)
	}
	h.Write([]byte(suffix))
	return string(pad), hex.EncodeToString(h.Sum(nil))
}

func TestVariantsOfARequestFromHubSpotAreDuplicates(t *testing.T) {
	t.Parallel()
	v := newHubSpot(t, 2, "")
	const hashed = key + `POSThttps://hooks.example.com/hooks?id=1[{"eventId": 1}]`
	content := expect(t, v, sentByHubSpot("v2", "/hooks?id=1", `[{"eventId": 1}]`, hashed), "ok").Content
	if expect(t, v, sentByHubSpot("v2", "/hooks?id=1[", `{"eventId": 1}]`, hashed), "ok").Content != content {
		t.Error("with a longer URL it is another message")
	}
	covers := v.Traits().Covers
	if !covers("body") || !covers("http.request.method") || !covers("http.request.uri") {
		t.Error("what version 2 covers: want the method, the URL and the body")
	}
	covers = newHubSpot(t, 1, "").Traits().Covers
	if !covers("body") || covers("http.request.method") || covers("http.request.uri") {
		t.Error("what version 1 covers: want the body alone")
	}
}

func TestHubSpotTakesNoConfigurationThatLetsEveryoneIn(t *testing.T) {
	t.Parallel()
	for _, config := range []verify.HubSpotConfig{
		{Version: 1},
		{Version: 1, Secrets: []string{""}},
		{Version: 2, Secrets: []string{key, " "}},
		{Version: 2, Secrets: []string{key + "\n"}},
		{Version: 0, Secrets: []string{key}},
		{Version: 3, Secrets: []string{key}},
		{Version: 1, Secrets: []string{key}, PublicURL: "https://hooks.example.com"},
		{Version: 2, Secrets: []string{key}, PublicURL: "hooks.example.com"},
	} {
		if _, err := verify.NewHubSpot(config); err == nil {
			t.Errorf("%+v is taken", config)
		}
	}
}
