// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"math"
	"math/big"
	"net/http"
	"regexp"
	"testing"
	"time"
)

// Whatever an application writes into Retry-After, it asks for no negative time. A
// number of seconds is that number, or the largest that there is; a date in one of
// the forms of HTTP is the time until then; anything else asks for nothing.
func FuzzRetryAfter(f *testing.F) {
	soon := time.Now().Add(time.Hour).UTC()
	for _, text := range []string{
		"", "0", "1", "120", "000120", "-1", "+1", "1.5", "1e3", "0x10", " 1", "1 ", "1,2", "1h", "soon", "\u0663",
		"2147483647", "2147483648", "9223372036854775808", "99999999999999999999999999",
		soon.Format(http.TimeFormat), soon.Format(time.RFC850), soon.Format(time.ANSIC), soon.Format(time.RFC3339),
		"Sun, 06 Nov 1994 08:49:37 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", "Sat, 01 Jan 0000 00:00:00 GMT", "Thu, 30 Feb 2034 00:00:00 GMT",
	} {
		f.Add(text)
	}
	digits := regexp.MustCompile(`^[0-9]+$`)
	f.Fuzz(func(t *testing.T, text string) {
		asked := func() time.Duration { return (&recorder{after: text}).retryAfter() }
		var least, most time.Duration
		if digits.MatchString(text) {
			n, _ := new(big.Int).SetString(text, 10)
			if largest := big.NewInt(math.MaxInt32); n.Cmp(largest) > 0 {
				n = largest
			}
			least = time.Duration(n.Int64()) * time.Second
			most = least
		}
		date, err := http.ParseTime(text)
		if err == nil {
			most = max(0, time.Until(date))
		}
		got := asked()
		if err == nil {
			least = max(0, time.Until(date))
		}
		if got < least || got > most {
			t.Errorf("%q asks for %v, want %v to %v", text, got, least, most)
		}
	})
}
