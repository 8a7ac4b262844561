// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-webhook-inbox/inbox/queue"
	"github.com/caddy-webhook-inbox/inbox/verify"
)

// verified is a request that is verified, or about to be, as its sender wrote it
// and whatever earlier handlers did to its URI.
type verified struct {
	verify.Request
	orig   original
	by     *namedVerifier // that accepted it
	claims verify.Claims
	at     time.Time // when its body was there
	commit untilMoment
}

// original is what Caddy keeps of a request before handlers change it.
type original struct {
	method string
	uri    string // the request target
	url    *url.URL
}

// admit reads a request and verifies it, or says why not.
func (h *Handler) admit(in *inbox, w http.ResponseWriter, r *http.Request, body *bodyReader) (*verified, refusal) {
	orig := originalOf(r)
	if refused := h.precheck(in, r, &orig); refused.outcome != accepted {
		refused.unread = true
		return nil, refused
	}

	// What can be refused without the body is, so that it is never read.
	v := h.newVerified(r, orig)
	begun := time.Now()
	if err := h.checkHeaders(&v.Request, begun); err != nil {
		refused := unauthorized(err)
		refused.unread = true
		return nil, refused
	}
	var err error
	if v.Body, err = body.read(w, r, begun); err != nil {
		return nil, bodyRefusal(err)
	}
	v.at = time.Now()
	if err := h.verify(v); err != nil {
		return nil, unauthorized(err)
	}
	return v, refusal{}
}

func originalOf(r *http.Request) original {
	orig, _ := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request)
	return original{orig.Method, orig.RequestURI, orig.URL}
}

// newVerified returns a request that is about to be verified. Its body is not
// read yet.
func (h *Handler) newVerified(r *http.Request, orig original) *verified {
	v := &verified{
		Request: verify.Request{Method: orig.method, URI: orig.uri, Header: r.Header},
		orig:    orig,
	}
	v.Lookup = func(name string) (string, bool) { return lookupPlaceholder(r, &v.orig, h.server, name) }
	return v
}

// precheck refuses what need not be looked at any closer.
func (h *Handler) precheck(in *inbox, r *http.Request, orig *original) refusal {
	switch {
	case r.Method == http.MethodConnect, r.URL.Path == "*", r.URL.Opaque != "":
		return refusal{outcome: badRequest, cause: errTarget}
	case r.TLS != nil && !r.TLS.HandshakeComplete, len(r.Header["Early-Data"]) > 0:
		// Any value of the field counts as 1 (RFC 8470, section 5.1).
		return refusal{outcome: earlyData}
	case in.looped(r):
		return refusal{outcome: looped}
	case r.ContentLength > h.MaxBody:
		return refusal{outcome: tooLarge}
	}
	if r.RequestURI != orig.uri || r.URL.Host != "" {
		if _, err := url.ParseRequestURI(r.URL.RequestURI()); err != nil {
			return refusal{outcome: badRequest, cause: errTarget}
		}
	}
	return refusal{}
}

var errTarget = errors.New("the request target is not a path")

// checkHeaders refuses a request that no scheme can accept, whatever its body.
func (h *Handler) checkHeaders(r *verify.Request, now time.Time) error {
	var refused error
	for i := range h.verifiers {
		c := h.verifiers[i].checker
		if c == nil {
			return nil
		}
		err := c.CheckHeader(r, now)
		if err == nil {
			return nil
		}
		refused = either(refused, err)
	}
	return refused
}

// verify verifies a request by the first scheme that accepts it.
func (h *Handler) verify(v *verified) error {
	var refused error
	for i := range h.verifiers {
		by := &h.verifiers[i]
		v.NoContent = !by.ids.needsContent
		var err error
		if v.claims, err = by.Verifier.Verify(&v.Request, v.at); err == nil {
			v.by = by
			return nil
		}
		refused = either(refused, err)
	}
	return refused
}

// either joins the refusals of several schemes. That of a single one, which most
// are, is left as it is.
func either(refused, err error) error {
	if refused == nil {
		return err
	}
	return errors.Join(refused, err)
}

// unauthorized is the refusal of a request that nobody vouches for. If schemes
// disagree, the reason that came closest to acceptance is the telling one.
func unauthorized(err error) refusal {
	if errors.Is(err, errKeyNotReady) {
		return refusal{outcome: unavailable, cause: err} // nobody can vouch for anything now
	}
	for _, o := range unauthorizedBy {
		if errors.Is(err, o.reason) {
			return refusal{outcome: o.outcome, cause: err}
		}
	}
	return refusal{outcome: malformed, cause: err}
}

var unauthorizedBy = [...]struct {
	outcome outcome
	reason  error
}{
	{expired, verify.ErrExpired},
	{mismatch, verify.ErrMismatch},
	{malformed, verify.ErrMalformed},
	{missing, verify.ErrMissing},
}

// looped reports whether the request is a delivery of this process that a route
// sent back. Accepted, it would be a duplicate of itself, and then lost.
func (in *inbox) looped(r *http.Request) bool {
	return slices.ContainsFunc(r.Header[headerID], func(text string) bool {
		id, err := queue.ParseID(text)
		return err == nil && in.delivering.has(id)
	})
}
