// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

// What attackers try, most of it after advisories about other receivers of
// webhooks.

// An empty secret would let everyone sign: no scheme can be had with one, or
// with none.
func TestAttackerSignsWithTheEmptySecret(t *testing.T) {
	t.Parallel()
	zeros := string(make([]byte, 32)) // as a key for HMAC, the same as empty
	blank := []string{"", " ", "\t\n"}
	for _, text := range blank {
		for _, encoding := range []string{"", "raw", "base64", "hex", "whsec"} {
			refuseSecret(t, verify.Secret{Text: text, Encoding: encoding})
		}
		if _, err := verify.NewToken(verify.TokenConfig{Header: "X-Token", Tokens: []string{"t", text}}); err == nil {
			t.Errorf("a token %q is taken", text)
		}
		if _, err := verify.NewBearer([]string{"t", text}); err == nil {
			t.Errorf("a bearer token %q is taken", text)
		}
		if _, err := verify.NewBasic("user", []string{"p", text}); err == nil {
			t.Errorf("a password %q is taken", text)
		}
	}
	for _, secret := range []verify.Secret{
		{Text: "whsec_", Encoding: "whsec"},
		{Text: "whsec_===", Encoding: "whsec"},
		{Text: "====", Encoding: "base64"},
		{Text: b64([]byte(zeros)), Encoding: "base64"},
		{Text: hex.EncodeToString([]byte(zeros)), Encoding: "hex"},
		{Text: zeros, Encoding: "raw"},
	} {
		refuseSecret(t, secret)
	}
	if _, err := verify.NewStandard(verify.StandardConfig{}); err == nil {
		t.Error("Standard Webhooks without secrets are taken")
	}
	config := github()
	config.Secrets = nil
	if _, err := verify.NewHMAC(config); err == nil {
		t.Error("HMAC without secrets is taken")
	}
	if _, err := verify.NewToken(verify.TokenConfig{Header: "X-Token"}); err == nil {
		t.Error("tokens without tokens are taken")
	}
	if _, err := verify.NewBearer(nil); err == nil {
		t.Error("bearer tokens without tokens are taken")
	}
	if _, err := verify.NewBasic("user", nil); err == nil {
		t.Error("basic authentication without passwords is taken")
	}
}

func refuseSecret(t *testing.T, secret verify.Secret) {
	t.Helper()
	if _, err := verify.NewStandard(verify.StandardConfig{Secrets: []verify.Secret{whsec(key), secret}}); err == nil {
		t.Errorf("Standard Webhooks take the secret %q (%s)", secret.Text, secret.Encoding)
	}
	config := github()
	config.Secrets = append(config.Secrets, secret)
	if _, err := verify.NewHMAC(config); err == nil {
		t.Errorf("HMAC takes the secret %q (%s)", secret.Text, secret.Encoding)
	}
}

// For a public key of small order, signatures can be made without a private key.
func TestAttackerSignsForADegeneratePublicKey(t *testing.T) {
	t.Parallel()
	for _, key := range []string{
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0000000000000000000000000000000000000000000000000000000000000080",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000080",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
	} {
		raw, err := hex.DecodeString(key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := verify.NewStandard(verify.StandardConfig{Secrets: []verify.Secret{{Text: "whpk_" + b64(raw)}}}); err == nil {
			t.Errorf("the public key %s is taken", key)
		}
		if _, err := verify.NewPublicKey(discord(verify.Secret{Text: key})); err == nil || !strings.Contains(err.Error(), "everyone can sign") {
			t.Errorf("the public key %s is taken for Discord: %v", key, err)
		}
	}
}

// A missing signature is never an unsigned sender.
func TestAttackerLeavesTheSignatureOut(t *testing.T) {
	t.Parallel()
	for name, v := range readVectors(t) {
		if v.scheme == "none" {
			continue
		}
		r := v.request.clone()
		for header := range r.Header {
			r.Header.Del(header)
		}
		if len(v.request.Header) == 0 {
			r.Body = []byte(`{"signature": {"timestamp": "1700000000", "token": "a"}}`)
		}
		if _, err := v.verifier.Verify(r.Request, v.now); outcome(err) != "missing" {
			t.Errorf("%s without a header: got %s, want missing", name, outcome(err))
		}
	}
}

// Svix for Rust compared as many bytes as the attacker sent (CVE-2024-21491).
func TestAttackerSendsAPrefixOfTheMAC(t *testing.T) {
	t.Parallel()
	body := []byte("{}")
	standard, hmac := newStandard(t, key), newHMAC(t, github())
	right := mac(key, "msg_1.1700000000.{}")
	rightGitHub := mac(key, "{}")
	for n := range sha256.Size {
		r := signStandard(key, "webhook", "msg_1", "1700000000", body)
		r.Header.Set("Webhook-Signature", "v1,"+b64(right[:n]))
		expect(t, standard, r, "malformed")
		// Unpadded, too.
		r.Header.Set("Webhook-Signature", "v1,"+base64.RawStdEncoding.EncodeToString(right[:n]))
		expect(t, standard, r, "malformed")

		r = signGitHub(body)
		r.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(rightGitHub[:n]))
		expect(t, hmac, r, "malformed")
	}
}

