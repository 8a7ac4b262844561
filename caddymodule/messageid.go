// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"crypto/rand"
	"sync/atomic"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// messageIDs makes the ids of messages.
type messageIDs struct {
	last atomic.Int64 // the time of the last id, in units of 1/4096 ms
}

// next returns the id of a message that arrives now: a UUIDv7 (RFC 9562, section
// 5.7), whose 12 bits after the version go on with the time, so that the order of
// ids is that of arrival. The other 62 bits are random.
func (ids *messageIDs) next(now time.Time) (id queue.ID) {
	at := now.UnixMilli()<<12 + int64(now.Nanosecond()%1e6)<<12/1e6
	for {
		last := ids.last.Load()
		at = max(at, last+1)
		if ids.last.CompareAndSwap(last, at) {
			break
		}
	}
	_, _ = rand.Read(id[8:]) // never fails
	milli, seq := at>>12, at&0xfff
	for i := range 6 {
		id[i] = byte(milli >> (40 - 8*i))
	}
	id[6] = 0x70 | byte(seq>>8)
	id[7] = byte(seq)
	id[8] = 0x80 | id[8]&0x3f
	return id
}
