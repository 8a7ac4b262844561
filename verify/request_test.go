// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"bufio"
	"bytes"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

// A request is one that answers lookups the way a server does.
type request struct {
	*verify.Request
	host string
}

func parseRequest(raw []byte) (request, error) {
	head, body, ok := bytes.Cut(raw, []byte("\n\n"))
	if !ok {
		return request{}, fmt.Errorf("no empty line after the header")
	}
	lines := bufio.NewScanner(bytes.NewReader(head))
	lines.Scan()
	first := strings.Fields(lines.Text())
	if len(first) != 3 {
		return request{}, fmt.Errorf("%q is no request line", lines.Text())
	}
	r := newRequest(first[0], first[1], body)
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), ":")
		if !ok {
			return request{}, fmt.Errorf("%q is no header line", lines.Text())
		}
		r.Header.Add(name, strings.Trim(value, " \t"))
	}
	r.host = r.Header.Get("Host")
	r.Header.Del("Host")
	r.setLookup()
	return r, lines.Err()
}

func newRequest(method, uri string, body []byte) request {
	r := request{&verify.Request{Method: method, URI: uri, Header: http.Header{}, Body: body}, "hooks.example.com"}
	r.setLookup()
	return r
}

func (r *request) setLookup() {
	req, host := r.Request, r.host
	req.Lookup = func(name string) (string, bool) {
		switch name {
		case "http.request.method":
			return req.Method, true
		case "http.request.scheme":
			return "https", true
		case "http.request.hostport":
			return host, true
		case "http.request.uri":
			return req.URI, true
		default:
			return "", false
		}
	}
}

func (r request) clone() request {
	c := request{&verify.Request{Method: r.Method, URI: r.URI, Header: r.Header.Clone(), Body: slices.Clone(r.Body)}, r.host}
	c.setLookup()
	return c
}

func (r request) equal(other request) bool {
	return r.Method == other.Method && r.URI == other.URI && bytes.Equal(r.Body, other.Body) &&
		maps.EqualFunc(r.Header, other.Header, slices.Equal)
}

// flips yields the request once for each bit of a part, with that bit changed.
func (r request) flips(part string) iter.Seq[request] {
	return func(yield func(request) bool) {
		for bit := range uint(8 * len(r.text(part))) {
			if changed, ok := r.flip(part, bit); ok && !yield(changed) {
				return
			}
		}
	}
}

// flip returns the request with one bit of a part changed, if that changes what
// it says. Bits are counted around.
func (r request) flip(part string, bit uint) (request, bool) {
	text := r.text(part)
	if text == "" {
		return r, false
	}
	bit %= uint(8 * len(text))
	flipped := []byte(text)
	flipped[bit/8] ^= 1 << (bit % 8)
	// A digit of hex in the other case is the same digit. (Base64 is padded.)
	hexSignature := (strings.Contains(part, "Signature") || strings.HasSuffix(part, ".signature")) && !strings.HasSuffix(text, "=")
	if hexSignature && strings.EqualFold(string(flipped), text) {
		return r, false
	}
	changed := r.clone()
	switch _, inBody := strings.CutPrefix(part, "json:"); {
	case part == "body":
		changed.Body = flipped
	case part == "method":
		changed.Method = string(flipped)
	case part == "uri":
		changed.URI = string(flipped)
	case inBody:
		changed.Body = bytes.Replace(changed.Body, []byte(text), flipped, 1)
	default:
		changed.Header.Set(part, string(flipped))
	}
	return changed, true
}

// text returns a part of the request: body, method, uri, json: with a path to a
// value that is nowhere else in the body, or a header field.
func (r request) text(part string) string {
	switch path, inBody := strings.CutPrefix(part, "json:"); {
	case part == "body":
		return string(r.Body)
	case part == "method":
		return r.Method
	case part == "uri":
		return r.URI
	case inBody:
		p, err := verify.ParseJSONPath(path)
		if err != nil {
			panic(err)
		}
		text, _ := p.Lookup(r.Body)
		return text
	default:
		return r.Header.Get(part)
	}
}

// Format prints the request in a failure.
func (r request) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "%s %s %v %q", r.Method, r.URI, r.Header, r.Body)
}
