// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"context"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-webhook-inbox/inbox/queue"
	"github.com/caddy-webhook-inbox/inbox/verify"
)

// commitTimeout bounds how long a sender waits for its message to be on disk.
const commitTimeout = 10 * time.Second

// unreadTimeout bounds how long the answer to a refused request waits for the
// rest of its body.
const unreadTimeout = 200 * time.Millisecond

// ServeHTTP receives a webhook: read, verify, publish, answer.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	in, err := h.app.await(r.Context())
	if err != nil {
		refused := refusal{outcome: unavailable, cause: err, unread: true}
		h.report(r, refused)
		h.answer(w, refused)
		return nil
	}
	receipt, refused := h.receive(in, w, r)
	if refused.outcome != accepted {
		in.metrics.received(h.Endpoint, refused.outcome)
		h.report(r, refused)
		h.answer(w, refused)
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

// received is a message that was stored, or the one it is a duplicate of.
type received struct {
	queue.Receipt
	senderID string
	scheme   string
	keys     []queue.Key
}

// receive takes a request into the queue, or says why not.
func (h *Handler) receive(in *inbox, w http.ResponseWriter, r *http.Request) (received, refusal) {
	orig, _ := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request)
	if refused := h.precheck(in, r, &orig); refused.outcome != accepted {
		refused.unread = true
		return received{}, refused
	}

	// What can be refused without the body is, so that it is never read.
	vr := newVerifyRequest(r, &orig, h.server)
	if err := h.checkHeaders(vr); err != nil {
		refused := unauthorized(err)
		refused.unread = true
		return received{}, refused
	}

	body := bodyReader{own: h.memory, shared: &in.memory, limit: h.MaxBody, timeout: time.Duration(h.ReadTimeout)}
	defer body.release()
	var err error
	if vr.Body, err = body.read(w, r); err != nil {
		return received{}, bodyRefusal(err)
	}

	now := time.Now()
	i, claims, err := h.verify(vr, now)
	if err != nil {
		return received{}, unauthorized(err)
	}
	v := &h.verifiers[i]
	id, keys, err := h.ids.keys(i, claims, vr)
	if err != nil {
		return received{}, refusal{outcome: badRequest, cause: err}
	}
	m, err := newMessage(h.Endpoint, r, &orig, vr.Body, now)
	if err != nil {
		return received{}, refusal{outcome: unavailable, cause: err}
	}
	m.Request.Placeholders = storePlaceholders(r, h.placeholders)
	m.Scheme = v.scheme
	if v.Timestamp {
		m.FreshUntil = claims.Timestamp.Add(v.Tolerance)
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
	return received{receipt, id, v.scheme, keys}, refusal{}
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
	for _, v := range h.verifiers {
		c, ok := v.Verifier.(verify.HeaderChecker)
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
	for i, v := range h.verifiers {
		claims, err := v.Verify(r, now)
		if err == nil {
			return i, claims, nil
		}
		errs = append(errs, err)
	}
	return 0, verify.Claims{}, errors.Join(errs...)
}

// answer sends a refusal. The sender is not told why: only its own mistakes
// have a status of their own, and all trouble of ours is one that it retries.
func (h *Handler) answer(w http.ResponseWriter, refused refusal) {
	if refused.unread {
		// The server reads what is left of a small body before it answers. It
		// must not wait for one that doesn't come.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(unreadTimeout))
	}
	status := refused.outcome.status()
	switch status {
	case http.StatusUnauthorized:
		for _, challenge := range h.authenticate {
			w.Header().Add("WWW-Authenticate", challenge)
		}
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", strconv.Itoa(5+rand.IntN(11)))
	}
	w.WriteHeader(status)
}

// report logs a refusal, but not every one of a flood.
func (h *Handler) report(r *http.Request, refused refusal) {
	h.refusals[refused.outcome].Do(func() {
		level := zap.WarnLevel
		if refused.outcome.status() >= 500 {
			level = zap.ErrorLevel // our own trouble
		}
		if ce := h.log.Check(level, "webhook refused"); ce != nil {
			ce.Write(
				zap.String("endpoint", h.Endpoint),
				zap.String("reason", refused.outcome.String()),
				zap.Int("status", refused.outcome.status()),
				zap.NamedError("cause", refused.cause),
				zap.String("remote_ip", clientIP(r)),
			)
		}
	})
}

func (h *Handler) reportReceipt(r *http.Request, rec received) {
	if extra, ok := r.Context().Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields); ok {
		extra.Set(zap.Stringer("webhook_inbox_id", rec.ID))
	}
	level, text := zap.DebugLevel, "webhook accepted"
	switch rec.Outcome {
	case queue.Duplicate:
		// A "redeliver" button pressed at the sender ends here too.
		level, text = zap.InfoLevel, "webhook is a duplicate"
	case queue.Revived:
		level, text = zap.InfoLevel, "webhook accepted in place of a dead letter"
	}
	ce := h.log.Check(level, text)
	if ce == nil {
		return
	}
	fields := []zap.Field{
		zap.String("endpoint", h.Endpoint),
		zap.Stringer("message", rec.ID),
		zap.String("sender_id", truncate(rec.senderID, 128)),
		zap.String("scheme", rec.scheme),
	}
	for _, k := range rec.keys {
		if k.Kind == queue.KeyContent { // with which an operator can forget it
			fields = append(fields, zap.String("content", hex.EncodeToString(k.Hash[:])))
		}
	}
	ce.Write(fields...)
}

func truncate(s string, n int) string {
	return s[:min(n, len(s))]
}

// unauthorized is the refusal of a request that nobody vouches for. If schemes
// disagree, the reason that came closest to acceptance is the telling one.
func unauthorized(err error) refusal {
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