// Of a list, any may match and nothing else: at each position, once.
func TestAttackerHidesInAListOfSignatures(t *testing.T) {
	t.Parallel()
	v := newStandard(t, key)
	foreign := v1("another key", "msg_1", "1700000000", []byte("{}"))
	for _, others := range []string{foreign, "v1,", "v1", ",", "v2,x", "v1a,AAAA", strings.Repeat("x", 1000)} {
		for position := range 16 {
			r := signStandard(key, "webhook", "msg_1", "1700000000", []byte("{}"))
			list := slices.Repeat([]string{others}, 16)
			list[position] = r.Header.Get("Webhook-Signature")
			r.Header.Set("Webhook-Signature", strings.Join(list, " "))
			expect(t, v, r, "ok")

			list[position] = others
			r.Header.Set("Webhook-Signature", strings.Join(list, " "))
			if _, err := v.Verify(r.Request, time.Unix(now, 0)); err == nil {
				t.Errorf("16 times %.20q is accepted", others)
			}
		}
	}
}

// What a header says never chooses how it is checked.
func TestAttackerChoosesTheAlgorithm(t *testing.T) {
	t.Parallel()
	body := []byte("{}")
	public, private := keyPair("one")
	symmetric := newStandard(t, key)
	both, err := verify.NewStandard(verify.StandardConfig{Secrets: []verify.Secret{whsec(key), {Text: "whpk_" + b64(public)}}})
	if err != nil {
		t.Fatal(err)
	}
	message := []byte("msg_1.1700000000.{}")
	keyedWithPublic := mac(string(public), string(message))
	signature := ed25519.Sign(private, message)

	for name, attack := range map[string]string{
		"a MAC keyed with the public key":             "v1," + b64(keyedWithPublic),
		"the same as v1a":                             "v1a," + b64(keyedWithPublic),
		"the same, twice over, as v1a":                "v1a," + b64(slices.Concat(keyedWithPublic, keyedWithPublic)),
		"the right signature as v1":                   "v1," + b64(signature),
		"the first half of the right signature as v1": "v1," + b64(signature[:32]),
		"the right MAC as v1a":                        "v1a," + b64(mac(key, string(message))),
		"the right MAC as v0":                         "v0," + b64(mac(key, string(message))),
		"the right MAC as V1":                         "V1," + b64(mac(key, string(message))),
		"no version":                                  b64(mac(key, string(message))),
		"an empty v1a":                                "v1a,",
		"zeros as v1a":                                "v1a," + b64(make([]byte, 64)),
	} {
		r := signStandard(key, "webhook", "msg_1", "1700000000", body)
		r.Header.Set("Webhook-Signature", attack)
		if _, err := both.Verify(r.Request, time.Unix(now, 0)); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	r := signStandard(key, "webhook", "msg_1", "1700000000", body)
	r.Header.Set("Webhook-Signature", "v1a,"+b64(signature))
	expect(t, both, r, "ok")
	expect(t, symmetric, r, "malformed")
}

// A header field given twice means one value to us and another to the
// application.
func TestAttackerGivesAHeaderTwice(t *testing.T) {
	t.Parallel()
	for name, v := range readVectors(t) {
		for _, header := range v.verifier.Traits().Headers {
			value := v.request.Header.Get(header)
			if v.expect != "ok" || value == "" {
				continue
			}
			for _, second := range []string{value, "", "other"} {
				for _, values := range [][]string{{value, second}, {second, value}} {
					r := v.request.clone()
					r.Header[http.CanonicalHeaderKey(header)] = values
					_, err := v.verifier.Verify(r.Request, v.now)
					if outcome(err) != "malformed" {
						t.Errorf("%s with %s %q: got %s, want malformed", name, header, values, outcome(err))
					}
					err = v.verifier.(verify.HeaderChecker).CheckHeader(r.Request, v.now)
					if outcome(err) != "malformed" {
						t.Errorf("%s with %s %q, header alone: got %s, want malformed", name, header, values, outcome(err))
					}
				}
			}
			// Joined as a proxy might.
			r := v.request.clone()
			r.Header.Set(header, "other, "+value)
			if claims, err := v.verifier.Verify(r.Request, v.now); err == nil && strings.Contains(claims.ID, "other") {
				t.Errorf("%s accepts the id %q", name, claims.ID)
			}
		}
	}
}

// Of the two families, one has to be right on its own.
func TestAttackerMixesFamilies(t *testing.T) {
	t.Parallel()
	v := newStandard(t, key)
	names := []string{"id", "timestamp", "signature"}
	for mask := 1; mask < 7; mask++ {
		genuine := signStandard(key, "svix", "msg_1", "1700000000", []byte("{}"))
		r := newRequest(http.MethodPost, "/hooks", []byte("{}"))
		for i, name := range names {
			family := "svix-"
			if mask&(1<<i) != 0 {
				family = "webhook-"
			}
			r.Header.Set(family+name, genuine.Header.Get("svix-"+name))
		}
		expect(t, v, r, "missing")
	}

	// A captured request under a new id.
	r := signStandard(key, "webhook", "msg_1", "1700000000", []byte("{}"))
	r.Header.Set("svix-id", "msg_2")
	r.Header.Set("svix-timestamp", "1700000000")
	r.Header.Set("svix-signature", r.Header.Get("webhook-signature"))
	if claims := expect(t, v, r, "ok"); claims.ID != "msg_1" {
		t.Errorf("the id is %q, which is not the signed one", claims.ID)
	}
	// Fresh in one family, stale in the other.
	r = signStandard(key, "webhook", "msg_1", "1600000000", []byte("{}"))
	expect(t, v, r, "expired")
	r.Header.Set("svix-id", "msg_1")
	r.Header.Set("svix-timestamp", "1700000000")
	r.Header.Set("svix-signature", r.Header.Get("webhook-signature"))
	expect(t, v, r, "expired")
}

// One signed text must not be that of two messages.
func TestAttackerMovesABoundary(t *testing.T) {
	t.Parallel()
	v := newStandard(t, key)
	// msg.1600000000 . 1700000000 . {} could be msg . 1600000000 . 1700000000.{}
	r := signStandard(key, "webhook", "msg.1600000000", "1700000000", []byte("{}"))
	expect(t, v, r, "malformed")
	r.Header.Set("Webhook-Id", "msg")
	r.Header.Set("Webhook-Timestamp", "1600000000")
	r.Body = []byte("1700000000.{}")
	if _, err := v.Verify(r.Request, time.Unix(1600000000, 0)); err != nil {
		t.Fatalf("the premise of this test is wrong: %v", err)
	}

	config := github()
	config.Signed = "{id}::{body}"
	config.ID = &verify.ID{Header: "X-Id"}
	h := newHMAC(t, config)
	r = newRequest(http.MethodPost, "/", []byte("b::c"))
	r.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac(key, "a::b::c")))
	r.Header.Set("X-Id", "a")
	expect(t, h, r, "ok")
	r.Header.Set("X-Id", "a::b")
	r.Body = []byte("c")
	expect(t, h, r, "malformed")
}

