// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
	"github.com/caddy-webhook-inbox/inbox/queue/queuetest"
)

// A clock is a wall clock that can be set.
type clock struct{ offset atomic.Int64 }

func (c *clock) now() time.Time      { return time.Now().Add(time.Duration(c.offset.Load())) }
func (c *clock) set(d time.Duration) { c.offset.Add(int64(d)) }

func inBubble(t *testing.T, test func(t *testing.T, dir string)) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) { test(t, dir) })
}

func TestASetClockDoesNotChangeABackoff(t *testing.T) {
	for _, step := range []time.Duration{-365 * 24 * time.Hour, 365 * 24 * time.Hour} {
		t.Run(step.String(), func(t *testing.T) {
			inBubble(t, func(t *testing.T, dir string) {
				var c clock
				q := openTest(t, Options{Dir: dir, Now: c.now})
				give(t, q, "here", 1)
				must(t, receive(t, q, "here").Lease.Nack(time.Hour, queue.History{Attempts: 1}))
				c.set(step)
				begun := time.Now()
				_, err := q.Receive(t.Context(), "here", time.Hour)
				must(t, err)
				if waited := time.Since(begun); waited != time.Hour {
					t.Errorf("it waited for %v", waited)
				}
			})
		})
	}
}

func TestAClockThatWasSetBackWhileClosedMakesNobodyWaitLongerThanTold(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		var c clock
		q := openTest(t, Options{Dir: dir, Now: c.now})
		give(t, q, "here", 1)
		must(t, receive(t, q, "here").Lease.Nack(time.Hour, queue.History{Attempts: 1}))
		must(t, q.Close())
		c.set(-1000 * time.Hour)
		q = openTest(t, q.opts)
		begun := time.Now()
		_, err := q.Receive(t.Context(), "here", time.Hour)
		must(t, err)
		if waited := time.Since(begun); waited != time.Hour {
			t.Errorf("it waited for %v", waited)
		}
	})
}

func TestWhatIsDueGoesOnCountingWhileClosed(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		q := openTest(t, Options{Dir: dir})
		give(t, q, "here", 1)
		must(t, receive(t, q, "here").Lease.Nack(time.Hour, queue.History{Attempts: 1}))
		must(t, q.Close())
		time.Sleep(59 * time.Minute)
		q = openTest(t, q.opts)
		begun := time.Now()
		_, err := q.Receive(t.Context(), "here", time.Hour)
		must(t, err)
		if waited := time.Since(begun); waited > time.Minute || waited < time.Minute-time.Millisecond {
			t.Errorf("it waited for %v", waited)
		}
	})
}

func TestAWindowGoesByOurClockAndNotByBadgers(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		var c clock
		q := openTest(t, Options{Dir: dir, Now: c.now})
		p := func() queue.Publication {
			return queue.Publication{Message: sender.Message("here"), Keys: []queue.Key{queuetest.Key("k", time.Hour)}}
		}
		publish(t, q, queue.Accepted, p())
		must(t, receive(t, q, "here").Lease.Ack(0))
		must(t, q.flush(t.Context()))
		c.set(time.Hour - time.Second)
		publish(t, q, queue.Duplicate, p())
		c.set(time.Second)
		publish(t, q, queue.Accepted, p())
	})
}

func TestAKeyIsKnownForAsLongAsItsMessageWaits(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		q := openTest(t, Options{Dir: dir})
		p := func(key string) queue.Publication {
			return queue.Publication{Message: sender.Message("here"), Keys: []queue.Key{queuetest.Key(key, time.Hour)}}
		}
		publish(t, q, queue.Accepted, p("retrying"))
		must(t, receive(t, q, "here").Lease.Nack(10_000*time.Hour, queue.History{Attempts: 1}))
		publish(t, q, queue.Accepted, p("fresh"))
		time.Sleep(30 * 24 * time.Hour)
		publish(t, q, queue.Duplicate, p("fresh"))
		publish(t, q, queue.Duplicate, p("retrying"))

		// Badger has dropped them when the queue is opened again.
		must(t, q.Close())
		time.Sleep(30 * 24 * time.Hour)
		q = openTest(t, q.opts)
		publish(t, q, queue.Duplicate, p("fresh"))
		publish(t, q, queue.Duplicate, p("retrying"))

		must(t, q.Forget(t.Context(), "here", queue.KeyID, queuetest.Key("fresh", 0).Hash))
		time.Sleep(24 * time.Hour)
		publish(t, q, queue.Accepted, p("fresh"))
	})
}

func TestBadgerDropsKeysInTheEnd(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		q := openTest(t, Options{Dir: dir})
		publish(t, q, queue.Accepted, queue.Publication{
			Message: sender.Message("here"),
			Keys:    []queue.Key{queuetest.Key("k", time.Hour)},
		})
		must(t, receive(t, q, "here").Lease.Ack(0))
		time.Sleep(keyGrace)
		if n := count(t, q, tableKeys); n != 1 {
			t.Errorf("%d keys, want 1", n)
		}
		time.Sleep(2 * time.Hour)
		if n := count(t, q, tableKeys); n != 0 {
			t.Errorf("%d keys are left", n)
		}
	})
}

func TestWhatIsKeptNoLongerIsErased(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		q := openTest(t, Options{Dir: dir})
		give(t, q, "here", 3)
		must(t, receive(t, q, "here").Lease.Ack(time.Hour))
		must(t, receive(t, q, "here").Lease.Bury("gone", queue.History{}, time.Hour))
		must(t, receive(t, q, "here").Lease.Bury("gone", queue.History{}, 0)) // for good
		time.Sleep(time.Hour + sweepAll + time.Minute)
		if s := stats(t, q, "here"); s.Kept != 0 || s.Dead != 1 {
			t.Errorf("statistics are %+v", s)
		}
		wantedAre(t, q, 1)
	})
}
