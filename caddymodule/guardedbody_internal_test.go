// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// A long body is sent again if it is all of what is stored, however much of it was
// read before, and not otherwise. Who has not begun to read it can do so afterwards.
func TestLongBodyIsSentAgainOnlyIfItIsStored(t *testing.T) {
	t.Parallel()
	stored := bytes.Repeat([]byte("0123456789"), 10_000)
	end := len(stored) - 1
	for name, c := range map[string]struct {
		route []byte
		again bool
	}{
		"stored":        {stored, true},
		"another":       {bytes.Repeat([]byte("x"), len(stored)), false},
		"ends another":  {append(bytes.Clone(stored[:end]), 'x'), false},
		"shorter":       {stored[:end], false},
		"longer":        {append(bytes.Clone(stored), 'x'), false},
		"without begin": {stored[1:], false},
		"empty":         {nil, false},
	} {
		for _, read := range []int{0, 1, 50_000, len(stored) + 1} {
			d := newDelivered(&queue.Message{Request: queue.Request{Body: stored}}, 1)
			route := &closeNoter{Reader: iotest.HalfReader(bytes.NewReader(c.route))}
			b := d.guard(route)
			_, _ = io.CopyN(io.Discard, b, int64(read))
			_ = b.Close()
			if route.closed {
				t.Fatalf("%s: what the route made is closed while it may be asked for", name)
			}
			again, err := b.again()
			if !c.again {
				if !errors.Is(err, errChanged) {
					t.Errorf("%s, read to %d: %v, want that it is changed", name, read, err)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s, read to %d: %v", name, read, err)
				continue
			}
			next := d.guard(route) // for another upstream
			if next.isStored() {
				b.sent()
			}
			for what, body := range map[string]io.Reader{"again": again, "to another": next} {
				if data, err := io.ReadAll(body); !bytes.Equal(data, stored) || err != nil {
					t.Errorf("%s, read to %d, %s: read %d bytes, %v", name, read, what, len(data), err)
				}
			}
			if !route.closed {
				t.Errorf("%s: what the route made is left open", name)
			}
		}
	}

	b := newDelivered(&queue.Message{Request: queue.Request{Body: stored}}, 1).guard(io.NopCloser(bytes.NewReader(stored)))
	if _, err := b.again(); err != nil {
		t.Fatal(err)
	}
	if data, err := io.ReadAll(b); !bytes.Equal(data, stored) || err != nil {
		t.Errorf("read %d bytes, %v, after it was asked for again", len(data), err)
	}
}

type closeNoter struct {
	io.Reader
	closed bool
}

func (c *closeNoter) Close() error {
	c.closed = true
	return nil
}
