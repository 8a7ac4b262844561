// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// deadLetterView is a dead letter as the API lists it. A sender's URI may hold
// a secret in its query, so only the path is shown.
type deadLetterView struct {
	ID         queue.ID   `json:"id"`
	ReceivedAt time.Time  `json:"received_at"`
	Scheme     string     `json:"scheme"`
	Method     string     `json:"method"`
	Path       string     `json:"path"`
	Damaged    bool       `json:"damaged,omitempty"` // what is empty here cannot be read
	Reason     string     `json:"reason"`
	BuriedAt   time.Time  `json:"buried_at"`
	Until      *time.Time `json:"until,omitempty"`
	Attempts   int        `json:"attempts"`
	Failures   int        `json:"failures"`
	LastError  string     `json:"last_error,omitempty"`
}

// requestView is the whole request of a dead letter, without credentials in its header
// and query.
type requestView struct {
	// Damaged says that the request was damaged on the disk: what is empty here
	// was not, and cannot be read.
	Damaged bool `json:"damaged,omitempty"`

	Method      string      `json:"method"`
	URI         string      `json:"uri"`
	OriginalURI string      `json:"original_uri"`
	Proto       string      `json:"proto"`
	Host        string      `json:"host"`
	RemoteAddr  string      `json:"remote_addr"`
	ClientIP    string      `json:"client_ip"`
	Header      http.Header `json:"header"`

	// Body is base64 in JSON, byte for byte what was received.
	Body []byte `json:"body"`
}

func view(d queue.Settled) deadLetterView {
	path, _, _ := strings.Cut(d.Message.Request.URI, "?")
	v := deadLetterView{
		ID:         d.Message.ID,
		ReceivedAt: d.Message.ReceivedAt,
		Scheme:     d.Message.Scheme,
		Method:     d.Message.Request.Method,
		Path:       path,
		Damaged:    d.Damaged,
		Reason:     d.Reason,
		BuriedAt:   d.At,
		Attempts:   d.History.Attempts,
		Failures:   d.History.Failures,
		LastError:  d.History.LastError,
	}
	if !d.Until.IsZero() {
		v.Until = &d.Until
	}
	return v
}

func listDeadLetters(r adminRequest) (any, error) {
	limit, err := limitOf(r)
	if err != nil {
		return nil, err
	}
	var after queue.ID
	if text := r.URL.Query().Get("after"); text != "" {
		if after, err = queue.ParseID(text); err != nil {
			return nil, badAdminRequest("after: %w", err)
		}
	}
	var page struct {
		DeadLetters []deadLetterView `json:"dead_letters"`
		Next        string           `json:"next,omitempty"` // for after
	}
	page.DeadLetters = []deadLetterView{}
	for d, err := range r.queue.DeadLetters(r.Context(), r.endpoint, after) {
		if err != nil {
			return nil, err
		}
		if len(page.DeadLetters) == limit {
			page.Next = page.DeadLetters[limit-1].ID.String()
			break
		}
		page.DeadLetters = append(page.DeadLetters, view(d))
	}
	return page, nil
}

func (r adminRequest) deadLetter() (queue.Settled, error) {
	id, err := r.id()
	if err != nil {
		return queue.Settled{}, err
	}
	return r.queue.DeadLetter(r.Context(), r.endpoint, id)
}

func (r adminRequest) id() (queue.ID, error) {
	id, err := queue.ParseID(r.PathValue("id"))
	if err != nil {
		return id, badAdminRequest("%w", err)
	}
	return id, nil
}

func showDeadLetter(r adminRequest) (any, error) {
	d, err := r.deadLetter()
	if err != nil {
		return nil, err
	}
	return view(d), nil
}

func showRequest(r adminRequest) (any, error) {
	d, err := r.deadLetter()
	if err != nil {
		return nil, err
	}
	q := d.Message.Request
	return requestView{
		Damaged:     d.Damaged,
		Method:      q.Method,
		URI:         redactedQuery(q.URI),
		OriginalURI: redactedQuery(q.OriginalURI),
		Proto:       q.Proto,
		Host:        q.Host,
		RemoteAddr:  q.RemoteAddr,
		ClientIP:    q.ClientIP,
		Header:      redacted(q.Header, r.app.endpoints[r.endpoint]),
		Body:        q.Body,
	}, nil
}

func redrive(r adminRequest) (any, error) {
	id, err := r.id()
	if err != nil {
		return nil, err
	}
	if err := r.queue.Redrive(r.Context(), r.endpoint, id); err != nil {
		return nil, err
	}
	return map[string]int{"redriven": 1}, nil
}

func redriveAll(r adminRequest) (any, error) {
	n, err := r.queue.RedriveAll(r.Context(), r.endpoint)
	if err != nil {
		return nil, err
	}
	return map[string]int{"redriven": n}, nil
}

func discard(r adminRequest) (any, error) {
	id, err := r.id()
	if err != nil {
		return nil, err
	}
	if err := r.queue.Discard(r.Context(), r.endpoint, id); err != nil {
		return nil, err
	}
	return map[string]int{"discarded": 1}, nil
}

func discardAll(r adminRequest) (any, error) {
	n, err := r.queue.DiscardAll(r.Context(), r.endpoint)
	if err != nil {
		return nil, err
	}
	return map[string]int{"discarded": n}, nil
}

// redacted returns the header without credentials: what the endpoint's schemes
// read, and what is named like a secret, because the endpoint may not be
// configured any more.
func redacted(header http.Header, h *Handler) http.Header {
	var read []string
	if h != nil {
		for _, v := range h.verifiers {
			read = append(read, v.Headers...)
		}
	}
	shown := make(http.Header, len(header))
	for name, values := range header {
		if !looksSecret(name) && !slices.ContainsFunc(read, func(s string) bool { return strings.EqualFold(s, name) }) {
			shown[name] = values
			continue
		}
		for range values {
			shown[name] = append(shown[name], "REDACTED")
		}
	}
	return shown
}

// redactedQuery returns the URI without what is named like a secret in its query.
// Everything else is as it came.
func redactedQuery(uri string) string {
	path, query, ok := strings.Cut(uri, "?")
	if !ok {
		return uri
	}
	parameters := strings.Split(query, "&")
	for i, parameter := range parameters {
		parameters[i] = redactedParameter(parameter)
	}
	return path + "?" + strings.Join(parameters, "&")
}

// redactedParameter also redacts what an application reads that splits at ";". For
// others that is a part of the value, as all that comes after it.
func redactedParameter(parameter string) string {
	for at := 0; ; {
		piece, _, more := strings.Cut(parameter[at:], ";")
		name, _, ok := strings.Cut(piece, "=")
		plain, err := url.QueryUnescape(name)
		if ok && (err != nil || looksSecret(plain)) {
			return parameter[:at] + name + "=REDACTED"
		}
		if !more {
			return parameter
		}
		at += len(piece) + 1
	}
}

func looksSecret(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc([]string{
		"auth", "code", "cookie", "credential", "hmac", "jwt", "key", "pass", "pwd", "secret", "session", "sig", "token",
	}, func(word string) bool { return strings.Contains(name, word) })
}
