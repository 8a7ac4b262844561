// SPDX-License-Identifier: Apache-2.0

package senders_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/verify"
	"github.com/caddy-webhook-inbox/inbox/verify/senders"
)

// FuzzSenders: of every sender, whatever its body and id are, what it signs is
// accepted, and not with any bit changed of the body, if that is signed, of the URI,
// if that is, or of a header field that it signs with.
func FuzzSenders(f *testing.F) {
	for n := range senders.All() {
		f.Add(uint(n), "msg_1", []byte(`{"id":"1","text":"é"}`), uint(n*13), uint(n))
	}
	f.Add(uint(0), "1", []byte(""), uint(0), uint(1))
	f.Add(uint(9), "é", []byte("\x00\xff"), uint(1), uint(2))
	f.Add(uint(20), "a.b", []byte("[]"), uint(1000), uint(3))

	f.Fuzz(func(t *testing.T, which uint, id string, body []byte, bit, part uint) {
		all := senders.All()
		row := all[which%uint(len(all))]
		keys := senders.Keys{Secrets: []string{secretOf(row)}}
		if row.Scheme.Needs().User {
			keys.User = "hooks"
		}
		v, err := row.Scheme.Verifier(keys)
		if err != nil {
			t.Fatalf("%s: %v", row.Name, err)
		}
		now := time.Unix(1700000000, 0)
		r := newRequest(http.MethodPost, "https", "", "/hooks?a=b", slices.Clone(body))
		r.Header.Set("Content-Type", "application/json")
		r.Lookup = placeholders(r, "https", "hooks.example.com")
		if err := row.Scheme.Sign(keys, r, id, now); err != nil {
			if _, err := v.Verify(r, now); err == nil {
				t.Fatalf("%s accepts what could not be signed", row.Name)
			}
			return // not every body can be signed, nor by everybody
		}
		_, err = v.Verify(r, now)
		if errors.Is(err, verify.ErrMismatch) || errors.Is(err, verify.ErrExpired) {
			t.Fatalf("%s refuses what it signed: %v: %s %v %q", row.Name, err, r.URI, r.Header, r.Body)
		}
		if err != nil {
			return // not every id can be told apart from what stands beside it
		}
		changed, what := flipped(r, v.Traits(), bit, part)
		if _, err := v.Verify(changed, now); err == nil && what != "" {
			t.Errorf("%s accepts with a bit of %s changed: %s %v %q, signed %s %v %q",
				row.Name, what, changed.URI, changed.Header, changed.Body, r.URI, r.Header, r.Body)
		}
	})
}

func secretOf(row senders.Sender) string {
	switch scheme := row.Scheme.(type) {
	case senders.Standard:
		return "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	case senders.PublicKey:
		if scheme.Config.Algorithm == "ed25519" {
			return "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a" // of RFC 8032
		}
		return "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEAoLEI6HjJxaiO86nxF/pPMD2LlJBNpNAZkTabwtzBBgcXRVrowNysIaDMxyVVWlTcLVWuWe9bHRVsr03HIIy/g=="
	}
	return "44782def547aaa06c910c43932b1eb0c71fc68d9d0c057550c48ec2acf6ba056"
}

// flipped returns r with a bit changed that the signature covers, and of what. It is
// of nothing if the change says the same, such as a digit of hex in the other case.
func flipped(r *verify.Request, traits verify.Traits, bit, part uint) (changed *verify.Request, what string) {
	changed = newRequest(r.Method, "https", "", r.URI, slices.Clone(r.Body))
	changed.Header = r.Header.Clone()
	changed.Lookup = placeholders(changed, "https", "hooks.example.com")
	flip := func(text string) string {
		if text == "" {
			return ""
		}
		b := []byte(text)
		at := bit % uint(8*len(b))
		b[at/8] ^= 1 << (at % 8)
		return string(b)
	}
	parts := append([]string{"body", "uri"}, traits.Headers...)
	switch what = parts[part%uint(len(parts))]; {
	case what == "body" && traits.Covers != nil && traits.Covers("body"):
		if text := flip(string(r.Body)); text != string(r.Body) {
			changed.Body = []byte(text)
			return changed, what
		}
	case what == "uri" && traits.Covers != nil && traits.Covers("http.request.uri"):
		if text := flip(r.URI); text != r.URI {
			changed.URI = text
			return changed, what
		}
	case what != "body" && what != "uri" && r.Header.Get(what) != "":
		before := r.Header.Get(what)
		text := flip(before)
		if strings.HasSuffix(before, "=") || !strings.EqualFold(text, before) {
			changed.Header.Set(what, text)
			return changed, what
		}
	}
	return changed, ""
}
