// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

var (
	errNoAnswer = errors.New("no handler of the delivery route answered")
	errNoStatus = errors.New("the answer has the status 000")
	errBroken   = errors.New("the answer broke off")
)

// endOfRoute ends a delivery route. Caddy's own end answers nothing and returns
// no error, which would look like a delivery.
var endOfRoute caddyhttp.Handler = caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error {
	return errNoAnswer
})

// deliverer returns what makes one attempt to deliver a message through h's
// route.
func (in *inbox) deliverer(h *Handler) func(context.Context, *queue.Message, int) queue.Result {
	return func(ctx context.Context, m *queue.Message, attempt int) queue.Result {
		in.delivering.add(m.ID)
		in.garbage.collect()
		defer in.garbage.leave(len(m.Request.Body))
		defer in.delivering.remove(m.ID)
		return h.deliver(ctx, m, attempt)
	}
}

// deliver makes one attempt: it runs the route with a request like the one that
// was received, and reports what the application made of it.
func (h *Handler) deliver(ctx context.Context, m *queue.Message, attempt int) (result queue.Result) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	rec := newRecorder(stop)
	r, err := h.newDelivery(ctx, rec, m, attempt)
	if err != nil {
		return queue.Result{Err: err}
	}
	defer func() {
		if p := recover(); p != nil {
			result = panicked(ctx, rec, p)
		}
		if result.Err != nil || rec.full { // somebody may still send
			h.chain.doubt()
		}
	}()
	return rec.result(ctx, h.chain.ServeHTTP(rec, r))
}

// newDelivery builds the request of one attempt. Everything in it that handlers
// change is made anew each time.
func (h *Handler) newDelivery(ctx context.Context, w http.ResponseWriter, m *queue.Message, attempt int) (*http.Request, error) {
	stored := &m.Request
	target, err := url.ParseRequestURI(stored.URI)
	if err != nil {
		return nil, errors.New("reading the stored URI: it does not parse")
	}
	original := target
	if stored.URI != stored.OriginalURI {
		if original, err = url.ParseRequestURI(stored.OriginalURI); err != nil {
			original = target
		}
	}
	major, minor, ok := http.ParseHTTPVersion(stored.Proto)
	if !ok {
		major, minor = 1, 1
	}
	d := newDelivered(m, attempt)
	_, d.unread = w.(*recorder)
	// It never leaves the stack: WithContext copies it.
	bare := http.Request{
		Method:        stored.Method,
		URL:           original,
		RequestURI:    stored.OriginalURI,
		Proto:         stored.Proto,
		ProtoMajor:    major,
		ProtoMinor:    minor,
		Header:        h.deliveredHeader(d),
		Host:          stored.Host,
		RemoteAddr:    stored.RemoteAddr,
		ContentLength: int64(len(stored.Body)),
		Body:          http.NoBody,
	}
	if len(stored.Body) > 0 {
		// With GetBody the transport can repeat a request that reached nobody.
		bare.GetBody = d.bodyAgain
		d.root = d.body()
		bare.Body = d.root
	}
	if t := stored.TLS; t != nil {
		bare.TLS = &tls.ConnectionState{
			HandshakeComplete:  true,
			Version:            t.Version,
			CipherSuite:        t.CipherSuite,
			ServerName:         t.ServerName,
			NegotiatedProtocol: t.NegotiatedProtocol,
		}
	}
	repl := caddy.NewReplacer()
	repl.Map(d.placeholder)

	server := h.server
	if server == nil {
		server = new(caddyhttp.Server) // handlers dereference it
	}
	// The original URI must be there when the request is prepared, which notes
	// it for {orig_uri}, and the one to deliver from then on.
	r := caddyhttp.PrepareRequest(bare.WithContext(context.WithValue(ctx, deliveredKey{}, d)), repl, w, server)
	if original != target {
		r.URL = target
	}
	r.RequestURI = stored.URI
	// The configuration may trust other proxies by now, but the header fields
	// were written to those that it trusted then.
	if clientIP(r) != stored.ClientIP {
		caddyhttp.SetVar(r.Context(), caddyhttp.ClientIPVarKey, stored.ClientIP)
	}
	caddyhttp.SetVar(r.Context(), caddyhttp.TrustedProxyVarKey, stored.TrustedProxy)
	restorePlaceholders(r, repl, stored.Placeholders)
	return r, nil
}

