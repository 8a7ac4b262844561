// SPDX-License-Identifier: Apache-2.0

package senders_test

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

// parseRequest reads a request as testdata has them. Its placeholders are those
// of a server that the sender reaches with https.
func parseRequest(raw []byte) (*verify.Request, error) {
	head, body, ok := bytes.Cut(raw, []byte("\n\n"))
	if !ok {
		return nil, fmt.Errorf("no empty line after the header")
	}
	first, lines, _ := strings.Cut(string(head), "\n")
	words := strings.Fields(first)
	if len(words) != 3 {
		return nil, fmt.Errorf("%q is no request line", first)
	}
	r := newRequest(words[0], "https", "", words[1], body)
	for line := range strings.Lines(lines) {
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return nil, fmt.Errorf("%q is no header line", line)
		}
		r.Header.Add(name, strings.TrimSpace(value))
	}
	host := r.Header.Get("Host")
	r.Header.Del("Host")
	r.Lookup = placeholders(r, "https", host)
	return r, nil
}

func newRequest(method, scheme, host, uri string, body []byte) *verify.Request {
	r := &verify.Request{Method: method, URI: uri, Header: http.Header{}, Body: body}
	r.Lookup = placeholders(r, scheme, host)
	return r
}

func placeholders(r *verify.Request, scheme, host string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		value, ok := map[string]string{
			"http.request.method":   r.Method,
			"http.request.scheme":   scheme,
			"http.request.hostport": host,
			"http.request.uri":      r.URI,
		}[name]
		return value, ok
	}
}

// clone returns a copy with nothing in common with r.
func clone(r *verify.Request) *verify.Request {
	scheme, _ := r.Lookup("http.request.scheme")
	host, _ := r.Lookup("http.request.hostport")
	c := newRequest(r.Method, scheme, host, r.URI, slices.Clone(r.Body))
	c.Header = r.Header.Clone()
	return c
}

// A part of a request is its method, its uri, its body, or a header field.
type part string

func (p part) of(r *verify.Request) string {
	switch p {
	case "method":
		return r.Method
	case "uri":
		return r.URI
	case "body":
		return string(r.Body)
	default:
		return r.Header.Get(string(p))
	}
}

func (p part) set(r *verify.Request, text string) {
	switch p {
	case "method":
		r.Method = text
	case "uri":
		r.URI = text
	case "body":
		r.Body = []byte(text)
	default:
		r.Header.Set(string(p), text)
	}
}

// withByteChanged returns r with one byte of a part changed to another that may
// stand there too: a letter or digit to its neighbor.
func withByteChanged(r *verify.Request, p part, at int) *verify.Request {
	c := clone(r)
	text := []byte(p.of(r))
	text[at] ^= 1
	p.set(c, string(text))
	return c
}

// idOf returns what identifies r, as a row of the table and the claims have it.
func idOf(r *verify.Request, claims verify.Claims, places []id) string {
	if len(places) == 0 {
		return claims.ID
	}
	var parts []string
	for _, place := range places {
		switch {
		case place.Header != "":
			parts = append(parts, strings.Join(r.Header.Values(place.Header), " and "))
		case place.JSON != "":
			path, err := verify.ParseJSONPath(place.JSON)
			if err != nil {
				return err.Error()
			}
			text, err := path.Lookup(r.Body)
			if err != nil {
				return "" // a body without one
			}
			parts = append(parts, text)
		default:
			target, _, _ := strings.Cut(r.URI, "?")
			segments := strings.Split(strings.Trim(target, "/"), "/")
			n := *place.Path
			if n < 0 {
				n += len(segments)
			}
			parts = append(parts, segments[n])
		}
	}
	return strings.Join(parts, ":")
}
