// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// commitTimeout bounds how long a sender waits for its message to be on disk.
const commitTimeout = 10 * time.Second

// ServeHTTP receives a webhook: read, verify, publish, answer. What the sender
// wants to know at once is answered instead of published.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	in, err := h.app.await(r.Context())
	if err != nil {
		h.notOpen(w, r, err)
		return nil
	}
	body := bodyReader{own: in.own.get(h.Endpoint), shared: &in.memory, garbage: &in.garbage, limit: h.MaxBody, timeout: time.Duration(h.ReadTimeout)}
	defer body.release()
	v, refused := h.admit(in, w, r, &body)
	if refused.outcome == accepted && !h.answersAtOnce(in, w, r, v) {
		refused = h.publish(in, w, r, v)
	}
	if refused.outcome != accepted {
		h.refuse(in, w, r, refused)
	}
	return nil
}

// notOpen refuses a request for which there is no inbox yet.
func (h *Handler) notOpen(w http.ResponseWriter, r *http.Request, err error) {
	refused := refusal{outcome: unavailable, cause: err, unread: true}
	h.report(r, refused)
	h.answer(w, refused)
}

// answersAtOnce answers a verified request that is not published, and reports
// whether it is one.
func (h *Handler) answersAtOnce(in *inbox, w http.ResponseWriter, r *http.Request, v *verified) bool {
	passes, err := h.passes(r, v.Body)
	switch {
	case err != nil:
		h.refuse(in, w, r, refusal{outcome: unavailable, cause: fmt.Errorf("matching passthrough: %w", err)})
		return true
	case passes:
		h.passThrough(in, w, r, v)
		return true
	case v.by.handshake == nil:
		return false
	}
	answer, ok := v.by.handshake(&v.Request)
	if ok {
		h.count(in, handshake)
		h.reportHandshake(v)
		answerHandshake(w, answer)
	}
	return ok
}

// stored is what the queue may hold on to of a request, in one allocation.
type stored struct {
	message queue.Message
	keys    [2]queue.Key
}

// publish takes a verified request into the queue and answers it, or says why
// not.
func (h *Handler) publish(in *inbox, w http.ResponseWriter, r *http.Request, v *verified) refusal {
	s := new(stored)
	id, keys, err := v.by.ids.keys(s.keys[:0], &v.claims, &v.Request)
	switch {
	case errors.Is(err, errNoContent):
		return refusal{outcome: unavailable, cause: err}
	case err != nil:
		return refusal{outcome: badRequest, cause: err}
	}
	q := in.queue.Load()
	if q == nil {
		return refusal{outcome: unavailable, cause: errNotOpen}
	}
	m := &s.message
	h.fill(m, in, r, v)
	// A sender that does not wait for the answer may never send it again.
	v.commit = untilMoment{r.Context(), h.deadlines.after(v.at.Add(commitTimeout))}
	receipt, err := (*q).Publish(&v.commit, queue.Publication{Message: m, Keys: keys, MaxSize: h.share()})
	switch {
	case errors.Is(err, queue.ErrFull):
		return refusal{outcome: full, cause: err}
	case err != nil:
		return refusal{outcome: unavailable, cause: err}
	}
	outcome := accepted
	if receipt.Outcome == queue.Duplicate {
		outcome = duplicate
	}
	h.count(in, outcome)
	h.reportReceipt(r, &received{receipt, id, m.Scheme, keys})
	w.WriteHeader(h.Respond)
	return refusal{}
}

// received is a message that was stored, or the one it is a duplicate of.
type received struct {
	queue.Receipt
	senderID string
	scheme   string
	keys     []queue.Key
}

// fill makes m the message that a verified request is.
func (h *Handler) fill(m *queue.Message, in *inbox, r *http.Request, v *verified) {
	m.ID = in.ids.next(v.at)
	m.Endpoint = h.Endpoint
	m.ReceivedAt = v.at
	m.Scheme = v.by.scheme
	if v.by.Timestamp {
		m.FreshUntil = v.claims.Timestamp.Add(v.by.Tolerance)
	}
	fillRequest(&m.Request, r, v.orig.uri, v.Body)
	m.Request.Placeholders = storePlaceholders(r, h.placeholders)
}

// share is the most bytes that the endpoint's messages may take.
func (h *Handler) share() int64 {
	share := h.app.engine.Limit() / 100 * int64(h.MaxShare)
	if h.MaxSize > 0 {
		share = min(share, h.MaxSize)
	}
	return share
}