// result reports what a route that returned err came to.
func (rec *recorder) result(ctx context.Context, err error) queue.Result {
	switch {
	case rec.full && rec.status >= 200 && rec.status <= 299:
		// We stopped reading an answer that had said all that counts.
		return queue.Result{Status: rec.status}
	case ctx.Err() != nil:
		// reverse_proxy writes 499 then, and returns no error.
		return queue.Result{Err: context.Cause(ctx)}
	case errors.Is(err, errNoAnswer) && rec.status >= 200:
		// A handler answered, and called the next one.
		return rec.result(ctx, nil)
	case err != nil:
		return rec.failed(err)
	case rec.answered && rec.status == 0:
		return queue.Result{Err: errNoStatus}
	case rec.status == 0, rec.status == http.StatusSwitchingProtocols:
		return queue.Result{Err: errNoAnswer}
	default:
		return queue.Result{Status: rec.status, RetryAfter: rec.retryAfter()}
	}
}

// failed reports what a route that returned an error came to.
func (rec *recorder) failed(err error) queue.Result {
	var handlerErr caddyhttp.HandlerError
	if !errors.As(err, &handlerErr) || handlerErr.Err == nil {
		return queue.Result{Err: unquoted(err)}
	}
	cause := unquoted(handlerErr.Err)
	if cause.Error() == "" { // of the directive error
		// The status is the route's own, not an answer of the application.
		cause = fmt.Errorf("the delivery route ended with the error %d", handlerErr.StatusCode)
	}
	return queue.Result{
		NoConnection: rec.status == 0 && notReached(handlerErr.Err),
		Err:          cause,
	}
}

// unquoted returns err without what there may be in it of an answer: an application may
// send back what it got.
//
// Go quotes what it could not read, but a header field only since one of the versions 1.26.
// The texts of HTTP/3 are without quotes, and the other side may write them.
func unquoted(err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*http3.Error](err); ok && e.Remote {
		return &http3.Error{Remote: true, ErrorCode: e.ErrorCode}
	}
	if e, ok := errors.AsType[*quic.ApplicationError](err); ok && e.Remote {
		return &quic.ApplicationError{Remote: true, ErrorCode: e.ErrorCode}
	}
	if e, ok := errors.AsType[*quic.TransportError](err); ok && e.Remote {
		return &quic.TransportError{Remote: true, ErrorCode: e.ErrorCode}
	}
	text, _, cut := strings.Cut(err.Error(), `"`)
	for _, kind := range []string{"malformed MIME header", "http3: invalid response"} {
		if before, _, ok := strings.Cut(text, kind); ok {
			text, cut = before+kind, true
		}
	}
	if !cut {
		return err
	}
	return errors.New(strings.TrimRight(text, " :=["))
}

// panicked reports what a route that panicked came to. reverse_proxy does when
// the application breaks off its answer, and so does the abort directive; not
// recovered, it would end the process.
func panicked(ctx context.Context, rec *recorder, p any) queue.Result {
	err, ok := p.(error)
	switch {
	case ok && errors.Is(err, http.ErrAbortHandler) && rec.full:
		return rec.result(ctx, nil)
	case ok && errors.Is(err, http.ErrAbortHandler):
		return queue.Result{Err: errBroken}
	default:
		return queue.Result{Err: &queue.PanicError{Value: p, Stack: debug.Stack()}}
	}
}

// notReached reports whether there was no application to talk to: it could not
// be dialed, or all upstreams were known to be down, for which reverse_proxy has
// no error of its own but this text.
func notReached(err error) bool {
	return errors.As(err, new(reverseproxy.DialError)) || err.Error() == "no upstreams available"
}
