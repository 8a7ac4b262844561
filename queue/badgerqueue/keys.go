// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"encoding/binary"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
	"github.com/caddy-webhook-inbox/inbox/queue/badgerqueue/journal"
)

// The tables of the database. A key is the letter of its table and then, big
// endian, so that keys sort as their numbers do:
//
//	v                                   state: schema, the next numbers, commits
//	n  name…                            the number of an endpoint
//	c  endpoint:4                       its counters and low-water marks
//	o  endpoint:4                       its outage
//	s  segment:4                        how much of the journal's segment is wanted
//	m  segment:4 offset:4               where a blob is that was moved from there
//	r  endpoint:4 seq:8                 fresh: never handed back; in order of arrival
//	b  endpoint:4 seq:8                 retrying: due time, history
//	w  endpoint:4 due:8 seq:8           retrying, by due time; 0 is ready
//	x  endpoint:4 id:16                 dead letter
//	h  endpoint:4 until:8 seq:8         delivered and kept
//	d  endpoint:4 kind:1 hash:20        deduplication key
//
// Endpoints go by a number, so that no text of a sender or a user is in a key
// that is written often. A seq is a message's place in line: r only ever grows
// at its end and is consumed at its head. Due times and untils are milliseconds
// since 1970.
const (
	tableState    = 'v'
	tableNames    = 'n'
	tableCounters = 'c'
	tableOutages  = 'o'
	tableSegments = 's'
	tableMoved    = 'm'
	tableFresh    = 'r'
	tableRetrying = 'b'
	tableDue      = 'w'
	tableDead     = 'x'
	tableKept     = 'h'
	tableKeys     = 'd'
	tableFiller   = 'z' // see reclaim.go
)

// dedupeHashSize is how much of a key's hash is kept.
const dedupeHashSize = 20

type key []byte

func newKey(table byte) key           { return append(make(key, 0, 32), table) }
func (k key) number(n uint32) key     { return binary.BigEndian.AppendUint32(k, n) }
func (k key) seq(s uint64) key        { return binary.BigEndian.AppendUint64(k, s) }
func (k key) bytes(b ...byte) key     { return append(k, b...) }
func (k key) place(p duePlace) key    { return k.seq(p.due).seq(p.seq) }
func lastSeq(k []byte) uint64         { return binary.BigEndian.Uint64(k[len(k)-8:]) }
func endpointOf(k []byte) uint32      { return binary.BigEndian.Uint32(k[1:5]) }
func prefix(table byte, n uint32) key { return newKey(table).number(n) }

func stateKey() key                     { return newKey(tableState) }
func nameKey(name string) key           { return append(newKey(tableNames), name...) }
func countersKey(n uint32) key          { return prefix(tableCounters, n) }
func outageKey(n uint32) key            { return prefix(tableOutages, n) }
func segmentKey(n uint32) key           { return prefix(tableSegments, n) }
func movedKey(p journal.Place) key      { return prefix(tableMoved, p.Segment).number(p.Offset) }
func freshKey(n uint32, seq uint64) key { return prefix(tableFresh, n).seq(seq) }
func retryKey(n uint32, seq uint64) key { return prefix(tableRetrying, n).seq(seq) }
func dueKey(n uint32, p duePlace) key   { return prefix(tableDue, n).place(p) }
func deadKey(n uint32, id queue.ID) key { return prefix(tableDead, n).bytes(id[:]...) }
func keptKey(n uint32, p duePlace) key  { return prefix(tableKept, n).place(p) }

func dedupeKey(n uint32, k queue.Key) key {
	return prefix(tableKeys, n).bytes(byte(k.Kind)).bytes(k.Hash[:dedupeHashSize]...)
}

// duePlace is where a message is in w, or in h.
type duePlace struct {
	due uint64
	seq uint64
}

func (p duePlace) before(q duePlace) bool {
	return p.due < q.due || p.due == q.due && p.seq < q.seq
}

// or returns the one that comes first.
func (p duePlace) or(q duePlace) duePlace {
	if q.before(p) {
		return q
	}
	return p
}

// placeOf reads the place from the end of a key.
func placeOf(k []byte) duePlace {
	return duePlace{binary.BigEndian.Uint64(k[len(k)-16:]), lastSeq(k)}
}

// millis is t in keys. It is never 0, which means ready.
func millis(t time.Time) uint64 { return uint64(max(t.UnixMilli(), 1)) }

func timeOf(millis uint64) time.Time { return time.UnixMilli(int64(millis)) }