// A signature in other letters is the same message to deduplication.
func TestAttackerWritesTheSignatureDifferently(t *testing.T) {
	t.Parallel()
	v := newStandard(t, key)
	genuine := signStandard(key, "webhook", "msg_1", "1700000000", []byte("{}"))
	want := expect(t, v, genuine, "ok")
	text := genuine.Header.Get("Webhook-Signature")
	raw := mac(key, "msg_1.1700000000.{}")
	last := text[:len(text)-2] + string(text[len(text)-2]+1) + "=" // the same bytes, other stray bits
	if lax, err := base64.StdEncoding.DecodeString(last[3:]); err != nil || string(lax) != string(raw) {
		t.Fatal("the premise of this test is wrong")
	}
	for name, other := range map[string]string{
		"without padding":      strings.TrimRight(text, "="),
		"with more padding":    text + "=",
		"with stray bits":      last,
		"hex":                  "v1," + hex.EncodeToString(raw),
		"a comma at its end":   text + ",",
		"spaces around":        "  " + text + " ",
		"twice":                text + " " + text,
		"a line break in it":   text[:10] + "\n" + text[10:],
		"a carriage return":    text + "\r",
		"a zero byte after it": text + "\x00",
	} {
		r := genuine.clone()
		r.Header.Set("Webhook-Signature", other)
		claims, err := v.Verify(r.Request, time.Unix(now, 0))
		if err == nil && claims != want {
			t.Errorf("%s: other claims for the same message", name)
		}
		if err == nil && (name == "with stray bits" || strings.Contains(name, "line")) {
			t.Errorf("%s: accepted", name)
		}
	}

	h := newHMAC(t, github())
	r := signGitHub([]byte("{}"))
	want = expect(t, h, r, "ok")
	r.Header.Set("X-Hub-Signature-256", "sha256="+strings.ToUpper(r.Header.Get("X-Hub-Signature-256")[7:]))
	if got := expect(t, h, r, "ok"); got != want {
		t.Error("other claims for the same hex in capitals")
	}
}

