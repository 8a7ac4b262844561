// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"bytes"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

// altered returns what verifies the request once one thing is changed that is
// often wrong, in the order of how often.
func (d diagnosis) altered() []Finding {
	for _, alterations := range []iter.Seq2[string, diagnosis]{
		d.alteredSecrets, d.singleFields, d.alteredBodies, d.alteredURIs,
	} {
		for why, changed := range alterations {
			if *d.left <= 0 {
				return nil
			}
			findings := changed.findings()
			for i := range findings {
				findings[i].Altered = why
			}
			if len(findings) > 0 {
				return findings
			}
		}
	}
	return nil
}

func (d diagnosis) alteredSecrets(yield func(string, diagnosis) bool) {
	for i, secret := range d.secrets {
		for _, k := range alteredSecrets(i+1, secret) {
			changed := d
			changed.secrets = make([]string, len(d.secrets)) // those without a text are no secrets
			changed.secrets[i] = k.text
			changed.keys = readings(k)
			if !yield(k.altered, changed) {
				return
			}
		}
	}
}

// singleFields leaves one value of a field that is there several times.
func (d diagnosis) singleFields(yield func(string, diagnosis) bool) {
	for _, name := range slices.Sorted(maps.Keys(d.r.Header)) {
		values := d.r.Header[name]
		if len(values) < 2 || len(values) > 8 {
			continue
		}
		for i, value := range values {
			changed := d.with(func(r *verify.Request) {
				r.Header = r.Header.Clone()
				r.Header[name] = []string{value}
			})
			why := fmt.Sprintf("The header field %s is there %d times, of which only number %d is right: an inbox takes none of them. Find out what adds the others on the way, and stop it.", name, len(values), i+1)
			if !yield(why, changed) {
				return
			}
		}
	}
}

func (d diagnosis) alteredBodies(yield func(string, diagnosis) bool) {
	seen := map[string]bool{string(d.r.Body): true}
	for why, body := range bodies(d.r.Body) {
		if seen[string(body)] {
			continue
		}
		seen[string(body)] = true
		if !yield(why, d.with(func(r *verify.Request) { r.Body = body })) {
			return
		}
	}
}

func (d diagnosis) alteredURIs(yield func(string, diagnosis) bool) {
	path, query, hasQuery := strings.Cut(d.r.URI, "?")
	try := func(why, uri string) bool {
		return yield(why, d.with(func(r *verify.Request) { r.URI = uri }))
	}
	suffix := ""
	if hasQuery {
		suffix = "?" + query
	}
	if trimmed := strings.TrimRight(path, "/"); trimmed != path {
		if !try("The sender signed the URL without the / at the end of its path: give it the URL as it arrives here.", trimmed+suffix) {
			return
		}
	} else if !try("The sender signed the URL with a / at the end of its path: give it the URL as it arrives here.", path+"/"+suffix) {
		return
	}
	if hasQuery {
		try("The sender signed the URL without its query: give it a URL that has none.", path)
	}
}

// with returns a diagnosis of a request with one change, of which the placeholders
// know.
func (d diagnosis) with(change func(*verify.Request)) diagnosis {
	r := *d.r
	change(&r)
	original := d.r.Lookup
	scheme, _ := original("http.request.scheme")
	hostport, _ := original("http.request.hostport")
	r.Lookup = lookup(&r, scheme, hostport)
	d.r = &r
	return d
}

// maxRewritten is the size of the largest body that is written anew in other ways.
const maxRewritten = 256 << 10

// bodies returns what the body may have been before something changed it, each
// with a sentence about that.
func bodies(body []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		const newline = "The line breaks of the body were changed on its way: it verifies "
		for _, v := range []struct {
			how  string
			body []byte
		}{
			{"without the one at its end.", bytes.TrimRight(body, "\r\n")},
			{"with LF at its end.", append(slices.Clone(body), '\n')},
			{"with CRLF at its end.", append(slices.Clone(body), "\r\n"...)},
			{"with CRLF in place of LF.", bytes.ReplaceAll(bytes.ReplaceAll(body, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))},
			{"with LF in place of CRLF.", bytes.ReplaceAll(body, []byte("\r\n"), []byte("\n"))},
		} {
			if !yield(newline+v.how+" An inbox needs the exact bytes.", v.body) {
				return
			}
		}
		if len(body) > maxRewritten {
			return
		}
		for how, rewritten := range rewrites(body) {
			if !yield("The body was re-serialised on its way: it verifies "+how+". An inbox needs the exact bytes: capture them before any program parses them.", rewritten) {
				return
			}
		}
	}
}
