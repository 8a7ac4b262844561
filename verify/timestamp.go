// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// DefaultTolerance is how far a signed timestamp may be from now, either way,
// unless the configuration says otherwise. It is that of the Standard Webhooks
// specification.
const DefaultTolerance = 5 * time.Minute

// Timestamp says where the timestamp is, with exactly one of Header, Key and
// JSON.
type Timestamp struct {
	// Header is the name of a header field.
	Header string `json:"header,omitempty"`

	// Key is a key beside the signature, such as t in t=…,v1=….
	Key string `json:"key,omitempty"`

	// JSON is a [JSONPath] into the body.
	JSON string `json:"json,omitempty"`

	// Unit is s (seconds since 1970, the default), ms or rfc3339.
	Unit string `json:"unit,omitempty"`
}

// A timestampSource says where the timestamp is: in a header, under a key
// beside the signature, or in the body.
type timestampSource struct {
	header, key string
	json        *JSONPath
	unit        string
	tolerance   time.Duration
}

func newTimestamp(config Timestamp, format signatureFormat) (t *timestampSource, err error) {
	t = &timestampSource{key: config.Key, unit: config.Unit}
	if t.unit == "" {
		t.unit = "s"
	}
	if !slices.Contains([]string{"s", "ms", "rfc3339"}, t.unit) {
		return nil, fmt.Errorf("unknown unit %q: expected s, ms or rfc3339", t.unit)
	}
	switch given := [3]bool{config.Header != "", config.Key != "", config.JSON != ""}; given {
	case [3]bool{true, false, false}:
		t.header, err = headerName(config.Header)
		return t, err
	case [3]bool{false, true, false}:
		if format.key == "" {
			return nil, errors.New("key without a key for the signature")
		}
		if t.key == format.key {
			return nil, errors.New("its key is that of the signature")
		}
		return t, format.checkKey(t.key)
	case [3]bool{false, false, true}:
		path, err := ParseJSONPath(config.JSON)
		t.json = &path
		return t, err
	default:
		return nil, errors.New("expected exactly one of header, key and json")
	}
}

// check refuses a text that is no timestamp in the unit.
func (t *timestampSource) check(text string) error {
	if _, ok := parseTimestamp(text, t.unit); !ok {
		return errTimestamp
	}
	return nil
}

// parseTimestamp reads a timestamp in the unit s, ms or rfc3339. Only the
// canonical spelling of a number is one: a signature covers the text, and two
// texts for one time would be two messages for one.
func parseTimestamp(text, unit string) (time.Time, bool) {
	switch unit {
	case "s":
		n, ok := parseDecimal(text, maxSeconds)
		return time.Unix(n, 0).UTC(), ok
	case "ms":
		n, ok := parseDecimal(text, maxSeconds*1000)
		return time.UnixMilli(n).UTC(), ok
	default:
		// UnmarshalText, because time.Parse takes more than RFC 3339 allows.
		var t time.Time
		err := t.UnmarshalText([]byte(text))
		return t.UTC(), err == nil
	}
}

// fresh reports whether signed is at most tolerance away from now. Sub
// saturates, so that no pair of times overflows.
func fresh(signed, now time.Time, tolerance time.Duration) bool {
	return now.Sub(signed).Abs() <= tolerance
}

// maxSeconds is the end of the year 9999, the last that RFC 3339 can say.
// Beyond the range of an int64, time.Time would wrap around.
const maxSeconds = 253402300799

// parseDecimal reads a whole number from 0 to limit without a sign, spaces or
// leading zeros.
func parseDecimal(text string, limit int64) (int64, bool) {
	if text == "" || text[0] < '0' || text[0] > '9' || text[0] == '0' && len(text) > 1 {
		return 0, false
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n > limit {
		return 0, false
	}
	return n, true
}
