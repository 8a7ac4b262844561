// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// A record is a value in the database: a byte for the version of its format,
// then fields. A field is a tag, the length of what follows, and that; the first
// two are varints. Fields that are zero are left out. Fields of unknown tags are
// skipped, so a field can be added without a new version; a record of a newer
// version is refused.

// recordVersion is the version of the records that are written.
const recordVersion = 1

var (
	errMalformed   = errors.New("malformed record")
	errNewerRecord = errors.New("record of a newer version")
)

// An encoder appends the fields of a record.
type encoder []byte

func newRecord(size int) encoder { return append(make(encoder, 0, size), recordVersion) }

func (e *encoder) bytes(tag uint64, b []byte) {
	if len(b) == 0 {
		return
	}
	*e = binary.AppendUvarint(*e, tag)
	*e = binary.AppendUvarint(*e, uint64(len(b)))
	*e = append(*e, b...)
}

// begin begins a field of so many bytes, whose fields are to follow.
func (e *encoder) begin(tag uint64, size int) {
	*e = binary.AppendUvarint(*e, tag)
	*e = binary.AppendUvarint(*e, uint64(size))
}

// textSize is how many bytes textAlways writes for a tag below 128.
func textSize(s string) int {
	size := 2 + len(s)
	for n := len(s) >> 7; n > 0; n >>= 7 {
		size++
	}
	return size
}

func (e *encoder) text(tag uint64, s string) {
	if s != "" {
		e.textAlways(tag, s)
	}
}

func (e *encoder) textAlways(tag uint64, s string) {
	*e = binary.AppendUvarint(*e, tag)
	*e = binary.AppendUvarint(*e, uint64(len(s)))
	*e = append(*e, s...)
}

func (e *encoder) uint(tag, v uint64) {
	if v != 0 {
		e.uintAlways(tag, v)
	}
}

func (e *encoder) uintAlways(tag, v uint64) {
	var b [binary.MaxVarintLen64]byte
	e.bytes(tag, b[:binary.PutUvarint(b[:], v)])
}

func (e *encoder) int(tag uint64, v int64) {
	if v == 0 {
		return
	}
	var b [binary.MaxVarintLen64]byte
	e.bytes(tag, b[:binary.PutVarint(b[:], v)])
}

func (e *encoder) bool(tag uint64, v bool) {
	if v {
		e.uint(tag, 1)
	}
}

// time keeps seconds and nanoseconds apart, so that every time.Time fits.
func (e *encoder) time(tag uint64, t time.Time) {
	if t.IsZero() {
		return
	}
	var b [2 * binary.MaxVarintLen64]byte
	n := binary.PutVarint(b[:], t.Unix())
	n += binary.PutUvarint(b[n:], uint64(t.Nanosecond()))
	e.bytes(tag, b[:n])
}

// A decoder reads the fields of a record one by one:
//
//	for d.next() {
//		switch d.tag {
//		case 1:
//			x = d.uint()
//		}
//	}
//	return d.err
//
// Its slices share the memory of the record.
type decoder struct {
	tag   uint64
	value []byte
	err   error

	rest []byte
}

func readRecord(record []byte) *decoder {
	if len(record) == 0 {
		return &decoder{err: fmt.Errorf("empty: %w", errMalformed)}
	}
	if v := record[0]; v > recordVersion {
		return &decoder{err: fmt.Errorf("version %d: %w", v, errNewerRecord)}
	}
	return readFields(record[1:])
}

// readFields reads fields that are the value of another.
func readFields(fields []byte) *decoder { return &decoder{rest: fields} }

func (d *decoder) next() bool {
	if d.err != nil || len(d.rest) == 0 {
		return false
	}
	tag, n := binary.Uvarint(d.rest)
	if n <= 0 {
		return d.fail()
	}
	size, m := binary.Uvarint(d.rest[n:])
	if m <= 0 || size > uint64(len(d.rest)-n-m) {
		return d.fail()
	}
	begin := n + m
	d.tag = tag
	d.value = d.rest[begin : begin+int(size) : begin+int(size)]
	d.rest = d.rest[begin+int(size):]
	return true
}

func (d *decoder) fail() bool {
	if d.err == nil {
		d.err = fmt.Errorf("field %d: %w", d.tag, errMalformed)
	}
	return false
}

func (d *decoder) text() string { return string(d.value) }

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.value)
	if n <= 0 || n != len(d.value) {
		d.fail()
		return 0
	}
	return v
}

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.value)
	if n <= 0 || n != len(d.value) {
		d.fail()
		return 0
	}
	return v
}

func (d *decoder) bool() bool { return d.uint() != 0 }

func (d *decoder) time() time.Time {
	sec, n := binary.Varint(d.value)
	if n <= 0 {
		d.fail()
		return time.Time{}
	}
	nsec, m := binary.Uvarint(d.value[n:])
	if m <= 0 || n+m != len(d.value) || nsec >= 1e9 {
		d.fail()
		return time.Time{}
	}
	return time.Unix(sec, int64(nsec))
}

// array reads a value of exactly the size of dst.
func (d *decoder) array(dst []byte) {
	if len(d.value) != len(dst) {
		d.fail()
		return
	}
	copy(dst, d.value)
}
