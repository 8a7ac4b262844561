// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-webhook-inbox/inbox/queue"
	"github.com/caddy-webhook-inbox/inbox/verify"
)

// commitTimeout bounds how long a sender waits for its message to be on disk.
const commitTimeout = 10 * time.Second

// ServeHTTP receives a webhook: read, verify, publish, answer. What the sender
// wants to know at once is answered instead of published.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	in, err := h.app.await(r.Context())
	if err != nil {
		refused := refusal{outcome: unavailable, cause: err, unread: true}
		h.report(r, refused)
		h.answer(w, refused)
		return nil
	}
	body := bodyReader{own: h.memory, shared: &in.memory, limit: h.MaxBody, timeout: time.Duration(h.ReadTimeout)}
	defer body.release()
	v, refused := h.admit(in, w, r, &body)
	if refused.outcome != accepted {
		h.refuse(in, w, r, refused)
		return nil
	}
	passes, err := h.passes(r, v.Body)
	switch {
	case err != nil:
		h.refuse(in, w, r, refusal{outcome: unavailable, cause: fmt.Errorf("matching passthrough: %w", err)})
		return nil
	case passes:
		h.passThrough(in, w, r, v)
		return nil
	case v.by.handshake != nil:
		if answer, ok := v.by.handshake(v.Request); ok {
			in.metrics.received(h.Endpoint, handshake)
			h.reportHandshake(v)
			answerHandshake(w, answer)
			return nil
		}
	}
	receipt, refused := h.publish(in, r, v)
	if refused.outcome != accepted {
		h.refuse(in, w, r, refused)
		return nil
	}
	outcome := accepted
	if receipt.Outcome == queue.Duplicate {
		outcome = duplicate
	}
	in.metrics.received(h.Endpoint, outcome)
	h.reportReceipt(r, receipt)
	w.WriteHeader(h.Respond)
	return nil
}

// verified is a request that was verified, with its body.
type verified struct {
	*verify.Request
	orig   *http.Request
	by     *namedVerifier
	claims verify.Claims
	at     time.Time
}

// admit reads a request and verifies it, or says why not.
func (h *Handler) admit(in *inbox, w http.ResponseWriter, r *http.Request, body *bodyReader) (verified, refusal) {
	orig, _ := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request)
	if refused := h.precheck(in, r, &orig); refused.outcome != accepted {
		refused.unread = true
		return verified{}, refused
	}

	// What can be refused without the body is, so that it is never read.
	vr := newVerifyRequest(r, &orig, h.server)
	if err := h.checkHeaders(vr); err != nil {
		refused := unauthorized(err)
		refused.unread = true
		return verified{}, refused
	}
	var err error
	if vr.Body, err = body.read(w, r); err != nil {
		return verified{}, bodyRefusal(err)
	}
	now := time.Now()
	i, claims, err := h.verify(vr, now)
	if err != nil {
		return verified{}, unauthorized(err)
	}
	return verified{vr, &orig, &h.verifiers[i], claims, now}, refusal{}
}

// received is a message that was stored, or the one it is a duplicate of.
type received struct {
	queue.Receipt
	senderID string
	scheme   string
	keys     []queue.Key
}

// publish takes a verified request into the queue, or says why not.
func (h *Handler) publish(in *inbox, r *http.Request, v verified) (received, refusal) {
	id, keys, err := v.by.ids.keys(v.claims, v.Request)
	if err != nil {
		return received{}, refusal{outcome: badRequest, cause: err}
	}
	m, err := h.message(r, v)
	if err != nil {
		return received{}, refusal{outcome: unavailable, cause: err}
	}
	q := in.queue.Load()
	if q == nil {
		return received{}, refusal{outcome: unavailable, cause: errNotOpen}
	}
	// A sender that does not wait for the answer may never send it again.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), commitTimeout)
	defer cancel()
	receipt, err := (*q).Publish(ctx, queue.Publication{Message: m, Keys: keys, MaxSize: h.share()})
	switch {
	case errors.Is(err, queue.ErrFull):
		return received{}, refusal{outcome: full, cause: err}
	case err != nil:
		return received{}, refusal{outcome: unavailable, cause: err}
	}
	return received{receipt, id, m.Scheme, keys}, refusal{}
}

// message returns the message that a verified request is.
func (h *Handler) message(r *http.Request, v verified) (*queue.Message, error) {
	m, err := newMessage(h.Endpoint, r, v.orig, v.Body, v.at)
	if err != nil {
		return nil, err
	}
	m.Request.Placeholders = storePlaceholders(r, h.placeholders)
	m.Scheme = v.by.scheme
	if v.by.Timestamp {
		m.FreshUntil = v.claims.Timestamp.Add(v.by.Tolerance)
	}
	return m, nil
}

// precheck refuses what need not be looked at any closer.
func (h *Handler) precheck(in *inbox, r *http.Request, orig *http.Request) refusal {
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
	if r.RequestURI != orig.RequestURI || r.URL.Host != "" {
		if _, err := url.ParseRequestURI(r.URL.RequestURI()); err != nil {
			return refusal{outcome: badRequest, cause: errTarget}
		}
	}
	return refusal{}
}

var errTarget = errors.New("the request target is not a path")

// share is the most bytes that the endpoint's messages may take.
func (h *Handler) share() int64 {
	share := h.app.engine.Limit() / 100 * int64(h.MaxShare)
	if h.MaxSize > 0 {
		share = min(share, h.MaxSize)
	}
	return share
}

// checkHeaders refuses a request that no scheme can accept, whatever its body.
func (h *Handler) checkHeaders(r *verify.Request) error {
	var errs []error
	now := time.Now()
	for i := range h.verifiers {
		c, ok := h.verifiers[i].Verifier.(verify.HeaderChecker)
		if !ok {
			return nil
		}
		err := c.CheckHeader(r, now)
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// verify returns the number of the first scheme that accepts the request, and
// its claims.
func (h *Handler) verify(r *verify.Request, now time.Time) (int, verify.Claims, error) {
	var errs []error
	for i := range h.verifiers {
		claims, err := h.verifiers[i].Verify(r, now)
		if err == nil {
			return i, claims, nil
		}
		errs = append(errs, err)
	}
	return 0, verify.Claims{}, errors.Join(errs...)
}

// unauthorized is the refusal of a request that nobody vouches for. If schemes
// disagree, the reason that came closest to acceptance is the telling one.
func unauthorized(err error) refusal {
	if errors.Is(err, errKeyNotReady) {
		return refusal{outcome: unavailable, cause: err} // nobody can vouch for anything now
	}
	for _, o := range []outcome{expired, mismatch, malformed, missing} {
		if errors.Is(err, verifyErrors[o]) {
			return refusal{outcome: o, cause: err}
		}
	}
	return refusal{outcome: malformed, cause: err}
}

var verifyErrors = map[outcome]error{
	expired:   verify.ErrExpired,
	mismatch:  verify.ErrMismatch,
	malformed: verify.ErrMalformed,
	missing:   verify.ErrMissing,
}

// looped reports whether the request is a delivery of this process that a route
// sent back. Accepted, it would be a duplicate of itself, and then lost.
func (in *inbox) looped(r *http.Request) bool {
	return slices.ContainsFunc(r.Header[headerID], func(text string) bool {
		id, err := queue.ParseID(text)
		if err != nil {
			return false
		}
		_, ok := in.delivering.Load(id)
		return ok
	})
}
