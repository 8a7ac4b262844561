// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"maps"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-webhook-inbox/inbox/queue"
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

// fillRequest makes stored what is stored of a request. The body is taken over.
func fillRequest(stored *queue.Request, r *http.Request, originalURI string, body []byte) {
	vars, _ := r.Context().Value(caddyhttp.VarsCtxKey).(map[string]any)
	stored.Method = r.Method
	stored.URI = r.URL.RequestURI()
	stored.OriginalURI = originalURI
	stored.Proto = r.Proto
	stored.Host = r.Host
	stored.Header = storedHeader(r.Header)
	stored.Body = body
	stored.RemoteAddr = r.RemoteAddr
	stored.ClientIP, _ = vars[caddyhttp.ClientIPVarKey].(string)
	stored.TrustedProxy, _ = vars[caddyhttp.TrustedProxyVarKey].(bool)
	if r.TLS != nil {
		stored.TLS = &queue.TLS{
			Version:            r.TLS.Version,
			CipherSuite:        r.TLS.CipherSuite,
			ServerName:         r.TLS.ServerName,
			NegotiatedProtocol: r.TLS.NegotiatedProtocol,
		}
	}
}

func clientIP(r *http.Request) string {
	ip, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	return ip
}

// notStored reports whether a header field concerns the sender's connection.
func notStored(name string) bool {
	switch name {
	case "Alt-Svc", "Connection", "Early-Data", "Expect", "Incremental", "Keep-Alive",
		"Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection",
		"Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return true
	default:
		return false
	}
}

// storedHeader returns the fields of a request that its delivery has too. The
// values are shared, because nobody changes those of a request that is being
// handled. The map is not: handlers around this one may, when it has returned,
// while the message is being delivered.
func storedHeader(h http.Header) http.Header {
	stored := maps.Clone(h) // which is faster than to copy those that are stored
	if stored == nil {
		return make(http.Header)
	}
	for name := range h {
		if notStored(name) || isOurs(name) {
			delete(stored, name)
		}
	}
	for _, value := range h["Connection"] {
		for name := range strings.SplitSeq(value, ",") {
			delete(stored, textproto.CanonicalMIMEHeaderKey(textproto.TrimString(name)))
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

// lookupPlaceholder returns the value of a placeholder of the original request.
// A header field or a query parameter has one only if it is there once.
func lookupPlaceholder(r *http.Request, orig *original, server *caddyhttp.Server, name string) (string, bool) {
	if field, ok := strings.CutPrefix(name, "http.request.header."); ok {
		return only(r.Header[textproto.CanonicalMIMEHeaderKey(field)])
	}
	if param, ok := strings.CutPrefix(name, "http.request.uri.query."); ok {
		query, err := url.ParseQuery(orig.url.RawQuery)
		if err != nil {
			return "", false
		}
		return only(query[param])
	}

	// Caddy knows few placeholders of the original request, so this asks for the
	// current ones of a request that is like the original.
	like := r.WithContext(r.Context())
	like.Method, like.URL, like.RequestURI = orig.method, orig.url, orig.uri
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
		text = orig.uri // as it was written
	}
	return text, ok && (text != "" || strings.HasPrefix(name, "http.request.uri") || strings.HasPrefix(name, "http.request.orig_uri"))
}

func only(values []string) (string, bool) {
	if len(values) != 1 {
		return "", false
	}
	return values[0], true
}
