// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2"
	"golang.org/x/net/http/httpguts"

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
	for _, name := range d.With {
		if !httpguts.ValidHeaderFieldName(name) {
			return fmt.Errorf("dedupe with %q: it is no name of a header field", name)
		}
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
	if p.Header != "" && !httpguts.ValidHeaderFieldName(p.Header) {
		return fmt.Errorf("%q is no name of a header field", p.Header)
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