// GitHub does not sign its delivery id: a replay can have a new one, but not new
// content.
func TestAttackerReplaysUnderAnotherUnsignedID(t *testing.T) {
	t.Parallel()
	v := newHMAC(t, github())
	first := expect(t, v, signGitHub([]byte("{}")), "ok")
	if first.ID != "" {
		t.Errorf("the id %q is claimed, which nobody signed", first.ID)
	}
	replay := signGitHub([]byte("{}"))
	replay.Header.Set("X-GitHub-Delivery", "another")
	replay.URI, replay.Method = "/hooks?again", http.MethodPut
	if again := expect(t, v, replay, "ok"); again.Content != first.Content {
		t.Error("a replay has other content")
	}
	if other := expect(t, v, signGitHub([]byte("{ }")), "ok"); other.Content == first.Content {
		t.Error("another body has the same content")
	}

	config := github()
	config.ID = &verify.ID{Header: "X-GitHub-Delivery"}
	if _, err := verify.NewHMAC(config); err == nil {
		t.Error("an id is taken that nobody signs")
	}
}

// Senders sign a retry anew: its content is that of the first try.
func TestARetryHasTheContentOfTheFirstTry(t *testing.T) {
	t.Parallel()
	standard := newStandard(t, key)
	first := expect(t, standard, signStandard(key, "webhook", "msg_1", "1700000000", []byte("{}")), "ok")
	retry := expect(t, standard, signStandard(key, "svix", "msg_1", "1700000100", []byte("{}")), "ok")
	if first.Content != retry.Content || first.ID != retry.ID || first.Timestamp.Equal(retry.Timestamp) {
		t.Errorf("got %+v after %+v", retry, first)
	}
	if other := expect(t, standard, signStandard(key, "webhook", "msg_2", "1700000000", []byte("{}")), "ok"); other.Content == first.Content {
		t.Error("another id has the same content")
	}

	config := github()
	config.Signed = "{http.request.header.X-Time}.{body}"
	config.Timestamp = &verify.Timestamp{Header: "x-time"}
	h := newHMAC(t, config)
	send := func(ts int) verify.Claims {
		r := newRequest(http.MethodPost, "/", []byte("{}"))
		r.Header.Set("X-Time", strconv.Itoa(ts))
		r.Header.Set("X-Hub-Signature-256", fmt.Sprintf("sha256=%x", mac(key, fmt.Sprintf("%d.{}", ts))))
		return expect(t, h, r, "ok")
	}
	if send(now).Content != send(now+1).Content {
		t.Error("the timestamp is part of the content")
	}
}

// Nothing of a request or of a secret is in an error, which ends up in a log.
func TestErrorsSayNothingOfTheRequest(t *testing.T) {
	t.Parallel()
	for name, v := range readVectors(t) {
		_, err := v.verifier.Verify(v.request.Request, v.now)
		if err == nil {
			continue
		}
		for _, values := range v.request.Header {
			for _, value := range values {
				for word := range strings.FieldsFuncSeq(value, func(r rune) bool { return strings.ContainsRune(" ,;=", r) }) {
					if len(word) > 3 && strings.Contains(err.Error(), word) && !strings.Contains("timestamp Basic Bearer", word) {
						t.Errorf("%s: %q contains %q", name, err, word)
					}
				}
			}
		}
	}
	const secret = "hunter2-hunter2"
	for _, encoding := range []string{"base64", "hex", "whsec", "unknown"} {
		_, err := verify.NewStandard(verify.StandardConfig{Secrets: []verify.Secret{{Text: secret, Encoding: encoding}}})
		if err == nil || strings.Contains(err.Error(), "hunter") {
			t.Errorf("%s: %v", encoding, err)
		}
	}
	swapped := verify.Secret{Text: "raw", Encoding: secret}
	if _, err := verify.NewStandard(verify.StandardConfig{Secrets: []verify.Secret{swapped}}); err == nil || strings.Contains(err.Error(), "hunter") {
		t.Errorf("with text and encoding swapped: %v", err)
	}
	config := verify.HMACConfig{Secrets: []verify.Secret{{Text: secret}, swapped}}
	if text := fmt.Sprintf("%v %+v %#v", config, config, config); strings.Contains(text, "hunter") {
		t.Errorf("a printed configuration is %s", text)
	}
}

func keyPair(seed string) (ed25519.PublicKey, ed25519.PrivateKey) {
	s := sha256.Sum256([]byte(seed))
	private := ed25519.NewKeyFromSeed(s[:])
	return private.Public().(ed25519.PublicKey), private
}
