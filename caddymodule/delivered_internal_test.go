// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"maps"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

func storedMessage() *queue.Message {
	return &queue.Message{
		ID:         queue.ID{1, 2, 3},
		Endpoint:   "shop",
		ReceivedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Scheme:     "svix",
		Request: queue.Request{
			Header: http.Header{"A": {"1", "2"}, "B": {"3"}, "Empty": {}, "None": nil},
			Body:   []byte(`{"kind":"order"}`),
		},
	}
}

// What handlers do to the header of one attempt, the next one doesn't see, and
// no field sees what is done to another.
func TestHeaderOfAttemptIsItsOwn(t *testing.T) {
	t.Parallel()
	m, untouched := storedMessage(), storedMessage()
	h := new(Handler)
	first := h.deliveredHeader(newDelivered(m, 1))
	want := maps.Clone(first)
	for name := range want {
		want[name] = slices.Clone(want[name])
	}
	for name, values := range first {
		_ = append(values, "appended to "+name)
	}
	if !maps.EqualFunc(first, want, slices.Equal) {
		t.Errorf("after appending to each field it is %q, want %q", first, want)
	}
	for _, values := range first {
		for i := range values {
			values[i] = "replaced"
		}
	}
	delete(first, "B")
	if !maps.EqualFunc(m.Request.Header, untouched.Request.Header, slices.Equal) {
		t.Errorf("the message has %q, want %q", m.Request.Header, untouched.Request.Header)
	}
	if again := h.deliveredHeader(newDelivered(m, 1)); !maps.EqualFunc(again, want, slices.Equal) {
		t.Errorf("the next attempt has %q, want %q", again, want)
	}
}

// A field with no value tells a proxy to leave it out, other than one that is not
// there.
func TestHeaderOfAttemptKeepsFieldsWithoutValue(t *testing.T) {
	t.Parallel()
	header := new(Handler).deliveredHeader(newDelivered(storedMessage(), 1))
	if values, ok := header["None"]; !ok || values != nil {
		t.Errorf("None is %#v, %v", values, ok)
	}
	if values, ok := header["Empty"]; !ok || values == nil || len(values) != 0 {
		t.Errorf("Empty is %#v, %v", values, ok)
	}
	if bare := new(Handler).deliveredHeader(newDelivered(new(queue.Message), 1)); len(bare) != 6 {
		t.Errorf("a message without a header has %q", bare)
	}
}

func TestPlaceholdersOfDelivery(t *testing.T) {
	t.Parallel()
	d := newDelivered(storedMessage(), 3)
	for name, want := range map[string]string{
		"http.webhook_inbox.id":          "01020300-0000-0000-0000-000000000000",
		"http.webhook_inbox.endpoint":    "shop",
		"http.webhook_inbox.attempt":     "3",
		"http.webhook_inbox.received_at": "2026-01-02T03:04:05Z",
		"http.webhook_inbox.scheme":      "svix",
		"http.webhook_inbox.json.kind":   "order",
		"http.webhook_inbox.json.absent": "",
	} {
		if got, ok := d.placeholder(name); got != want || !ok {
			t.Errorf("%s: %v, %v; want %q", name, got, ok, want)
		}
	}
	for _, name := range []string{"http.webhook_inbox.", "http.webhook_inbox.other", "http.webhook_inbox", "http.request.host", ""} {
		if got, ok := d.placeholder(name); ok {
			t.Errorf("%s: %v, which is not one of ours", name, got)
		}
	}
}
