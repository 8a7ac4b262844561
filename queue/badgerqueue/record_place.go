// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// located is what every table says of a message, so that it can be erased and
// accounted for without a look at its record.
type located struct {
	record     uint64 // its number in m
	id         queue.ID
	receivedAt time.Time
	size       int64 // that it is accounted with
	body       bodyRef

	// keysUntil is when Badger drops the first of its keys, in seconds since
	// 1970; 0 if it has none. See refresh.go.
	keysUntil int64
}

// waitingRecord is what r and b hold.
type waitingRecord struct {
	located
	nacked  bool          // it was handed back before
	due     uint64        // its due time in w
	delay   time.Duration // that it was given with it
	history queue.History
}

// settledRecord is what x and h hold.
type settledRecord struct {
	located
	history queue.History
	reason  string
	at      time.Time
	until   time.Time // zero: until it is discarded
}

const (
	fieldRecord    = 1
	fieldMessageID = 2
	fieldReceived  = 3
	fieldSize      = 4
	fieldBodyAt    = 5
	fieldChunks    = 6
	fieldKeysUntil = 7
	fieldNacked    = 8
	fieldDue       = 9
	fieldDelay     = 10
	fieldAttempts  = 11
	fieldFailures  = 12
	fieldDelayed   = 13
	fieldLastError = 14
	fieldReason    = 15
	fieldAt        = 16
	fieldUntil     = 17
)

func (e *encoder) located(l *located) {
	e.uint(fieldRecord, l.record)
	e.bytes(fieldMessageID, l.id[:])
	e.time(fieldReceived, l.receivedAt)
	e.int(fieldSize, l.size)
	e.uint(fieldBodyAt, l.body.number)
	e.uint(fieldChunks, l.body.chunks)
	e.int(fieldKeysUntil, l.keysUntil)
}

func (e *encoder) history(h queue.History) {
	e.int(fieldAttempts, int64(h.Attempts))
	e.int(fieldFailures, int64(h.Failures))
	e.int(fieldDelayed, int64(h.Delayed))
	e.text(fieldLastError, h.LastError)
}

func (r *waitingRecord) encode() []byte {
	e := newRecord(96 + len(r.history.LastError))
	e.located(&r.located)
	e.bool(fieldNacked, r.nacked)
	e.uint(fieldDue, r.due)
	e.int(fieldDelay, int64(r.delay))
	e.history(r.history)
	return e
}

func (r *settledRecord) encode() []byte {
	e := newRecord(128 + len(r.history.LastError) + len(r.reason))
	e.located(&r.located)
	e.history(r.history)
	e.text(fieldReason, r.reason)
	e.time(fieldAt, r.at)
	e.time(fieldUntil, r.until)
	return e
}

func decodeWaiting(record []byte) (r waitingRecord, err error) {
	d := readRecord(record)
	for d.next() {
		switch d.tag {
		case fieldNacked:
			r.nacked = d.bool()
		case fieldDue:
			r.due = d.uint()
		case fieldDelay:
			r.delay = time.Duration(d.int())
		default:
			d.located(&r.located)
			d.history(&r.history)
		}
	}
	return r, d.err
}

func decodeSettled(record []byte) (r settledRecord, err error) {
	d := readRecord(record)
	for d.next() {
		switch d.tag {
		case fieldReason:
			r.reason = d.text()
		case fieldAt:
			r.at = d.time()
		case fieldUntil:
			r.until = d.time()
		default:
			d.located(&r.located)
			d.history(&r.history)
		}
	}
	return r, d.err
}

func (d *decoder) located(l *located) {
	switch d.tag {
	case fieldRecord:
		l.record = d.uint()
	case fieldMessageID:
		d.array(l.id[:])
	case fieldReceived:
		l.receivedAt = d.time()
	case fieldSize:
		l.size = d.int()
	case fieldBodyAt:
		l.body.number = d.uint()
	case fieldChunks:
		l.body.chunks = d.uint()
	case fieldKeysUntil:
		l.keysUntil = d.int()
	}
}

func (d *decoder) history(h *queue.History) {
	switch d.tag {
	case fieldAttempts:
		h.Attempts = int(d.int())
	case fieldFailures:
		h.Failures = int(d.int())
	case fieldDelayed:
		h.Delayed = time.Duration(d.int())
	case fieldLastError:
		h.LastError = d.text()
	}
}
