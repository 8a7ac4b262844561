// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"encoding/hex"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-webhook-inbox/inbox/queue"
	"github.com/caddy-webhook-inbox/inbox/verify/senders"
)

// unreadTimeout bounds how long the answer to a refused request waits for the
// rest of its body.
const unreadTimeout = 200 * time.Millisecond

// refuse counts, logs and answers a refusal.
func (h *Handler) refuse(in *inbox, w http.ResponseWriter, r *http.Request, refused refusal) {
	h.count(in, refused.outcome)
	h.report(r, refused)
	h.answer(w, refused)
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

func (h *Handler) reportReceipt(r *http.Request, rec *received) {
	h.noteID(r, rec.ID)
	level, text := zap.DebugLevel, "webhook accepted"
	switch rec.Outcome {
	case queue.Duplicate:
		// A "redeliver" button pressed at the sender ends here too.
		level, text = zap.InfoLevel, "webhook is a duplicate"
	case queue.Revived:
		level, text = zap.InfoLevel, "webhook accepted in place of a dead letter"
	}
	if ce := h.log.Check(level, text); ce != nil {
		ce.Write(h.receiptFields(rec)...)
	}
}

func (h *Handler) receiptFields(rec *received) []zap.Field {
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
	return fields
}

func truncate(s string, n int) string {
	return s[:min(n, len(s))]
}

// noteID puts the id of a message into the access log, if there is one.
func (h *Handler) noteID(r *http.Request, id queue.ID) {
	if h.server != nil && h.server.Logs == nil {
		return
	}
	if extra, ok := r.Context().Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields); ok {
		extra.Set(zap.Stringer("webhook_inbox_id", id))
	}
}

// answerHandshake sends a sender what it expects of a test. A browser must not
// take the text that it chose for a page.
func answerHandshake(w http.ResponseWriter, a senders.Answer) {
	if a.ContentType != "" {
		w.Header().Set("Content-Type", a.ContentType)
	}
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(a.Status)
	if len(a.Body) > 0 {
		_, _ = w.Write(a.Body)
	}
}

func (h *Handler) reportHandshake(v *verified) {
	if ce := h.log.Check(zap.DebugLevel, "handshake answered"); ce != nil {
		ce.Write(zap.String("endpoint", h.Endpoint), zap.String("scheme", v.by.scheme))
	}
}
