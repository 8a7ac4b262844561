// SPDX-License-Identifier: Apache-2.0

package queuetest

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// A Sender makes messages for tests, each unlike all others. The ids of one
// Sender's messages are in the order of their making. The zero Sender is ready
// for use, by several goroutines too.
type Sender struct {
	sent atomic.Uint64
}

// Message returns a small message that endpoint receives now.
func (s *Sender) Message(endpoint string) *queue.Message {
	n := s.sent.Add(1)
	now := time.Now().Round(0)
	return &queue.Message{
		ID:         newID(now, n),
		Endpoint:   endpoint,
		ReceivedAt: now,
		Scheme:     "hmac",
		FreshUntil: now.Add(5 * time.Minute),
		Request: queue.Request{
			Method:      http.MethodPost,
			URI:         "/hook",
			OriginalURI: "/in/hook",
			Proto:       "HTTP/1.1",
			Host:        "hooks.example.com",
			Header:      http.Header{"Content-Type": {"application/json"}},
			Body:        fmt.Appendf(nil, `{"number":%d}`, n),
			RemoteAddr:  "192.0.2.1:1234",
			ClientIP:    "192.0.2.1",
		},
	}
}

// Key returns a key for the id that a sender gave a message.
func Key(id string, window time.Duration) queue.Key {
	return queue.Key{Kind: queue.KeyID, Hash: sha256.Sum256([]byte(id)), Window: window}
}

// newID returns a UUIDv7 with the counter where others have random bits.
func newID(now time.Time, n uint64) queue.ID {
	var id queue.ID
	binary.BigEndian.PutUint64(id[:8], uint64(now.UnixMilli())<<16)
	id[6] = 0x70
	binary.BigEndian.PutUint64(id[8:], n)
	id[8] |= 0x80
	return id
}
