// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A template is what a sender signs, such as v0:{timestamp}:{body}: literal text
// and placeholders in braces.
type template []part

// A part is a piece of a template.
type part struct {
	kind partKind
	text string // of a literal; or the name of a placeholder or header field

	before, after string // of an id: the literals that end it; see delimit
}

type partKind int

const (
	partLiteral partKind = iota
	partBody
	partID
	partTimestamp
	partURL
	partHeader      // a header field
	partPlaceholder // any other of the request
)

const headerPlaceholder = "http.request.header."

// parseTemplate reads a template. A placeholder of the header field that holds
// the id or the timestamp is the id or the timestamp. Both names are canonical,
// and empty if there is none.
func parseTemplate(text, idHeader, timestampHeader string) (template, error) {
	var t template
	for text != "" {
		literal, rest, found := strings.Cut(text, "{")
		if strings.Contains(literal, "}") {
			return nil, errors.New(`"}" without "{"`)
		}
		if literal != "" {
			t = append(t, part{kind: partLiteral, text: literal})
		}
		if !found {
			break
		}
		name, rest, found := strings.Cut(rest, "}")
		if !found || strings.Contains(name, "{") {
			return nil, errors.New(`"{" without "}"`)
		}
		p, err := parsePlaceholder(name)
		if err != nil {
			return nil, err
		}
		switch {
		case p.kind == partHeader && p.text == idHeader:
			p.kind = partID
		case p.kind == partHeader && p.text == timestampHeader:
			p.kind = partTimestamp
		}
		t = append(t, p)
		text = rest
	}
	return t, nil
}

func parsePlaceholder(name string) (part, error) {
	switch {
	case name == "body":
		return part{kind: partBody}, nil
	case name == "id":
		return part{kind: partID}, nil
	case name == "timestamp":
		return part{kind: partTimestamp}, nil
	case name == "url":
		return part{kind: partURL}, nil
	case strings.HasPrefix(name, "http.request.body"):
		return part{}, fmt.Errorf("{%s} is not the body as it was received: use {body}", name)
	case strings.HasPrefix(name, headerPlaceholder):
		header, err := headerName(name[len(headerPlaceholder):])
		if err != nil {
			return part{}, fmt.Errorf("{%s}: %w", name, err)
		}
		if header == "Host" {
			// The server takes it out of the header.
			return part{}, fmt.Errorf("{%s} is no header field: use {http.request.hostport}", name)
		}
		return part{kind: partHeader, text: header}, nil
	case !strings.Contains(name, ".") || strings.ContainsAny(name, " \t\r\n"):
		return part{}, fmt.Errorf("unknown placeholder {%s}: expected {body}, {id}, {timestamp}, {url} or a full name such as {http.request.method}", name)
	default:
		return part{kind: partPlaceholder, text: name}, nil
	}
}

func (t template) has(kind partKind) bool {
	return slices.ContainsFunc(t, func(p part) bool { return p.kind == kind })
}

// coversHeader reports whether the template contains a header field, by its
// canonical name, other than that of the id or the timestamp.
func (t template) coversHeader(name string) bool {
	return slices.Contains(t, part{kind: partHeader, text: name})
}

// covers reports whether the template contains any other placeholder of the
// request, or one that it is a piece of: the URI contains its path and query.
func (t template) covers(name string) bool {
	return slices.ContainsFunc(t, func(p part) bool {
		covered := p.text
		if p.kind == partURL {
			covered = "http.request.uri"
		} else if p.kind != partPlaceholder {
			return false
		}
		inURI := strings.HasPrefix(covered, "http.request.uri") && strings.HasPrefix(name, covered+".")
		return covered == name || inURI
	})
}

// ownValues take the place of the scheme's own placeholders: the id and the
// timestamp as received, and what the URL begins with.
type ownValues struct {
	id, timestamp string
	url           publicURL
}

// render returns the parts of what was signed, one for each of the template's.
// None is ever empty because it is not there.
func (t template) render(r *Request, own *ownValues, room *scratch) ([][]byte, error) {
	room.parts = emptied(room.parts)
	for i := range t {
		part, err := t[i].render(r, own, room)
		if err != nil {
			return nil, err
		}
		room.parts = append(room.parts, part)
	}
	return room.parts, nil
}

func (p *part) render(r *Request, own *ownValues, room *scratch) ([]byte, error) {
	var value string
	var err error
	switch p.kind {
	case partLiteral:
		value = p.text
	case partBody:
		return r.Body, nil
	case partID:
		if !p.delimited(own.id) {
			return nil, fmt.Errorf("id contains the text that ends it: %w", ErrMalformed)
		}
		value = own.id
	case partTimestamp:
		value = own.timestamp
	case partURL:
		value, err = own.url.of(r)
	case partHeader:
		// Not by Lookup, which joins several values into one.
		value, err = single(r.Header, p.text)
	case partPlaceholder:
		var ok bool
		if r.Lookup != nil {
			value, ok = r.Lookup(p.text)
		}
		if !ok {
			err = fmt.Errorf("{%s}: %w", p.text, ErrMissing)
		}
	}
	if err != nil {
		return nil, err
	}
	return room.bytes(value), nil
}

// content is the content of the rendered parts: all that varies but the
// timestamp, which a sender renews when it tries again. Parts without text
// between them are one: a signature does not say where the first ends, so that
// moving its end must not make another message.
func (t template) content(r *Request, parts [][]byte, room *scratch) [32]byte {
	if r.NoContent {
		return [32]byte{}
	}
	varying := emptied(room.varying)
	joined := false
	for i := range t {
		switch kind := t[i].kind; {
		case kind == partLiteral || kind == partTimestamp:
			joined = false
		case joined:
			last := len(varying) - 1
			varying[last] = slices.Concat(varying[last], parts[i])
		default:
			varying = append(varying, parts[i])
			joined = true
		}
	}
	room.varying = varying
	return contentOf(formSigned, varying...)
}
