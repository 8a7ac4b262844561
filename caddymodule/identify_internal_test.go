// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"crypto/sha256"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
	"github.com/caddy-webhook-inbox/inbox/verify"
)

// The keys outlive the process: made in another way, every message that is sent
// again would be a new one.
func TestKeysAreMadeOfLengthsAndTexts(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 1000)
	for _, c := range []struct {
		got, want [32]byte
	}{
		{idHash("msg_1"), sha256.Sum256([]byte("\x00\x00\x00\x00\x00\x00\x00\x05msg_1"))},
		{idHash("a", "bc"), sha256.Sum256([]byte("\x00\x00\x00\x00\x00\x00\x00\x01a\x00\x00\x00\x00\x00\x00\x00\x02bc"))},
		{idHash(long), sha256.Sum256([]byte("\x00\x00\x00\x00\x00\x00\x03\xe8" + long))},
	} {
		if c.got != c.want {
			t.Errorf("the key of an id is %x, want %x", c.got, c.want)
		}
	}
	claims := verify.Claims{Content: [32]byte{1, 2, 3}}
	s := idSource{with: []string{"X-Topic", "X-None"}}
	want := sha256.Sum256([]byte(string(claims.Content[:]) +
		"\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x03new\x00\x00\x00\x00\x00\x00\x00\x00"))
	if got := s.contentHash(&claims, http.Header{"X-Topic": {"new"}}); got != want {
		t.Errorf("the key of a content is %x, want %x", got, want)
	}
	if claims.Content != [32]byte{1, 2, 3} {
		t.Error("the content itself was changed")
	}
}

// A content is left out only where it can be of no use.
func TestContentIsLeftOutOnlyIfThereIsAlwaysAnID(t *testing.T) {
	t.Parallel()
	withID, without := verify.Traits{ID: true, Covers: func(part string) bool { return part == "body" }}, verify.Traits{Timestamp: true}
	inBody := []MessageIDPart{{JSON: "id"}}
	for name, c := range map[string]struct {
		traits verify.Traits
		parts  []MessageIDPart
		dedupe Dedupe
		needed bool
	}{
		"an id of the scheme":                     {traits: withID},
		"an id of the scheme, and nothing counts": {traits: withID, dedupe: Dedupe{Off: true}},
		"the content counts":                      {traits: withID, dedupe: Dedupe{On: []string{"content"}}, needed: true},
		"both count":                              {traits: withID, dedupe: Dedupe{On: []string{"id", "content"}}, needed: true},
		"an id that may be missing":               {traits: withID, parts: inBody, needed: true},
		"no id":                                   {traits: without, needed: true},
	} {
		s, err := newIDSource(&namedVerifier{scheme: "demo", Traits: c.traits}, c.parts, c.dedupe)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if s.needsContent != c.needed {
			t.Errorf("%s: content needed: %v", name, s.needsContent)
		}
	}
}

// A scheme that promises an id and gives none must not make every message a
// duplicate of the first.
func TestAnIDThatWasPromisedAndIsNotThere(t *testing.T) {
	t.Parallel()
	s := idSource{id: true, window: time.Hour}
	r := &verify.Request{NoContent: true}
	if _, keys, err := s.keys(nil, new(verify.Claims), r); !errors.Is(err, errNoContent) {
		t.Errorf("keys %v, %v", keys, err)
	}
	_, keys, err := s.keys(nil, &verify.Claims{ID: "1"}, r)
	if err != nil || len(keys) != 1 || keys[0].Kind != queue.KeyID {
		t.Errorf("keys %v, %v", keys, err)
	}
}
