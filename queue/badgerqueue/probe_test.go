// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"fmt"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

func TestAProbeLooksOnlyWhereMessagesCanBe(t *testing.T) {
	t.Parallel()
	q := openTest(t, Options{})
	given := give(t, q, "here", 6)
	must(t, receive(t, q, "here").Lease.Ack(0))
	must(t, receive(t, q, "here").Lease.Nack(time.Hour, queue.History{Attempts: 1}))
	must(t, q.flush(t.Context()))
	l := &q.scheduler.lookUp("here").line
	check := func(fresh, retry span) {
		t.Helper()
		must(t, q.flush(t.Context()))
		q.scheduler.mu.Lock()
		defer q.scheduler.mu.Unlock()
		l.more = false // as after the first look at the disk
		if f, r := l.freshSpan(), l.retrySpan(); f != fresh || r != retry {
			t.Errorf("it looks at %v and %v, want %v and %v", f, r, fresh, retry)
		}
	}
	check(span{3, 6}, span{2, 2})
	for _, want := range []int{5, 4, 3, 2, 1} {
		d, err := q.Probe(t.Context(), "here", queue.Pick{Newest: true}, time.Hour)
		must(t, err)
		if d.Message.ID != given[want].ID {
			t.Fatalf("got %s, want number %d", d.Message.ID, want)
		}
		must(t, d.Lease.Ack(0))
	}
	check(span{}, span{})
}

func TestAProbeFindsWhatIsOnDiskOnly(t *testing.T) {
	t.Parallel()
	for _, newest := range []bool{false, true} {
		t.Run(fmt.Sprint(newest), func(t *testing.T) {
			q := openTest(t, Options{budgets: tight})
			given := give(t, q, "here", 50)
			for range 10 {
				must(t, receive(t, q, "here").Lease.Nack(time.Hour, queue.History{Attempts: 1}))
			}
			q = reopen(t, q)
			for i := range given {
				want := given[i]
				if newest {
					want = given[len(given)-1-i]
				}
				d, err := q.Probe(soon(t), "here", queue.Pick{Newest: newest}, time.Hour)
				must(t, err)
				if d.Message.ID != want.ID {
					t.Fatalf("number %d is %s, want %s", i, d.Message.ID, want.ID)
				}
				must(t, d.Lease.Ack(0))
			}
		})
	}
}
