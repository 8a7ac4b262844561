// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// A publicURL is what comes before the request target in the URL that a sender
// was given: scheme, host, port if there is one, and a path if a proxy before
// the server cuts it off. Empty, it is what the server sees.
type publicURL string

func parsePublicURL(text string) (publicURL, error) {
	if text == "" {
		return "", nil
	}
	u, err := url.Parse(text)
	// Without quoting it: with the two swapped, it is a secret.
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" ||
		u.User != nil || strings.ContainsAny(text, "?# ") {
		return "", errors.New("public URL: expected scheme and host, such as https://hooks.example.com")
	}
	return publicURL(strings.TrimRight(text, "/")), nil
}

// of returns the URL that r was sent to, with the request target as received.
func (u publicURL) of(r *Request) (string, error) {
	if !strings.HasPrefix(r.URI, "/") {
		return "", fmt.Errorf("request target is no path: %w", ErrMalformed)
	}
	if u != "" {
		return string(u) + r.URI, nil
	}
	scheme, err := lookup(r, "http.request.scheme")
	if err != nil {
		return "", err
	}
	host, err := lookup(r, "http.request.hostport")
	if err != nil {
		return "", err
	}
	return scheme + "://" + host + r.URI, nil
}

// lookup returns the value of a placeholder, which is never empty.
func lookup(r *Request, name string) (string, error) {
	if r.Lookup != nil {
		if value, ok := r.Lookup(name); ok && value != "" {
			return value, nil
		}
	}
	return "", fmt.Errorf("{%s}: %w", name, ErrMissing)
}

// inURI reports whether a placeholder is the request target or a piece of it.
func inURI(name string) bool {
	return name == "http.request.uri" || strings.HasPrefix(name, "http.request.uri.")
}
