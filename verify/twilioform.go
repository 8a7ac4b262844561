// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"fmt"
	"mime"
	"net"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxFields is how many fields a form may have. Each costs work.
const maxFields = 1000

// hasForm reports whether the body is a form, by its content type.
func hasForm(r *Request) (bool, error) {
	if len(r.Header["Content-Type"]) == 0 {
		return false, nil
	}
	value, err := single(r.Header, "Content-Type")
	if err != nil {
		return false, err
	}
	mediaType, _, err := mime.ParseMediaType(value)
	if err != nil {
		return false, fmt.Errorf("header Content-Type: %w", ErrMalformed)
	}
	return mediaType == "application/x-www-form-urlencoded", nil
}

// sortedForm returns the names of a form's fields, each with its value after
// it, sorted. A name with several values is there with each of them once.
//
// What parsers of forms do not agree on is malformed, and so is what would be in
// the body and not in what is returned.
func sortedForm(body []byte) ([]byte, error) {
	var fields [][2]string
	for piece := range strings.SplitSeq(string(body), "&") {
		name, value, ok := strings.Cut(piece, "=")
		if !ok || name == "" || strings.Contains(piece, ";") {
			return nil, fmt.Errorf("form: %w", ErrMalformed)
		}
		if len(fields) == maxFields {
			return nil, fmt.Errorf("form has more than %d fields: %w", maxFields, ErrMalformed)
		}
		field := [2]string{name, value}
		for i, text := range field {
			var err error
			if field[i], err = url.QueryUnescape(text); err != nil || !utf8.ValidString(field[i]) {
				return nil, fmt.Errorf("form: %w", ErrMalformed)
			}
		}
		fields = append(fields, field)
	}
	slices.SortFunc(fields, func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
	var sorted []byte
	for _, field := range slices.Compact(fields) {
		sorted = append(sorted, field[0]...)
		sorted = append(sorted, field[1]...)
	}
	return sorted, nil
}

// singleQuery returns the value of a name in the query of a request target,
// where it must be exactly once and not empty.
func singleQuery(target, name string) (string, error) {
	_, query, _ := strings.Cut(target, "?")
	var found []string
	for piece := range strings.SplitSeq(query, "&") {
		key, value, _ := strings.Cut(piece, "=")
		if unescaped, err := url.QueryUnescape(key); err == nil && unescaped == name {
			found = append(found, value)
		}
	}
	switch {
	case len(found) > 1:
		return "", fmt.Errorf("%s in the URL given %d times: %w", name, len(found), ErrMalformed)
	case len(found) == 0 || found[0] == "":
		return "", fmt.Errorf("%s in the URL: %w", name, ErrMissing)
	default:
		return found[0], nil
	}
}

// addQuery adds a name and a value to a request target. Neither needs escaping.
func addQuery(target, name, value string) string {
	separator := "?"
	if strings.Contains(target, "?") {
		separator = "&"
	}
	return target + separator + name + "=" + value
}

// twilioURLs returns the spellings of a URL of which Twilio signs one, as its
// own libraries try them: without a port and with the one that is there, or
// else the scheme's; and with each "'" in the query as it came, plain, and as %27.
func twilioURLs(received string) []string {
	scheme, rest, _ := strings.Cut(received, "://")
	host, target := rest, ""
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		host, target = rest[:i], rest[i:]
	}
	bare, port, err := net.SplitHostPort(host)
	switch {
	case err != nil:
		bare, port = host, map[string]string{"https": "443", "http": "80"}[scheme]
	case strings.Contains(bare, ":"):
		bare = "[" + bare + "]"
	}
	path, query, hasQuery := strings.Cut(target, "?")
	var urls []string
	for _, host := range []string{bare, bare + ":" + port} {
		url := scheme + "://" + host + path
		if !hasQuery {
			urls = append(urls, url)
			continue
		}
		url += "?"
		urls = append(urls, url+query)
		if plain := strings.ReplaceAll(query, "%27", "'"); plain != query {
			urls = append(urls, url+plain)
		}
		if escaped := strings.ReplaceAll(query, "'", "%27"); escaped != query {
			urls = append(urls, url+escaped)
		}
	}
	return urls
}
