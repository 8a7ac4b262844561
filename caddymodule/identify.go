// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/caddy-webhook-inbox/inbox/queue"
	"github.com/caddy-webhook-inbox/inbox/verify"
)

// keys returns what identifies a message: the sender's id, for the log, and the
// keys to deduplicate it by. A request without the configured id is identified
// by its content, so that leaving the id out does not get around deduplication.
//
// The key of an id is the same whichever verifier accepted it: a sender that is
// moved from one way of signing to another may send a message in both.
//
// The keys are appended to those given.
func (s *idSource) keys(keys []queue.Key, claims *verify.Claims, r *verify.Request) (id string, _ []queue.Key, err error) {
	var room [4]string // which saves an allocation
	parts := room[:0]
	switch {
	case len(s.parts) > 0:
		if parts, err = s.collect(parts, r); err != nil {
			return "", nil, err
		}
	case claims.ID != "":
		parts = append(parts, claims.ID)
	}
	id = strings.Join(parts, ":")
	if s.window == 0 {
		return id, nil, nil
	}
	if s.content || len(parts) == 0 {
		if r.NoContent {
			return "", nil, errNoContent
		}
		keys = append(keys, queue.Key{Kind: queue.KeyContent, Hash: s.contentHash(claims, r.Header), Window: s.window})
	}
	if s.id && len(parts) > 0 {
		keys = append(keys, queue.Key{Kind: queue.KeyID, Hash: idHash(parts...), Window: s.window})
	}
	return id, keys, nil
}

var (
	errRepeatedID = errors.New("the message id is there more than once")
	errNoContent  = errors.New("the scheme promises an id, and gave the message none")
)

// collect appends the parts of the id, and returns none if one is not there.
func (s *idSource) collect(parts []string, r *verify.Request) ([]string, error) {
	for i := range s.parts {
		text, err := s.parts[i].find(r)
		if err != nil {
			return nil, err
		}
		if text == "" {
			return nil, nil
		}
		parts = append(parts, text)
	}
	return parts, nil
}

// idPart is a part of an id that is set up.
type idPart struct {
	MessageIDPart
	header string // in canonical form
	json   verify.JSONPath
}

func newIDPart(p MessageIDPart) (part idPart, err error) {
	part = idPart{MessageIDPart: p, header: http.CanonicalHeaderKey(p.Header)}
	if p.JSON != "" {
		part.json, err = verify.ParseJSONPath(p.JSON)
	}
	return part, err
}

// find returns the part's text in r, empty if it is not there.
func (p *idPart) find(r *verify.Request) (string, error) {
	var values []string
	switch {
	case p.header != "":
		values = r.Header[p.header]
	case p.JSON != "":
		text, err := p.json.Lookup(r.Body)
		if err != nil { // also a body that is not JSON: it is genuine all the same
			return "", nil
		}
		return text, nil
	case p.Query != "":
		_, query, _ := strings.Cut(r.URI, "?")
		all, _ := url.ParseQuery(query) // with an error it has what did parse
		values = all[p.Query]
	default:
		return pathSegment(r.URI, *p.Path), nil
	}
	switch len(values) {
	case 0:
		return "", nil
	case 1:
		return values[0], nil
	default:
		return "", errRepeatedID
	}
}

// pathSegment returns a segment of a request target's path, as it was written.
// A slash at the end does not begin another one.
func pathSegment(target string, n int) string {
	path, _, _ := strings.Cut(target, "?")
	if _, rest, ok := strings.Cut(path, "://"); ok && !strings.HasPrefix(path, "/") {
		_, path, _ = strings.Cut(rest, "/")
	}
	segments := strings.Split(strings.Trim(path, "/"), "/")
	if n < 0 {
		n += len(segments)
	}
	if n < 0 || n >= len(segments) {
		return ""
	}
	return segments[n]
}

// idHash is the key of an id. Parts are hashed with their lengths, so that
// no two different ids are joined to the same text.
func idHash(parts ...string) [32]byte {
	var room [160]byte // which saves two allocations
	text := room[:0]
	for _, p := range parts {
		text = appendField(text, p)
	}
	return sha256.Sum256(text)
}

func (s *idSource) contentHash(claims *verify.Claims, header http.Header) [32]byte {
	if len(s.with) == 0 {
		return claims.Content
	}
	text := slices.Clone(claims.Content[:])
	for _, name := range s.with {
		values := header[name]
		text = binary.BigEndian.AppendUint64(text, uint64(len(values)))
		for _, v := range values {
			text = appendField(text, v)
		}
	}
	return sha256.Sum256(text)
}

func appendField(to []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint64(to, uint64(len(s))), s...)
}
