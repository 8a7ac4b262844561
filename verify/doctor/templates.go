// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"strings"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

// Placeholders of the request, under their full names.
const (
	methodPart = "{http.request.method}"
	uriPart    = "{http.request.uri}"
	pathPart   = "{http.request.uri.path}"
	hostPart   = "{http.request.host}"
)

// templates are what senders are known to sign, those that prove the most first.
// Some have {method}, {uri}, {path} and {host} for short.
var templates = expand(
	"{id}.{timestamp}.{body}",
	"{timestamp}.{id}.{body}",
	"{id}:{timestamp}:{body}",
	"{timestamp}:{id}:{body}",
	"{timestamp}{id}{body}",
	"{id}{timestamp}{body}",
	"{timestamp}.{body}.{id}",
	"{method}{url}{body}{timestamp}",
	"{timestamp}{method}{url}{body}",
	"{timestamp}.{url}.{body}",
	"{timestamp}.{method}.{url}.{body}",
	"{url}{timestamp}{body}",
	"{timestamp}{url}{body}",
	"{timestamp}{method}{uri}{body}",
	"{method}{uri}{timestamp}{body}",
	"{timestamp}.{method}.{uri}.{body}",
	"{timestamp}{uri}{body}",
	"{timestamp}\n{method}\n{uri}\n{body}",
	"{method}\n{uri}\n{timestamp}\n{body}",
	"{timestamp}.{body}",
	"{timestamp}:{body}",
	"{timestamp}{body}",
	"v0:{timestamp}:{body}",
	"v1:{timestamp}:{body}",
	"v0.{timestamp}.{body}",
	"v1.{timestamp}.{body}",
	"{timestamp}|{body}",
	"{timestamp}-{body}",
	"{timestamp}_{body}",
	"{timestamp},{body}",
	"{timestamp} {body}",
	"{timestamp};{body}",
	"{timestamp}\n{body}",
	"{body}{timestamp}",
	"{body}.{timestamp}",
	"{body}:{timestamp}",
	"{body}|{timestamp}",
	"{body}\n{timestamp}",
	"t={timestamp}.{body}",
	"{id}.{body}",
	"{id}:{body}",
	"{id}{body}",
	"{id}|{body}",
	"{id}\n{body}",
	"{body}{id}",
	"{body}.{id}",
	"{method}{url}{body}",
	"{url}{method}{body}",
	"{url}{body}",
	"{url}.{body}",
	"{url}:{body}",
	"{url}|{body}",
	"{url}\n{body}",
	"{body}{url}",
	"{body}.{url}",
	"{body}|{url}",
	"{method}{uri}{body}",
	"{uri}{method}{body}",
	"{method}:{uri}:{body}",
	"{method}\n{uri}\n{body}",
	"{method} {uri}\n{body}",
	"{uri}{body}",
	"{uri}.{body}",
	"{body}{uri}",
	"{method}{body}",
	"{body}{method}",
	"{host}{uri}{body}",
	"{body}",
)

// unended are the pieces of templates in which nothing says where the id ends. A
// verifier does not take it for an id there, but for a header field like others.
var unended = []string{"{id}{body}", "{body}{id}", "{id}{timestamp}{body}"}

// bodyless are what senders sign whose signature is in the body: it cannot be
// signed itself.
var bodyless = []string{
	"{timestamp}{id}",
	"{id}{timestamp}",
	"{timestamp}.{id}",
	"{id}.{timestamp}",
	"{timestamp}:{id}",
	"{id}:{timestamp}",
}

// expand writes out the short names. A path without the query is the last choice,
// because it leaves the query unsigned.
func expand(short ...string) (list []string) {
	for _, uri := range []string{uriPart, pathPart} {
		for _, t := range short {
			if uri == pathPart && !strings.Contains(t, "{uri}") {
				continue
			}
			list = append(list, strings.NewReplacer("{method}", methodPart, "{uri}", uri, "{host}", hostPart).Replace(t))
		}
	}
	return list
}

// values fill a template.
type values struct {
	r             *verify.Request
	timestamp, id string
	origin        string // of {url}
}

// parts returns what a template is with these values, and whether the request has
// all that it needs.
func (v values) parts(template string) ([][]byte, bool) {
	var parts [][]byte
	for template != "" {
		literal, rest, found := strings.Cut(template, "{")
		parts = append(parts, []byte(literal))
		if !found {
			break
		}
		placeholder, after, _ := strings.Cut(rest, "}")
		value, ok := v.value(placeholder)
		if !ok {
			return nil, false
		}
		parts = append(parts, value)
		template = after
	}
	return parts, true
}

func (v values) value(placeholder string) ([]byte, bool) {
	switch placeholder {
	case "body":
		return v.r.Body, true
	case "timestamp":
		return []byte(v.timestamp), v.timestamp != ""
	case "id":
		return []byte(v.id), v.id != ""
	case "url":
		return []byte(v.origin + v.r.URI), v.origin != ""
	default:
		value, ok := v.r.Lookup(placeholder)
		return []byte(value), ok
	}
}
