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
	defer func(read http.Request) { r.Body = read.Body }(*r)
	for _, set := range h.passthrough {
		r.Body = newWholeBody(body, http.NoBody) // a matcher may have read the last one
		if ok, err := set.MatchWithError(r); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

// passThrough sends a verified request through the delivery route at once, and
// the application's answer to the sender. An error of the route is Caddy's to
// answer, as that of reverse_proxy in the place of the inbox would be.
func (h *Handler) passThrough(in *inbox, w http.ResponseWriter, r *http.Request, v verified) error {
	m, err := h.message(r, v)
	if err != nil {
		h.refuse(in, w, r, refusal{outcome: unavailable, cause: err})
		return nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), time.Duration(h.AttemptTimeout))
	defer cancel()
	rec := caddyhttp.NewResponseRecorder(w, nil, nil)
	d, err := h.newDelivery(ctx, rec, m, 1)
	if err != nil {
		h.refuse(in, w, r, refusal{outcome: unavailable, cause: err})
		return nil
	}
	in.delivering.Store(m.ID, nil)
	defer in.delivering.Delete(m.ID)

	in.metrics.received(h.Endpoint, passedThrough)
	noteID(r, m.ID)
	begun := time.Now()
	err = answered(ctx, rec, h.chain.ServeHTTP(rec, d))
	if ce := h.log.Check(zap.DebugLevel, "webhook passed through"); ce != nil {
		ce.Write(
			zap.String("endpoint", h.Endpoint),
			zap.Stringer("message", m.ID),
			zap.String("scheme", m.Scheme),
			zap.Int("status", rec.Status()),
			zap.Duration("took", time.Since(begun)),
			zap.NamedError("cause", err),
		)
	}
	return err
}

// answered returns the error of a route that returned err. One that answered
// nothing and returned no error would come to an answer of 200.
func answered(ctx context.Context, rec caddyhttp.ResponseRecorder, err error) error {
	nothing := err == nil && rec.Status() < 200
	switch {
	case nothing && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return caddyhttp.Error(http.StatusGatewayTimeout, ctx.Err())
	case nothing && ctx.Err() != nil:
		return nil // the sender is gone
	case errors.Is(err, errNoAnswer) && rec.Status() >= 200:
		return nil // a handler answered, and called the next one
	case nothing, errors.Is(err, errNoAnswer):
		return caddyhttp.Error(http.StatusBadGateway, errNoAnswer)
	default:
		return err
	}
}
