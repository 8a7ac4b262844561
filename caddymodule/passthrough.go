// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// unmarshalPassthrough reads
//
//	passthrough <matcher>
func (h *Handler) unmarshalPassthrough(helper httpcaddyfile.Helper) error {
	const expected = "expected: passthrough @name | /path | *"
	set, ok, err := helper.MatcherToken()
	switch {
	case err != nil: // which names the matcher
		return helper.WrapErr(fmt.Errorf("passthrough: %w", err))
	case !ok:
		return helper.Err(expected)
	case helper.NextArg():
		return helper.Errf("unexpected %s; %s", helper.Val(), expected)
	}
	if set == nil { // *
		set = make(caddy.ModuleMap)
	}
	h.PassthroughRaw = append(h.PassthroughRaw, set)
	return nil
}

// loadPassthrough sets up what PassthroughRaw says.
func (h *Handler) loadPassthrough(ctx caddy.Context) error {
	if len(h.PassthroughRaw) == 0 {
		return nil
	}
	for i, set := range h.PassthroughRaw {
		if set == nil {
			return fmt.Errorf("passthrough %d is null: a set of matchers is an object, and {} matches everything", i+1)
		}
	}
	sets, err := ctx.LoadModule(h, "PassthroughRaw")
	if err != nil {
		return fmt.Errorf("setting up passthrough: %w", err)
	}
	return h.passthrough.FromInterface(sets)
}

// passes reports whether a request goes through to the application at once.
func (h *Handler) passes(r *http.Request, body []byte) (bool, error) {
	if len(h.passthrough) == 0 {
		return false, nil
	}
	for _, set := range h.passthrough {
		r.Body = newWholeBody(body, http.NoBody) // a matcher may have read the last one
		if ok, err := set.MatchWithError(r); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

// passThrough sends a verified request through the delivery route at once, and
// the application's answer to the sender.
//
// An error of the route is answered and logged here: Caddy would log it with the
// header fields of the request, and a token among them.
func (h *Handler) passThrough(in *inbox, w http.ResponseWriter, r *http.Request, v *verified) {
	if !in.passing.take(int64(len(v.Body))) {
		h.refuse(in, w, r, refusal{outcome: overloaded, cause: errNoMemoryToPass})
		return
	}
	defer in.passing.give(int64(len(v.Body)))
	m := new(queue.Message)
	h.fill(m, in, r, v)
	ctx, cancel := context.WithTimeout(r.Context(), time.Duration(h.AttemptTimeout))
	defer cancel()
	h.boundAnswer(w)
	rec := caddyhttp.NewResponseRecorder(w, nil, nil)
	d, err := h.newDelivery(ctx, rec, m, 1)
	if err != nil {
		h.refuse(in, w, r, refusal{outcome: unavailable, cause: err})
		return
	}
	in.delivering.add(m.ID)
	defer in.delivering.remove(m.ID)

	h.count(in, passedThrough)
	h.noteID(r, m.ID)
	answeredWell := false
	defer func() { // also if the answer broke off, for which reverse_proxy panics
		if !answeredWell {
			h.chain.doubt()
		}
	}()
	begun := time.Now()
	status, err := answered(ctx, rec, h.chain.ServeHTTP(rec, d))
	answeredWell = err == nil && rec.Status() >= 200 && ctx.Err() == nil // when the sender leaves, reverse_proxy answers 499
	level, text := zap.DebugLevel, "webhook passed through"
	if err != nil {
		level, text = zap.ErrorLevel, "webhook not passed through"
		if rec.Status() < 200 {
			w.WriteHeader(status)
		}
	}
	if ce := h.log.Check(level, text); ce != nil {
		ce.Write(
			zap.String("endpoint", h.Endpoint),
			zap.Stringer("message", m.ID),
			zap.String("scheme", m.Scheme),
			zap.Int("status", status),
			zap.Duration("took", time.Since(begun)),
			zap.NamedError("cause", unquoted(err)),
		)
	}
}

// lateness is how long after its attempt an answer may still be on its way to the sender: the
// 504 begins then, and a packet of it that is lost is sent again after a second (RFC 6298).
const lateness = 2 * time.Second

// boundAnswer bounds how long the sender may take to read its answer. The end of the attempt
// ends what comes from the application, but no write to a sender that reads nothing. The
// server lifts the bound with the end of the request.
func (h *Handler) boundAnswer(w http.ResponseWriter) {
	bound := time.Duration(h.AttemptTimeout) + lateness
	if h.server != nil && h.server.WriteTimeout > 0 { // which this takes the place of
		bound = min(bound, time.Duration(h.server.WriteTimeout))
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(bound)) // each of Caddy's servers can
}

var errNoMemoryToPass = errors.New("the bodies being passed through take half of max_in_flight")

// answered returns the status that the sender is answered, and why it is not the
// application's, after a route that returned err.
func answered(ctx context.Context, rec caddyhttp.ResponseRecorder, err error) (int, error) {
	var handlerErr caddyhttp.HandlerError
	nothing := rec.Status() < 200
	switch {
	case !nothing && (err == nil || errors.Is(err, errNoAnswer)):
		return rec.Status(), nil // maybe a handler answered, and called the next one
	case !nothing:
		return rec.Status(), err
	case errors.As(err, &handlerErr) && handlerErr.Err != nil && handlerErr.StatusCode != 0:
		return handlerErr.StatusCode, handlerErr.Err
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return http.StatusGatewayTimeout, ctx.Err()
	case ctx.Err() != nil:
		return 499, nil // the sender is gone
	case err == nil:
		return http.StatusBadGateway, errNoAnswer
	default:
		return http.StatusBadGateway, err
	}
}
