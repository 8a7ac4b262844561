// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

// A Capture is one request that somebody kept.
type Capture struct {
	// Request is the request, as far as the capture holds it.
	Request *verify.Request

	// Remarks are what the capture has lost or may have changed, in sentences.
	Remarks []string
}

// A draft is a request that is being read, in whatever form it was kept.
type draft struct {
	method  string
	target  string // a URL, or a path with its query
	query   string // if it is not in the target
	header  http.Header
	body    []byte
	remarks []string
}

// ParseCapture reads a request as it is on the wire in HTTP/1, or as JSON in one
// of the forms in which the usual tools export requests: a HAR, or an object with
// a method, a URL, header fields and a body, under any of their usual names.
//
// In the text form, lines may end in LF alone, "> " may stand before each line of
// the header (curl -v), and without a Content-Length the body is all the rest.
// Its errors name the line or the field, and hold nothing of the request.
func ParseCapture(data []byte) (Capture, error) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	trimmed := bytes.TrimLeft(data, " \t\r\n")
	if len(trimmed) == 0 {
		return Capture{}, errors.New("the capture is empty")
	}
	var d draft
	var err error
	if trimmed[0] == '{' || trimmed[0] == '[' {
		d, err = parseJSON(trimmed)
	} else {
		d, err = parseRaw(trimmed)
	}
	if err != nil {
		return Capture{}, err
	}
	return d.capture()
}

// capture makes a request of d.
func (d draft) capture() (Capture, error) {
	if d.method == "" {
		d.method = http.MethodPost
		d.remarks = append(d.remarks, "The capture does not say the method: POST is assumed.")
	}
	origin, uri, err := splitTarget(d.target)
	if err != nil {
		return Capture{}, err
	}
	if d.query != "" && !strings.Contains(uri, "?") {
		uri += "?" + strings.TrimPrefix(d.query, "?")
	}
	if d.header == nil {
		d.header = make(http.Header)
	}
	scheme, hostport := origin.Scheme, origin.Host
	if host := d.header.Get("Host"); hostport == "" {
		hostport = host
	}
	d.header.Del("Host")
	if scheme == "" {
		scheme = "https"
		if strings.EqualFold(d.header.Get("X-Forwarded-Proto"), "http") {
			scheme = "http"
		}
	}
	r := &verify.Request{Method: d.method, URI: uri, Header: d.header, Body: d.body}
	r.Lookup = lookup(r, scheme, hostport)
	return Capture{Request: r, Remarks: d.remarks}, nil
}

// splitTarget separates the scheme and the host of a target from its URI.
func splitTarget(target string) (origin url.URL, uri string, err error) {
	if strings.ContainsFunc(target, func(c rune) bool { return c <= ' ' || c == 0x7f }) {
		return url.URL{}, "", errors.New("the URL of the request holds a space or a control character")
	}
	scheme, rest, ok := strings.Cut(target, "://")
	if !ok || strings.ContainsAny(scheme, "/?") {
		if !strings.HasPrefix(target, "/") {
			target = "/" + target
		}
		return url.URL{}, target, nil
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	uri, _, _ = strings.Cut(rest[end:], "#")
	if !strings.HasPrefix(uri, "/") {
		uri = "/" + uri
	}
	scheme = strings.ToLower(scheme)
	if scheme != "http" && scheme != "https" {
		return url.URL{}, "", errors.New("the URL of the request is neither http nor https")
	}
	return url.URL{Scheme: scheme, Host: rest[:end]}, uri, nil
}

// lookup returns the placeholders of a request that a captured one can have.
func lookup(r *verify.Request, scheme, hostport string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		path, query, _ := strings.Cut(r.URI, "?")
		host := hostport
		if u, err := url.Parse("//" + hostport); err == nil {
			host = u.Hostname()
		}
		value, ok := map[string]string{
			"http.request.method":    r.Method,
			"http.request.scheme":    scheme,
			"http.request.hostport":  hostport,
			"http.request.host":      host,
			"http.request.uri":       r.URI,
			"http.request.uri.path":  path,
			"http.request.uri.query": query,
		}[name]
		return value, ok && (value != "" || !strings.Contains(name, "host"))
	}
}

// isFieldName reports whether a field of the header can have a name.
func isFieldName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~", c)
	})
}

// addHeader adds a field of the header, if name can be the name of one.
func (d *draft) addHeader(name, value string) error {
	if !isFieldName(name) {
		return errors.New("the name of a header field holds something else than letters, digits, - and the like")
	}
	if d.header == nil {
		d.header = make(http.Header)
	}
	d.header.Add(name, strings.Trim(value, " \t\r\n"))
	return nil
}

func (d *draft) remark(format string, args ...any) {
	d.remarks = append(d.remarks, fmt.Sprintf(format, args...))
}
