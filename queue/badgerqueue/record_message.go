// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// messageRecord is a blob of the journal: a message as it was published, never
// changed.
type messageRecord struct {
	message *queue.Message
	keys    []queue.Key
	length  uint64 // of the body
	apart   bool   // the body is not in the record, but in blobs of its own
}

const (
	fieldID           = 1
	fieldEndpoint     = 2
	fieldReceivedAt   = 3
	fieldScheme       = 4
	fieldFreshUntil   = 5
	fieldMethod       = 6
	fieldURI          = 7
	fieldOriginalURI  = 8
	fieldProto        = 9
	fieldHost         = 10
	fieldHeader       = 11 // repeated: a name and its values
	fieldRemoteAddr   = 12
	fieldClientIP     = 13
	fieldTrustedProxy = 14
	fieldTLS          = 15
	fieldKey          = 16 // repeated
	fieldLength       = 18
	fieldApart        = 19
	fieldBody         = 21
	fieldPlaceholder  = 22 // repeated: a name and a value
)

// The fields within others.
const (
	fieldName  = 1
	fieldValue = 2 // repeated, also if empty

	fieldVersion    = 1
	fieldSuite      = 2
	fieldServerName = 3
	fieldProtocol   = 4

	fieldKind   = 1
	fieldHash   = 2
	fieldWindow = 3
)

func (r *messageRecord) encode() []byte {
	m, req := r.message, &r.message.Request
	inline := len(req.Body)
	if r.apart {
		inline = 0
	}
	e := newRecord(512 + headerSize(req.Header) + inline)
	e.bytes(fieldID, m.ID[:])
	e.text(fieldEndpoint, m.Endpoint)
	e.time(fieldReceivedAt, m.ReceivedAt)
	e.text(fieldScheme, m.Scheme)
	e.time(fieldFreshUntil, m.FreshUntil)
	e.text(fieldMethod, req.Method)
	e.text(fieldURI, req.URI)
	e.text(fieldOriginalURI, req.OriginalURI)
	e.text(fieldProto, req.Proto)
	e.text(fieldHost, req.Host)
	e.header(req.Header)
	e.text(fieldRemoteAddr, req.RemoteAddr)
	e.text(fieldClientIP, req.ClientIP)
	e.bool(fieldTrustedProxy, req.TrustedProxy)
	e.tls(req.TLS)
	for _, k := range r.keys {
		f := make(encoder, 0, 64)
		f.uint(fieldKind, uint64(k.Kind))
		f.bytes(fieldHash, k.Hash[:])
		f.int(fieldWindow, int64(k.Window))
		e.bytes(fieldKey, f)
	}
	e.uint(fieldLength, r.length)
	e.bool(fieldApart, r.apart)
	if !r.apart {
		e.bytes(fieldBody, req.Body)
	}
	e.placeholders(req.Placeholders)
	return e
}

func headerSize(h http.Header) int {
	size := 0
	for name, values := range h {
		size += len(name) + 16
		for _, v := range values {
			size += len(v) + 8
		}
	}
	return size
}

// header writes names in order, so that equal messages are equal records.
func (e *encoder) header(h http.Header) {
	names := make([]string, 0, 32) // without a look at the heap, mostly
	for name := range h {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		size := textSize(name)
		for _, v := range h[name] {
			size += textSize(v)
		}
		e.begin(fieldHeader, size)
		e.textAlways(fieldName, name)
		for _, v := range h[name] {
			e.textAlways(fieldValue, v)
		}
	}
}

func (e *encoder) placeholders(values map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		var f encoder
		f.textAlways(fieldName, name)
		f.textAlways(fieldValue, values[name])
		e.bytes(fieldPlaceholder, f)
	}
}

func (e *encoder) tls(t *queue.TLS) {
	if t == nil {
		return
	}
	var f encoder
	f.uintAlways(fieldVersion, uint64(t.Version)) // a zero TLS is not no TLS
	f.uint(fieldSuite, uint64(t.CipherSuite))
	f.text(fieldServerName, t.ServerName)
	f.text(fieldProtocol, t.NegotiatedProtocol)
	e.bytes(fieldTLS, f)
}

// decodeMessage reads a record of a message. The body of the message shares its memory.
func decodeMessage(record []byte) (*messageRecord, error) {
	m := new(queue.Message)
	r := &messageRecord{message: m}
	req := &m.Request
	d := readRecord(record)
	for d.next() {
		switch d.tag {
		case fieldID:
			d.array(m.ID[:])
		case fieldEndpoint:
			m.Endpoint = d.text()
		case fieldReceivedAt:
			m.ReceivedAt = d.time()
		case fieldScheme:
			m.Scheme = d.text()
		case fieldFreshUntil:
			m.FreshUntil = d.time()
		case fieldMethod:
			req.Method = d.text()
		case fieldURI:
			req.URI = d.text()
		case fieldOriginalURI:
			req.OriginalURI = d.text()
		case fieldProto:
			req.Proto = d.text()
		case fieldHost:
			req.Host = d.text()
		case fieldHeader:
			d.header(req)
		case fieldRemoteAddr:
			req.RemoteAddr = d.text()
		case fieldClientIP:
			req.ClientIP = d.text()
		case fieldTrustedProxy:
			req.TrustedProxy = d.bool()
		case fieldTLS:
			req.TLS = d.tls()
		case fieldKey:
			r.keys = append(r.keys, d.key())
		case fieldLength:
			r.length = d.uint()
		case fieldApart:
			r.apart = d.bool()
		case fieldBody:
			req.Body = d.value
		case fieldPlaceholder:
			d.placeholder(req)
		}
	}
	return r, d.err
}

func (d *decoder) header(req *queue.Request) {
	var name string
	var values []string
	f := readFields(d.value)
	for f.next() {
		switch f.tag {
		case fieldName:
			name = f.text()
		case fieldValue:
			values = append(values, f.text())
		}
	}
	if f.err != nil {
		d.fail()
		return
	}
	if req.Header == nil {
		req.Header = make(http.Header)
	}
	req.Header[name] = values
}

func (d *decoder) placeholder(req *queue.Request) {
	var name, value string
	f := readFields(d.value)
	for f.next() {
		switch f.tag {
		case fieldName:
			name = f.text()
		case fieldValue:
			value = f.text()
		}
	}
	if f.err != nil {
		d.fail()
		return
	}
	if req.Placeholders == nil {
		req.Placeholders = make(map[string]string)
	}
	req.Placeholders[name] = value
}

func (d *decoder) tls() *queue.TLS {
	t := new(queue.TLS)
	f := readFields(d.value)
	for f.next() {
		switch f.tag {
		case fieldVersion:
			t.Version = uint16(f.uint())
		case fieldSuite:
			t.CipherSuite = uint16(f.uint())
		case fieldServerName:
			t.ServerName = f.text()
		case fieldProtocol:
			t.NegotiatedProtocol = f.text()
		}
	}
	if f.err != nil {
		d.fail()
	}
	return t
}

func (d *decoder) key() queue.Key {
	var k queue.Key
	f := readFields(d.value)
	for f.next() {
		switch f.tag {
		case fieldKind:
			k.Kind = queue.KeyKind(f.uint())
		case fieldHash:
			f.array(k.Hash[:])
		case fieldWindow:
			k.Window = time.Duration(f.int())
		}
	}
	if f.err != nil {
		d.fail()
	}
	return k
}
