// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"context"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-webhook-inbox/inbox/caddymodule"
	"github.com/caddy-webhook-inbox/inbox/queue"
)

// A sender that goes away while its message is written may never send it again.
// It is written all the same, for ten seconds.
func TestASenderThatGoesAwayDoesNotEndTheCommit(t *testing.T) {
	d := newDesk(t, "verify none\n\t\tdedupe off")
	w := d.newWebhook(make(http.Header), []byte("body"))
	request, leave := context.WithCancel(w.Context())
	w.Request = w.WithContext(request)
	published := false
	begun := time.Now()
	d.queue.publish = func(ctx context.Context, _ queue.Publication) {
		published = true
		leave()
		select {
		case <-ctx.Done():
			t.Error("the commit was given up with its sender")
		default:
		}
		deadline, ok := ctx.Deadline()
		if left := time.Until(deadline); !ok || deadline.Before(begun.Add(10*time.Second)) || left > 10*time.Second+caddymodule.MomentsApart {
			t.Errorf("the commit has %v, and %v since it was received", left, deadline.Sub(begun))
		}
		if ctx.Value(caddy.ReplacerCtxKey) != request.Value(caddy.ReplacerCtxKey) {
			t.Error("an engine does not see what is in the request's context")
		}
	}
	if status := d.receive(w); status != http.StatusAccepted || !published {
		t.Errorf("answered %d", status)
	}
}

// The handlers before the inbox go on with the request when it has answered, while
// the message is being delivered. Neither may see what the other does.
func TestARequestAndItsMessageGoSeparateWays(t *testing.T) {
	d := newDesk(t, "verify none\n\t\tdedupe off")
	var m *queue.Message
	d.queue.publish = func(_ context.Context, p queue.Publication) { m = p.Message }
	h := header("Connection", "close, X-Hop", "X-Hop", "1", "Te", "trailers", "Webhook-Inbox-Id", "forged", "X-Kept", "1", "X-Kept", "2")
	before := h.Clone()
	w := d.newWebhook(h, []byte("first"))
	if status := d.receive(w); status != http.StatusAccepted {
		t.Fatalf("answered %d", status)
	}
	first := m
	for name, values := range before {
		if !slices.Equal(w.Header[name], values) || len(w.Header) != len(before) {
			t.Errorf("the request has %v now, not %v", w.Header, before)
		}
	}
	w.Header.Set("X-Later", "1")
	w.Header.Del("X-Kept")
	d.receive(d.newWebhook(make(http.Header), []byte("later")))
	if got := first.Request; len(got.Header) != 1 || !slices.Equal(got.Header["X-Kept"], []string{"1", "2"}) || string(got.Body) != "first" {
		t.Errorf("the message has become %v %q", got.Header, got.Body)
	}
	if first.ID == m.ID {
		t.Error("two messages have one id")
	}
}
