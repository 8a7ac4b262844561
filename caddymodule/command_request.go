// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-webhook-inbox/inbox/verify"
	"github.com/caddy-webhook-inbox/inbox/verify/senders"
)

// A testMessage is what send signs, and with what.
type testMessage struct {
	row    senders.Sender
	keys   senders.Keys
	url    *url.URL
	host   string // of the field Host, empty for that of the URL
	id     string
	fields http.Header // those of --header
}

// parseFields reads the fields of --header. Host is none of the header.
func (f sendFlags) parseFields(row senders.Sender) (fields http.Header, host string, err error) {
	fields = make(http.Header)
	for i, field := range f.fields {
		name, value, ok := strings.Cut(field, ":")
		name, value = http.CanonicalHeaderKey(strings.TrimSpace(name)), strings.TrimSpace(value)
		holdsID := func(id senders.ID) bool { return http.CanonicalHeaderKey(id.Header) == name }
		switch {
		case !ok || name == "":
			return nil, "", fmt.Errorf("--header %d is no header field: expected one such as \"X-Event: test\"", i+1)
		case name == "Content-Length" || name == "Transfer-Encoding":
			return nil, "", fmt.Errorf("--header %d: %s follows from the body and cannot be set", i+1, name)
		case slices.ContainsFunc(row.MessageID, holdsID):
			return nil, "", fmt.Errorf("--header %d: %s is the id of the message: set it with --id", i+1, name)
		case name == "Host":
			host = value
		default:
			fields.Add(name, value)
		}
	}
	return fields, host, nil
}

// request returns the request that is to be signed.
func (f sendFlags) request(cmd *cobra.Command, m testMessage) (*verify.Request, error) {
	r := &verify.Request{Method: f.method, URI: m.url.RequestURI(), Header: make(http.Header)}
	hostport := cmp.Or(m.host, m.url.Host)
	r.Lookup = func(name string) (string, bool) {
		value, ok := map[string]string{
			"http.request.method":    r.Method,
			"http.request.scheme":    m.url.Scheme,
			"http.request.host":      (&url.URL{Host: hostport}).Hostname(),
			"http.request.hostport":  hostport,
			"http.request.uri":       r.URI,
			"http.request.uri.path":  m.url.EscapedPath(),
			"http.request.uri.query": m.url.RawQuery,
		}[name]
		return value, ok
	}
	r.Body = testBody(m.row, m.id)
	if f.body != "" {
		var err error
		if r.Body, err = readInput(cmd, "--body", f.body, maxInputFile); err != nil {
			return nil, err
		}
	}
	r.Header.Set("Content-Type", f.contentType)
	r.Header.Set("User-Agent", "caddy-webhook-inbox-send")
	for _, id := range m.row.MessageID {
		if id.Header != "" {
			r.Header.Set(id.Header, m.id)
		}
	}
	maps.Copy(r.Header, m.fields)
	return r, nil
}

// sign signs r. What the scheme writes into the header cannot be said otherwise.
func (f sendFlags) sign(r *verify.Request, m testMessage) error {
	switch err := m.row.Scheme.Sign(m.keys, r, m.id, time.Now().Add(-f.stale)); {
	case errors.Is(err, senders.ErrCannotSign):
		return fmt.Errorf("%s cannot be sent: %w", f.scheme, err)
	case err != nil && f.config != "":
		return fmt.Errorf("--config: %w", err)
	case err != nil:
		return fmt.Errorf("signing as %s: %w", f.scheme, err)
	}
	for _, name := range slices.Sorted(maps.Keys(m.fields)) {
		if !slices.Equal(r.Header[name], m.fields[name]) {
			return fmt.Errorf("--header: %s is set by %s itself", name, f.scheme)
		}
	}
	return nil
}

// carries reports whether the id is a field of r, or a text in its JSON.
func carries(r *verify.Request, id string) bool {
	for _, values := range r.Header {
		if slices.Contains(values, id) {
			return true
		}
	}
	text, err := json.Marshal(id)
	return err == nil && bytes.Contains(r.Body, text)
}
