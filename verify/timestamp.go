// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"strconv"
	"time"
)

// DefaultTolerance is how far a signed timestamp may be from now, either way,
// unless the configuration says otherwise. It is that of the Standard Webhooks
// specification.
const DefaultTolerance = 5 * time.Minute

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
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > limit || strconv.FormatInt(n, 10) != text {
		return 0, false
	}
	return n, true
}
