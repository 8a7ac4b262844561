// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// delivered is what an attempt says of its message: in header fields to the
// application, and in placeholders to the delivery route.
type delivered struct {
	message                 *queue.Message
	id, attempt, receivedAt string

	unread bool // the answer: only its status counts

	root *wholeBody // of the request, before the route made anything of it; nil if it is empty

	mu   sync.Mutex
	last read         // what was read of a body to send it whole
	long *guardedBody // that was sent last

	repeats atomic.Int32
}

// errRepeated ends an attempt whose request was repeated before.
var errRepeated = errors.New("the application closed two connections without an answer")

// deliveredKey is the key of what is delivered in the context of a request.
type deliveredKey struct{}

func newDelivered(m *queue.Message, attempt int) *delivered {
	return &delivered{
		message:    m,
		id:         m.ID.String(),
		attempt:    strconv.Itoa(attempt),
		receivedAt: m.ReceivedAt.UTC().Format(time.RFC3339Nano),
	}
}

// placeholder returns the value of a placeholder. It is asked for each, so that
// those that no route asks for cost nothing.
func (d *delivered) placeholder(name string) (any, bool) {
	name, ok := strings.CutPrefix(name, "http.webhook_inbox.")
	if !ok {
		return nil, false
	}
	switch name {
	case "id":
		return d.id, true
	case "endpoint":
		return d.message.Endpoint, true
	case "attempt":
		return d.attempt, true
	case "received_at":
		return d.receivedAt, true
	case "scheme":
		return d.message.Scheme, true
	}
	if path, ok := strings.CutPrefix(name, "json."); ok {
		return lookupJSON(d.message.Request.Body, path), true
	}
	return nil, false
}

// body returns the message's body, to be read from its beginning.
func (d *delivered) body() *wholeBody {
	return newWholeBody(d.message.Request.Body, http.NoBody)
}

// bodyAgain is body for a transport that repeats its request.
func (d *delivered) bodyAgain() (io.ReadCloser, error) {
	if err := d.repeat(); err != nil {
		return nil, err
	}
	return d.body(), nil
}

// repeat lets a transport repeat, once, a request that got no answer in a connection
// that had been used: it may have been closed before the request came. It may also
// have been the message that ended who served the connection, and would end all
// others in the same way.
func (d *delivered) repeat() error {
	if d.repeats.Add(1) > 1 {
		return errRepeated
	}
	return nil
}

// deliveredHeader returns the header of a delivery, with room for what proxies
// add. Handlers may change the values where they are, so these are copies.
func (h *Handler) deliveredHeader(d *delivered) http.Header {
	stored := d.message.Request.Header
	n := len(stored) + ownFields
	for _, values := range stored {
		n += len(values)
	}
	// The values are in one array. Appending to those of a field copies them.
	all := make([]string, 0, n)
	header := make(http.Header, len(stored)+ownFields)
	for name, values := range stored {
		if values == nil {
			header[name] = nil // which tells reverse_proxy to add none
			continue
		}
		begin := len(all)
		all = append(all, values...)
		header[name] = all[begin:len(all):len(all)]
	}
	set := func(name, value string) {
		all = append(all, value)
		header[name] = all[len(all)-1 : len(all) : len(all)]
	}
	set(headerID, d.id)
	set(headerEndpoint, d.message.Endpoint)
	set(headerAttempt, d.attempt)
	set(headerReceivedAt, d.receivedAt)
	set(headerScheme, d.message.Scheme)
	if _, ok := header[headerIdempotent]; !ok {
		set(headerIdempotent, d.id)
	}
	if h.signer != nil {
		signDelivery(h.signer, header, d.message, time.Now())
	}
	return header
}

// ownFields is how many fields a delivery adds: the six above, one for
// [delivered.askForPacked] and, if it is signed, three.
const ownFields = 10

// askForPacked asks for an answer in gzip where the transport would do it just so,
// and then unpack the answer. It is left packed to who was asked for it, and nobody
// reads it.
func (d *delivered) askForPacked(r *http.Request, transport *http.Transport) {
	if d.unread && !transport.DisableCompression && r.Method != http.MethodHead &&
		r.Header.Get("Accept-Encoding") == "" && r.Header.Get("Range") == "" {
		r.Header["Accept-Encoding"] = []string{"gzip"}
	}
}
