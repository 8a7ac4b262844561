// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-webhook-inbox/inbox/queue"
	"github.com/caddy-webhook-inbox/inbox/verify"
)

// MessageIDPart is one place of a request that holds the sender's id of the
// message, or a part of it. Exactly one field is set.
type MessageIDPart struct {
	// The name of a header field.
	Header string `json:"header,omitempty"`

	// The path to a value in a JSON body, such as `data.id`.
	JSON string `json:"json,omitempty"`

	// The name of a query parameter.
	Query string `json:"query,omitempty"`

	// The number of a segment of the path: 0 is the first, -1 the last.
	Path *int `json:"path,omitempty"`
}

// Dedupe says when a message counts as a duplicate of an earlier one.
//
// A message with an id that was accepted before is one, and so is, if chosen,
// one with the same content: what the signature covers, but for its timestamp,
// or the method, the URI and the body if the scheme signs nothing. Content alone
// is wrong for a sender two of whose genuine messages can be equal byte for byte.
type Dedupe struct {
	// Accept every message, also if it was accepted before.
	Off bool `json:"off,omitempty"`

	// How long a message is remembered; longer if it is not delivered by then.
	// It must be longer than the sender retries, and at least twice the tolerance
	// of a scheme with a timestamp. Default: 96h.
	Window caddy.Duration `json:"window,omitempty"`

	// What is compared: `id`, `content`, or both, of which either makes a duplicate.
	// Default: `id`; but `content` for a scheme with a signed timestamp and
	// without an id.
	On []string `json:"on,omitempty"`

	// Header fields that are part of the content, for senders that say something
	// in one that the body doesn't, such as its topic.
	With []string `json:"with,omitempty"`
}

const defaultWindow = 96 * time.Hour

// idSource finds what identifies a message.
type idSource struct {
	parts   []MessageIDPart
	id      bool // ids count
	content bool // contents count
	with    []string
	window  time.Duration
	ownID   []bool // by verifier: the id of its claims is the one that counts
}

// newIDSource decides how the messages of an endpoint are identified, and
// refuses a configuration in which some could not be.
func newIDSource(parts []MessageIDPart, d *Dedupe, verifiers []namedVerifier) (idSource, error) {
	if d == nil {
		d = new(Dedupe)
	}
	s := idSource{
		parts:  parts,
		with:   d.With,
		window: time.Duration(d.Window),
		ownID:  make([]bool, len(verifiers)),
	}
	for i, p := range parts {
		if err := p.validate(); err != nil {
			return s, fmt.Errorf("message_id %d: %w", i+1, err)
		}
	}
	if err := s.choose(d); err != nil {
		return s, err
	}
	if d.Off {
		return s, nil
	}

	applies := false
	for i, v := range verifiers {
		s.ownID[i] = v.ID && (len(parts) == 0 || !covers(v.Traits, parts))
		applies = applies || !s.ownID[i]
		if v.Timestamp && s.window < 2*v.Tolerance {
			return s, fmt.Errorf("the dedupe window of %v is shorter than twice the tolerance of %s, %v: a captured request could be replayed after it", s.window, v.scheme, v.Tolerance)
		}
		hasID := v.ID || len(parts) > 0
		switch {
		case hasID, s.content, len(d.On) == 0 && v.Timestamp:
		case len(d.On) > 0:
			return s, fmt.Errorf("dedupe on id: the scheme %s gives messages no id, so message_id must say where it is", v.scheme)
		default:
			return s, fmt.Errorf("the scheme %s gives messages no id to recognize duplicates by: say where it is with message_id, or choose `dedupe <window> on content` or `dedupe off`", v.scheme)
		}
	}
	if len(parts) > 0 && !applies {
		return s, errors.New("message_id is not covered by the signature, which covers an id of its own: leave message_id out")
	}
	return s, nil
}

// choose reads what counts as a duplicate.
func (s *idSource) choose(d *Dedupe) error {
	switch {
	case d.Off && (d.Window != 0 || len(d.On) > 0 || len(d.With) > 0):
		return errors.New("dedupe off takes nothing else")
	case d.Off:
		return nil
	case d.Window < 0:
		return errors.New("the dedupe window is negative")
	case d.Window == 0:
		s.window = defaultWindow
	}
	for _, on := range d.On {
		switch on {
		case "id":
			s.id = true
		case "content":
			s.content = true
		default:
			return fmt.Errorf("dedupe on %q: it is either id or content", on)
		}
	}
	if len(d.On) == 0 {
		s.id = true
	}
	if len(d.With) > 0 && !s.content {
		return errors.New("dedupe with: header fields are added to the content, so it takes `on content`")
	}
	return nil
}

func (p MessageIDPart) validate() error {
	n := 0
	for _, set := range []bool{p.Header != "", p.JSON != "", p.Query != "", p.Path != nil} {
		if set {
			n++
		}
	}
	if n != 1 {
		return errors.New("it takes exactly one of header, json, query and path")
	}
	if p.JSON != "" {
		_, err := verify.ParseJSONPath(p.JSON)
		return err
	}
	return nil
}

// covers reports whether a signature covers every part of an id.
func covers(t verify.Traits, parts []MessageIDPart) bool {
	if t.Covers == nil {
		return false
	}
	return !slices.ContainsFunc(parts, func(p MessageIDPart) bool {
		switch {
		case p.JSON != "":
			return !t.Covers("body")
		case p.Header != "":
			return !t.Covers("http.request.header." + p.Header)
		case p.Query != "":
			return !t.Covers("http.request.uri.query."+p.Query) && !coversURI(t)
		default:
			return !t.Covers("http.request.uri.path") && !coversURI(t)
		}
	})
}

func coversURI(t verify.Traits) bool {
	return t.Covers("http.request.uri") || t.Covers("http.request.orig_uri")
}

// keys returns what identifies a message: the sender's id, for the log, and the
// keys to deduplicate it by. A request without the configured id is identified
// by its content, so that leaving the id out does not get around deduplication.
//
// verifier is the number of the one that accepted the request.
func (s *idSource) keys(verifier int, claims verify.Claims, r *verify.Request) (id string, keys []queue.Key, err error) {
	var parts []string
	switch {
	case s.ownID[verifier] || len(s.parts) == 0:
		if claims.ID != "" {
			parts = []string{claims.ID}
		}
	default:
		if parts, err = s.collect(r); err != nil {
			return "", nil, err
		}
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
		all, err := url.ParseQuery(query)
		if err != nil {
			return "", errors.New("the query does not parse")
		}
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
