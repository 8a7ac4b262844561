// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"net/http"
	"net/url"
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
func (s *idSource) keys(claims verify.Claims, r *verify.Request) (id string, keys []queue.Key, err error) {
	var parts []string
	switch {
	case len(s.parts) > 0:
		if parts, err = s.collect(r); err != nil {
			return "", nil, err
		}
	case claims.ID != "":
		parts = []string{claims.ID}
	}
	id = strings.Join(parts, ":")
	if s.window == 0 {
		return id, nil, nil
	}
	if s.content || len(parts) == 0 {
		keys = append(keys, queue.Key{Kind: queue.KeyContent, Hash: s.contentHash(claims, r.Header), Window: s.window})
	}
	if s.id && len(parts) > 0 {
		keys = append(keys, queue.Key{Kind: queue.KeyID, Hash: idHash(parts...), Window: s.window})
	}
	return id, keys, nil
}

var errRepeatedID = errors.New("the message id is there more than once")

// collect returns the parts of the id, none if one is not there.
func (s *idSource) collect(r *verify.Request) ([]string, error) {
	parts := make([]string, 0, len(s.parts))
	for _, p := range s.parts {
		text, err := p.find(r)
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

// find returns the part's text in r, empty if it is not there.
func (p MessageIDPart) find(r *verify.Request) (string, error) {
	var values []string
	switch {
	case p.Header != "":
		values = r.Header[http.CanonicalHeaderKey(p.Header)]
	case p.JSON != "":
		path, err := verify.ParseJSONPath(p.JSON)
		if err != nil {
			return "", err
		}
		text, err := path.Lookup(r.Body)
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
	h := sha256.New()
	for _, p := range parts {
		writeField(h, p)
	}
	return [32]byte(h.Sum(nil))
}

func (s *idSource) contentHash(claims verify.Claims, header http.Header) [32]byte {
	if len(s.with) == 0 {
		return claims.Content
	}
	h := sha256.New()
	h.Write(claims.Content[:])
	for _, name := range s.with {
		values := header[http.CanonicalHeaderKey(name)]
		writeLength(h, len(values))
		for _, v := range values {
			writeField(h, v)
		}
	}
	return [32]byte(h.Sum(nil))
}

func writeField(h hash.Hash, s string) {
	writeLength(h, len(s))
	h.Write([]byte(s))
}

func writeLength(h hash.Hash, n int) {
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(n)))
}
