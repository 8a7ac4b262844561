// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"fmt"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/google/uuid"

	"github.com/caddy-webhook-inbox/inbox/queue"
	"github.com/caddy-webhook-inbox/inbox/verify"
)

// The header fields that a delivery carries. Those of a request are removed,
// so that an application can trust them.
const (
	headerPrefix     = "Webhook-Inbox-"
	headerID         = headerPrefix + "Id"
	headerEndpoint   = headerPrefix + "Endpoint"
	headerAttempt    = headerPrefix + "Attempt"
	headerReceivedAt = headerPrefix + "Received-At"
	headerScheme     = headerPrefix + "Scheme"
	headerIdempotent = "Idempotency-Key"
)

// newMessage returns what is stored of a request.
func newMessage(endpoint string, r, orig *http.Request, body []byte, now time.Time) (*queue.Message, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("making a message id: %w", err)
	}
	m := &queue.Message{
		ID:         queue.ID(id),
		Endpoint:   endpoint,
		ReceivedAt: now,
		Request: queue.Request{
			Method:      r.Method,
			URI:         r.URL.RequestURI(),
			OriginalURI: orig.RequestURI,
			Proto:       r.Proto,
			Host:        r.Host,
			Header:      storedHeader(r.Header),
			Body:        body,
			RemoteAddr:  r.RemoteAddr,
			ClientIP:    clientIP(r),
		},
	}
	m.Request.TrustedProxy, _ = caddyhttp.GetVar(r.Context(), caddyhttp.TrustedProxyVarKey).(bool)
	if r.TLS != nil {
		m.Request.TLS = &queue.TLS{
			Version:            r.TLS.Version,
			CipherSuite:        r.TLS.CipherSuite,
			ServerName:         r.TLS.ServerName,
			NegotiatedProtocol: r.TLS.NegotiatedProtocol,
		}
	}
	return m, nil
}

func clientIP(r *http.Request) string {
	ip, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	return ip
}

// notStored are the header fields that concern the sender's connection.
var notStored = map[string]bool{
	"Alt-Svc":             true,
	"Connection":          true,
	"Early-Data":          true,
	"Expect":              true,
	"Incremental":         true,
	"Keep-Alive":          true,
	"Proxy-Authenticate":  true,
	"Proxy-Authorization": true,
	"Proxy-Connection":    true,
	"Te":                  true,
	"Trailer":             true,
	"Transfer-Encoding":   true,
	"Upgrade":             true,
}

// storedHeader returns the fields of a request that its delivery has too. The
// values are shared: nobody changes those of a request that is being handled.
func storedHeader(h http.Header) http.Header {
	var listed map[string]bool
	for _, value := range h["Connection"] {
		for name := range strings.SplitSeq(value, ",") {
			if name = textproto.TrimString(name); name != "" {
				if listed == nil {
					listed = make(map[string]bool)
				}
				listed[textproto.CanonicalMIMEHeaderKey(name)] = true
			}
		}
	}
	stored := make(http.Header, len(h))
	for name, values := range h {
		if !notStored[name] && !listed[name] && !isOurs(name) {
			stored[name] = values
		}
	}
	return stored
}

// isOurs reports whether an application could take the field for one of ours.
func isOurs(name string) bool { return belongsTo(headerPrefix, name) }

// belongsTo reports whether an application could take the name of a field for one
// with the prefix, which is in canonical form: CGI and its descendants read "_"
// and "." as "-".
func belongsTo(prefix, name string) bool {
	if len(name) < len(prefix) || name[0]|0x20 != prefix[0]|0x20 {
		return false
	}
	for i := range len(prefix) {
		c := name[i]
		switch {
		case c == '_' || c == '.':
			c = '-'
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		}
		if want := prefix[i] | 0x20; c != want {
			return false
		}
	}
	return true
}

// newVerifyRequest returns the request as its sender wrote it, whatever earlier
// handlers did to its URI. Its body is not read yet.
func newVerifyRequest(r, orig *http.Request, server *caddyhttp.Server) *verify.Request {
	return &verify.Request{
		Method: orig.Method,
		URI:    orig.RequestURI,
		Header: r.Header,
		Lookup: func(name string) (string, bool) { return lookupPlaceholder(r, orig, server, name) },
	}
}

// lookupPlaceholder returns the value of a placeholder of the original request.
// A header field or a query parameter has one only if it is there once.
func lookupPlaceholder(r, orig *http.Request, server *caddyhttp.Server, name string) (string, bool) {
	if field, ok := strings.CutPrefix(name, "http.request.header."); ok {
		return only(r.Header[textproto.CanonicalMIMEHeaderKey(field)])
	}
	if param, ok := strings.CutPrefix(name, "http.request.uri.query."); ok {
		query, err := url.ParseQuery(orig.URL.RawQuery)
		if err != nil {
			return "", false
		}
		return only(query[param])
	}

	// Caddy knows few placeholders of the original request, so this asks for the
	// current ones of a request that is like the original.
	like := r.WithContext(r.Context())
	like.Method, like.URL, like.RequestURI = orig.Method, orig.URL, orig.RequestURI
	repl := caddy.NewReplacer()
	caddyhttp.PrepareRequest(like, repl, nil, server)
	value, ok := repl.Get(name)
	if !ok {
		if current, has := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); has {
			value, ok = current.Get(name) // set by the configuration, such as vars.*
		}
	}
	text := caddy.ToString(value)
	if name == "http.request.uri" || name == "http.request.orig_uri" {
		text = orig.RequestURI // as it was written
	}
	return text, ok && (text != "" || strings.HasPrefix(name, "http.request.uri") || strings.HasPrefix(name, "http.request.orig_uri"))
}

func only(values []string) (string, bool) {
	if len(values) != 1 {
		return "", false
	}
	return values[0], true
}
