// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2"
	"golang.org/x/net/http/httpguts"

	"github.com/caddy-webhook-inbox/inbox/verify"
	"github.com/caddy-webhook-inbox/inbox/verify/senders"
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
	// of a scheme with a timestamp. Default: 96h, or what is known of the sender.
	Window caddy.Duration `json:"window,omitempty"`

	// What is compared: `id`, `content`, or both, of which either makes a duplicate.
	// Default: what is known of the sender; else `id`, but `content` for a scheme
	// with a signed timestamp and without an id.
	On []string `json:"on,omitempty"`

	// Header fields that are part of the content, for senders that say something
	// in one that the body doesn't, such as its topic.
	With []string `json:"with,omitempty"`
}

const defaultWindow = 96 * time.Hour

// idSource finds what identifies the messages that one verifier accepted.
type idSource struct {
	parts   []idPart      // none if the id is that of the claims
	id      bool          // ids count
	content bool          // contents count
	with    []string      // names of header fields in canonical form
	window  time.Duration // 0: no message is a duplicate

	// needsContent: it may take the content of a message to identify it.
	needsContent bool
}

// identify decides how the messages of the endpoint are identified, and refuses a
// configuration in which some could not be. What the endpoint does not say is as
// is known of each verifier's sender.
func (h *Handler) identify() (err error) {
	for i, p := range h.MessageID {
		if err := p.validate(); err != nil {
			return fmt.Errorf("message_id %d: %w", i+1, err)
		}
	}
	unused := len(h.MessageID) > 0
	for i := range h.verifiers {
		v := &h.verifiers[i]
		if v.ids, err = newIDSource(v, h.MessageID, h.Dedupe.orOf(v.sender, len(h.MessageID) > 0)); err != nil {
			return err
		}
		unused = unused && len(v.ids.parts) == 0
	}
	if unused {
		return errors.New("message_id is not covered by the signature, which covers an id of its own: leave message_id out")
	}
	return nil
}

// newIDSource decides how the messages that v accepts are identified. Parts are
// those of the endpoint.
func newIDSource(v *namedVerifier, parts []MessageIDPart, d Dedupe) (s idSource, err error) {
	s = idSource{window: time.Duration(d.Window)}
	if len(parts) == 0 {
		for _, id := range v.sender.MessageID {
			parts = append(parts, MessageIDPart{Header: id.Header, JSON: id.JSON, Path: id.Path})
		}
	}
	if err := s.choose(&d); err != nil {
		return s, err
	}
	if !d.Off && v.Traits.ID && !covers(v.Traits, parts) {
		parts = nil
	}
	for _, p := range parts {
		part, err := newIDPart(p)
		if err != nil {
			return s, err
		}
		s.parts = append(s.parts, part)
	}
	if d.Off {
		return s, nil
	}
	s.needsContent = s.content || len(s.parts) > 0 || !v.Traits.ID
	if v.Timestamp && s.window < 2*v.Tolerance {
		return s, fmt.Errorf("the dedupe window of %v is shorter than twice the tolerance of %s, %v: a captured request could be replayed after it", s.window, v.scheme, v.Tolerance)
	}
	switch {
	case v.ID, len(s.parts) > 0, s.content, len(d.On) == 0 && v.Timestamp:
		return s, nil
	case len(d.On) > 0:
		return s, fmt.Errorf("dedupe on id: the scheme %s gives messages no id, so message_id must say where it is", v.scheme)
	default:
		return s, fmt.Errorf("the scheme %s gives messages no id to recognize duplicates by: say where it is with message_id, or choose `dedupe <window> on content` or `dedupe off`", v.scheme)
	}
}

// orOf returns d with what it leaves open as is known of the sender. It may be
// nil, which leaves everything open. An id that the endpoint names counts, also
// for a sender that is not known to have one.
func (d *Dedupe) orOf(sender senders.Sender, named bool) Dedupe {
	known := sender.Dedupe
	if named && !slices.Contains(known.On, "id") {
		known = senders.Dedupe{Window: known.Window}
	}
	if d == nil {
		return Dedupe{Off: known.Off, Window: caddy.Duration(known.Window), On: known.On, With: known.With}
	}
	choice := *d
	if choice.Off {
		return choice
	}
	orDefault(&choice.Window, caddy.Duration(known.Window))
	if len(choice.On) == 0 {
		choice.On = known.On
	}
	if len(choice.With) == 0 && slices.Contains(choice.On, "content") {
		choice.With = known.With
	}
	return choice
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
		s.with = append(s.with, http.CanonicalHeaderKey(name))
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
