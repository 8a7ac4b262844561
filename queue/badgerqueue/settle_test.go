// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

func TestLongErrorsAndReasonsAreCutOff(t *testing.T) {
	t.Parallel()
	q := openTest(t, Options{})
	long := strings.Repeat("é", 4<<20)
	cut := func(what, got string) {
		t.Helper()
		if len(got) > maxText || len(got) < maxText-utf8.UTFMax || !strings.HasPrefix(long, got) || !utf8.ValidString(got) {
			t.Errorf("%s has %d bytes: %.10q…", what, len(got), got)
		}
	}
	long = "x" + long // no character ends where it is cut
	m := give(t, q, "here", 1)[0]
	must(t, receive(t, q, "here").Lease.Nack(0, queue.History{Attempts: 1, LastError: long}))
	d := receive(t, q, "here")
	cut("an error", d.History.LastError)
	must(t, d.Lease.Bury(long, queue.History{LastError: long}, time.Hour))
	dead, err := q.DeadLetter(t.Context(), "here", m.ID)
	must(t, err)
	cut("the reason", dead.Reason)
	cut("the last error", dead.History.LastError)
	must(t, q.SetOutage(t.Context(), "here", &queue.Outage{LastError: long}))
	o, err := q.Outage(t.Context(), "here")
	must(t, err)
	cut("the error of an outage", o.LastError)
	must(t, q.Err())
}

func TestATextThatIsNotUTF8IsCutOffToo(t *testing.T) {
	t.Parallel()
	if got := shortText(strings.Repeat("\x80", 2*maxText)); len(got) > maxText || len(got) < maxText-utf8.UTFMax {
		t.Errorf("%d bytes are left", len(got))
	}
}
