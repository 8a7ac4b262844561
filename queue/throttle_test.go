// SPDX-License-Identifier: Apache-2.0

package queue_test

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

func TestA429PausesTheEndpointForAsLongAsItAsks(t *testing.T) {
	for _, test := range []struct {
		asked, paused time.Duration
		waits         int64 // after the pause: the message itself may be asked to wait longer
	}{
		{10 * time.Second, 10 * time.Second, 0},
		{time.Hour, 5 * time.Minute, 1},
	} {
		t.Run(test.asked.String(), func(t *testing.T) {
			open(t, queue.Result{Status: 429, RetryAfter: test.asked}, func(s *site) {
				s.target.Concurrency = 1
				s.publish(1)
				s.start()
				s.tried()
				s.answerWith(ok)
				s.publish(3)
				s.pass(test.paused - time.Second)
				if n := len(s.took()); n != 0 {
					s.Fatalf("%d messages were handed out in the pause", n)
				}
				s.pass(time.Second)
				s.counts(test.waits, 4-test.waits, 0)
				s.pass(time.Hour)
				s.counts(0, 4, 0)
			})
		})
	}
}

// Who asked for the pause is not who is delivered to any more.
func TestAPauseEndsWithItsRoute(t *testing.T) {
	open(t, queue.Result{Status: 429, RetryAfter: 5 * time.Minute}, func(s *site) {
		s.publish(1)
		s.start()
		s.pass(time.Second)
		s.tried()
		s.answerWith(ok)
		s.d.SetTarget(s.target) // a reload that leaves the route as it is
		s.publish(3)
		s.pass(10 * time.Second)
		if n := len(s.took()); n != 0 {
			s.Fatalf("%d messages were handed out in the pause", n)
		}
		s.target.Route = "another"
		s.d.SetTarget(s.target)
		s.pass(time.Second)
		if n := len(s.took()); n != 3 {
			s.Errorf("%d messages were handed out to another route at once, want the 3 that it did not ask to wait for", n)
		}
	})
}

// Attempts that were under way when an endpoint asked for a pause may open an outage,
// and one may even end it. The endpoint is left alone all the same.
func TestAPauseHoldsInAnOutageToo(t *testing.T) {
	for name, last := range map[string]queue.Result{"that goes on": offline, "that ends": ok} {
		t.Run(name, func(t *testing.T) {
			open(t, ok, func(s *site) {
				answers := []queue.Result{{Status: 429, RetryAfter: time.Minute}, offline, offline, offline, last}
				s.target.Concurrency = len(answers)
				ids := s.publish(len(answers))
				s.respond(func(ctx context.Context, m *queue.Message, attempt int) queue.Result {
					n := slices.Index(ids, m.ID)
					if attempt > 1 {
						return ok
					}
					return after(time.Duration(n+1)*time.Second, answers[n])(ctx, m, attempt)
				})
				s.start()
				s.pass(time.Minute)
				if n := len(s.seen().began); n != 1 {
					s.Fatalf("%d outages began", n)
				}
				if n := len(s.took()) - len(answers); n != 0 {
					s.Errorf("%d attempts were made in the pause", n)
				}
				s.pass(2 * time.Minute)
				s.counts(0, int64(len(answers)), 0)
			})
		})
	}
}

func TestAReceiveThatWaitsEndsWhenAPauseBegins(t *testing.T) {
	open(t, ok, func(s *site) {
		s.respond(after(time.Second, queue.Result{Status: 429, RetryAfter: time.Minute}))
		s.publish(1)
		s.start()
		s.pass(2 * time.Second)
		if a := s.seen().attempts[0]; a.Outcome != queue.Throttled || a.Delay != time.Minute {
			s.Errorf("the attempt is %+v", a)
		}
		s.publish(1)
		s.pass(30 * time.Second)
		if n := s.stats().Retrying; n != 1 {
			s.Errorf("%d messages were handed out, want 1", n)
		}
	})
}

// When several are throttled at once, each waits until the pause is over.
func TestThrottledMessagesWaitForTheLongestPause(t *testing.T) {
	open(t, ok, func(s *site) {
		var n atomic.Int64
		s.respond(func(ctx context.Context, m *queue.Message, attempt int) queue.Result {
			asked := time.Duration(n.Add(1)) * time.Minute
			return after(time.Duration(asked/60), queue.Result{Status: 429, RetryAfter: 4*time.Minute - asked})(ctx, m, attempt)
		})
		s.publish(3)
		s.start()
		s.pass(10 * time.Second)
		for _, a := range s.seen().attempts {
			if a.Delay < 2*time.Minute+50*time.Second || a.Delay > 3*time.Minute {
				s.Errorf("a message waits for %v, want about three minutes", a.Delay)
			}
		}
	})
}

func TestA429WithoutATimePausesWithBackoff(t *testing.T) {
	open(t, queue.Result{Status: 429}, func(s *site) {
		s.target.Concurrency = 1
		s.publish(100)
		s.start()
		s.pass(20 * time.Second)
		full := time.Second
		at := s.times()
		if len(at) < 4 {
			s.Fatalf("%d attempts", len(at))
		}
		for i := 1; i < len(at); i++ {
			if delay := at[i] - at[i-1]; delay < full/2 || delay > full {
				s.Errorf("pause %d is %v, want %v to %v", i, delay, full/2, full)
			}
			full *= 2
		}
	})
}

func TestA429IsNotCounted(t *testing.T) {
	open(t, queue.Result{Status: 429}, func(s *site) {
		s.target.MaxAttempts = 3
		s.target.GiveUpAfter = time.Minute
		id := s.publish(1)[0]
		s.start()
		s.pass(24 * time.Hour)
		s.counts(1, 0, 0)
		s.stop()
		h := s.histories()[id]
		if h.Failures != 0 || h.Delayed != 0 || h.Attempts < 100 || h.LastError != "status 429" {
			s.Errorf("the history is %+v", h)
		}
	})
}

func TestAMessageThatIsAlways429RarelyPausesTheOthers(t *testing.T) {
	open(t, ok, func(s *site) {
		bad := s.publish(1)[0]
		s.respond(func(_ context.Context, m *queue.Message, _ int) queue.Result {
			if m.ID == bad {
				return queue.Result{Status: 429}
			}
			return ok
		})
		s.start()
		s.pass(2 * time.Hour)
		if n := len(s.tried()); n > 40 {
			s.Errorf("tried %d times in two hours", n)
		}
	})
}

func TestA429HalvesTheConcurrencyWhichRecoversOneByOne(t *testing.T) {
	open(t, ok, func(s *site) {
		s.target.Concurrency = 8
		var throttled atomic.Int64
		throttled.Store(3)
		s.respond(func(ctx context.Context, m *queue.Message, n int) queue.Result {
			if throttled.Add(-1) >= 0 {
				return after(time.Second, queue.Result{Status: 429, RetryAfter: 10 * time.Second})(ctx, m, n)
			}
			return after(10*time.Second, ok)(ctx, m, n)
		})
		s.publish(300)
		s.start()
		s.pass(10500 * time.Millisecond)
		var atOnce []int
		for range 7 {
			s.pass(10 * time.Second)
			atOnce = append(atOnce, s.now())
		}
		// The five that were not throttled are a first step from four to five.
		if want := []int{5, 6, 7, 8, 8, 8, 8}; !slices.Equal(atOnce, want) {
			s.Errorf("attempts at once: %v, want %v", atOnce, want)
		}
	})
}
