// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"net/http"
	"slices"
	"strings"

	"go.uber.org/zap"
)

// warn tells the operator what the configuration allows and what will surprise.
func (h *Handler) warn() {
	for _, p := range h.MessageID {
		h.warnOfDropped(p.Header)
	}
	if h.Dedupe != nil {
		h.warnOfDropped(h.Dedupe.With...)
	}
	for _, v := range h.verifiers {
		if v.scheme == "none" {
			h.log.Warn("requests to this endpoint are not verified: whoever reaches it can put messages into the queue",
				zap.String("endpoint", h.Endpoint))
		}
		if v.sender.Waits && len(h.passthrough) == 0 {
			h.log.Warn("this sender uses what its requests are answered, and an inbox answers nothing: let them through with passthrough",
				zap.String("endpoint", h.Endpoint), zap.String("scheme", v.scheme))
		}
		h.warnOfDropped(v.Headers...)
		if v.inHeader {
			h.warnOfLogged(v.Headers)
		}
		if v.seenURL && h.server != nil && len(h.server.TLSConnPolicies) == 0 {
			h.log.Warn("the sender signs the URL that it was given, and this server has no TLS: unless that very URL is the one that arrives here, set public_url",
				zap.String("endpoint", h.Endpoint), zap.String("scheme", v.scheme))
		}
	}
}

// warnOfDropped tells of header fields that Caddy drops by default.
func (h *Handler) warnOfDropped(headers ...string) {
	for _, name := range headers {
		if strings.ContainsAny(name, "_.") {
			h.log.Warn("Caddy drops header fields with _ or . in their names, unless they are listed in the server's expected_underscore_headers or expected_dot_headers",
				zap.String("endpoint", h.Endpoint), zap.String("header", name))
		}
	}
}

// warnOfLogged tells of header fields that carry a secret into the access log.
func (h *Handler) warnOfLogged(headers []string) {
	if h.server == nil || h.server.Logs == nil {
		return
	}
	for _, name := range headers {
		name = http.CanonicalHeaderKey(name)
		if slices.Contains(redactedByCaddy, name) && !h.server.Logs.ShouldLogCredentials {
			continue
		}
		h.log.Warn("the access log shows this header field, which carries a secret: delete it with a filter",
			zap.String("endpoint", h.Endpoint), zap.String("header", name),
			zap.String("filter", "request>headers>"+name+" delete"))
	}
}

// redactedByCaddy is what its access log does not show by default.
var redactedByCaddy = []string{"Authorization", "Cookie", "Proxy-Authorization", "Set-Cookie"}
