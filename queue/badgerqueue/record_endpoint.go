// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// counters is what c holds: how much there is of an endpoint, and where its
// tables begin. Behind a mark, scans need not step over what was deleted. The
// mark of r is a guard too: what is below it was settled, and is never handed
// out even if it reappears.
type counters struct {
	waiting  int64
	retrying int64
	dead     int64
	kept     int64
	bytes    int64

	fresh uint64   // nothing of r below it waits
	retry uint64   // nor of b
	due   duePlace // nor of w

	// Nothing of h is before it. It is not stored: after a restart, the first
	// who looks raises it.
	keptFrom duePlace
}

func (c *counters) empty() bool { return c.waiting+c.dead+c.kept == 0 }

const (
	fieldWaiting  = 1
	fieldRetrying = 2
	fieldDead     = 3
	fieldKept     = 4
	fieldBytes    = 5
	fieldFreshLow = 6
	fieldRetryLow = 7
	fieldDueLow   = 8
	fieldDueSeq   = 9
)

func (c *counters) encode() []byte {
	e := newRecord(64)
	e.int(fieldWaiting, c.waiting)
	e.int(fieldRetrying, c.retrying)
	e.int(fieldDead, c.dead)
	e.int(fieldKept, c.kept)
	e.int(fieldBytes, c.bytes)
	e.uint(fieldFreshLow, c.fresh)
	e.uint(fieldRetryLow, c.retry)
	e.uint(fieldDueLow, c.due.due)
	e.uint(fieldDueSeq, c.due.seq)
	return e
}

func decodeCounters(record []byte) (c counters, err error) {
	d := readRecord(record)
	for d.next() {
		switch d.tag {
		case fieldWaiting:
			c.waiting = d.int()
		case fieldRetrying:
			c.retrying = d.int()
		case fieldDead:
			c.dead = d.int()
		case fieldKept:
			c.kept = d.int()
		case fieldBytes:
			c.bytes = d.int()
		case fieldFreshLow:
			c.fresh = d.uint()
		case fieldRetryLow:
			c.retry = d.uint()
		case fieldDueLow:
			c.due.due = d.uint()
		case fieldDueSeq:
			c.due.seq = d.uint()
		}
	}
	return c, d.err
}

// state is what v holds.
type state struct {
	schema   uint64
	seq      uint64 // the next place in line, record or body
	endpoint uint32 // the next number of an endpoint
	commits  uint64 // made so far
}

const (
	fieldSchema   = 1
	fieldNextSeq  = 2
	fieldNextName = 3
	fieldCommits  = 4
)

func (s *state) encode() []byte {
	e := newRecord(32)
	e.uint(fieldSchema, s.schema)
	e.uint(fieldNextSeq, s.seq)
	e.uint(fieldNextName, uint64(s.endpoint))
	e.uint(fieldCommits, s.commits)
	return e
}

func decodeState(record []byte) (s state, err error) {
	d := readRecord(record)
	for d.next() {
		switch d.tag {
		case fieldSchema:
			s.schema = d.uint()
		case fieldNextSeq:
			s.seq = d.uint()
		case fieldNextName:
			s.endpoint = uint32(d.uint())
		case fieldCommits:
			s.commits = d.uint()
		}
	}
	return s, d.err
}

// keyRecord is what d holds: the message that has the key.
type keyRecord struct {
	seq    uint64 // its place in line while it waits
	id     queue.ID
	expiry time.Time // of the window
}

const (
	fieldKeySeq    = 1
	fieldKeyID     = 2
	fieldKeyExpiry = 3
)

const keyRecordSize = 48

func (k *keyRecord) encode() []byte { return k.appendTo(newRecord(keyRecordSize)) }

func (k *keyRecord) appendTo(e encoder) []byte {
	e.uint(fieldKeySeq, k.seq)
	e.bytes(fieldKeyID, k.id[:])
	e.time(fieldKeyExpiry, k.expiry)
	return e
}

func decodeKey(record []byte) (k keyRecord, err error) {
	d := readRecord(record)
	for d.next() {
		switch d.tag {
		case fieldKeySeq:
			k.seq = d.uint()
		case fieldKeyID:
			d.array(k.id[:])
		case fieldKeyExpiry:
			k.expiry = d.time()
		}
	}
	return k, d.err
}

const (
	fieldSince     = 1
	fieldProbes    = 2
	fieldNextProbe = 3
	fieldError     = 4
	fieldRoute     = 5
)

func encodeOutage(o *queue.Outage) []byte {
	e := newRecord(64 + len(o.LastError) + len(o.Route))
	e.time(fieldSince, o.Since)
	e.int(fieldProbes, int64(o.Probes))
	e.time(fieldNextProbe, o.NextProbe)
	e.text(fieldError, o.LastError)
	e.text(fieldRoute, o.Route)
	return e
}

func decodeOutage(record []byte) (*queue.Outage, error) {
	o := new(queue.Outage)
	d := readRecord(record)
	for d.next() {
		switch d.tag {
		case fieldSince:
			o.Since = d.time()
		case fieldProbes:
			o.Probes = int(d.int())
		case fieldNextProbe:
			o.NextProbe = d.time()
		case fieldError:
			o.LastError = d.text()
		case fieldRoute:
			o.Route = d.text()
		}
	}
	return o, d.err
}
