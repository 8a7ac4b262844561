// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"encoding/binary"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
	"github.com/caddy-webhook-inbox/inbox/queue/badgerqueue/journal"
)

// located is what every table says of a message, so that it can be erased and
// accounted for without a look at its record.
type located struct {
	record     journal.Place   // of the message
	body       []journal.Place // of the parts of its body, if that is not in the record
	id         queue.ID
	receivedAt time.Time
	size       int64 // that it is accounted with

	// keysUntil is when Badger drops the first of its keys, in seconds since
	// 1970; 0 if it has none. See refresh.go.
	keysUntil int64
}

// places are where the blobs of the message are, or were once.
func (l *located) places() []journal.Place {
	return append([]journal.Place{l.record}, l.body...)
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
	e.places(fieldRecord, l.record)
	e.bytes(fieldMessageID, l.id[:])
	e.time(fieldReceived, l.receivedAt)
	e.int(fieldSize, l.size)
	e.places(fieldBodyAt, l.body...)
	e.int(fieldKeysUntil, l.keysUntil)
}

// places writes each place with 12 bytes.
func (e *encoder) places(tag uint64, places ...journal.Place) {
	if len(places) == 0 {
		return
	}
	*e = binary.AppendUvarint(*e, tag)
	*e = binary.AppendUvarint(*e, uint64(len(places)*placeSize))
	for _, p := range places {
		*e = binary.BigEndian.AppendUint32(*e, p.Segment)
		*e = binary.BigEndian.AppendUint32(*e, p.Offset)
		*e = binary.BigEndian.AppendUint32(*e, p.Length)
	}
}

const placeSize = 12

func (d *decoder) places() []journal.Place {
	if len(d.value)%placeSize != 0 {
		d.fail()
		return nil
	}
	places := make([]journal.Place, 0, len(d.value)/placeSize)
	for v := d.value; len(v) > 0; v = v[placeSize:] {
		places = append(places, journal.Place{
			Segment: binary.BigEndian.Uint32(v),
			Offset:  binary.BigEndian.Uint32(v[4:]),
			Length:  binary.BigEndian.Uint32(v[8:]),
		})
	}
	return places
}

func (e *encoder) history(h queue.History) {
	e.int(fieldAttempts, int64(h.Attempts))
	e.int(fieldFailures, int64(h.Failures))
	e.int(fieldDelayed, int64(h.Delayed))
	e.text(fieldLastError, h.LastError)
}

func (r *waitingRecord) encode() []byte { return r.appendTo(newRecord(r.encodedSize())) }

func (r *waitingRecord) encodedSize() int {
	return 96 + placeSize*len(r.body) + len(r.history.LastError)
}

func (r *waitingRecord) appendTo(e encoder) []byte {
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
		if places := d.places(); len(places) == 1 {
			l.record = places[0]
		} else {
			d.fail()
		}
	case fieldMessageID:
		d.array(l.id[:])
	case fieldReceived:
		l.receivedAt = d.time()
	case fieldSize:
		l.size = d.int()
	case fieldBodyAt:
		l.body = d.places()
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
