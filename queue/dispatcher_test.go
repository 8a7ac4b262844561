// SPDX-License-Identifier: Apache-2.0

package queue_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
	"github.com/caddy-webhook-inbox/inbox/queue/queuetest"
)

func TestMessagesAreDeliveredInOrderAndKept(t *testing.T) {
	open(t, ok, func(s *site) {
		s.target.Concurrency = 1
		ids := s.publish(3)
		s.start()
		synctest.Wait()
		ids = append(ids, s.publish(2)...)
		s.equal(s.tried(), ids)
		s.counts(0, 5, 0)
		s.pass(25 * time.Hour)
		s.counts(0, 0, 0)
	})
}

func TestAFailedMessageIsRetriedWithBackoffUntilDelivered(t *testing.T) {
	open(t, ok, func(s *site) {
		s.respond(func(_ context.Context, _ *queue.Message, attempt int) queue.Result {
			if attempt < 6 {
				return broken
			}
			return ok
		})
		s.publish(1)
		s.start()
		s.pass(time.Hour)
		tries := s.took()
		if len(tries) != 6 {
			s.Fatalf("%d attempts, want 6", len(tries))
		}
		full := time.Second
		for i := 1; i < len(tries); i++ {
			if tries[i].attempt != i+1 {
				s.Errorf("attempt %d has number %d", i+1, tries[i].attempt)
			}
			if delay := tries[i].at - tries[i-1].at; delay < full/2 || delay > full {
				s.Errorf("delay %d is %v, want %v to %v", i, delay, full/2, full)
			}
			full *= 2
		}
		s.counts(0, 1, 0)
	})
}

func TestAFailingMessageHoldsNobodyUp(t *testing.T) {
	open(t, ok, func(s *site) {
		bad := s.Message(endpoint)
		s.respond(func(_ context.Context, m *queue.Message, _ int) queue.Result {
			if m.ID == bad.ID {
				return broken
			}
			return ok
		})
		if _, err := s.q.Publish(s.Context(), queue.Publication{Message: bad}); err != nil {
			s.Fatal(err)
		}
		s.target.Concurrency = 2
		s.start()
		for range 1000 {
			s.tried()
			ids := s.publish(1)
			if !slices.Contains(s.tried(), ids[0]) {
				s.Fatal("a good message waits behind a bad one")
			}
			s.pass(time.Minute)
		}
		s.inOutage(false)
		s.counts(1, 1000, 0)
	})
}

func TestConcurrencyIsNeverExceeded(t *testing.T) {
	open(t, ok, func(s *site) {
		s.respond(after(time.Second, ok))
		s.target.Concurrency = 7
		s.publish(100)
		s.start()
		s.pass(time.Minute)
		if most := s.atOnce(); most != 7 {
			s.Errorf("%d attempts at once, want 7", most)
		}
		s.counts(0, 100, 0)
	})
}

// An attempt from before an outage ends in it, and its message is probed before the
// engine has returned from taking it back. The end of the first attempt does not hide
// the second one, which counts while it is under way.
func TestConcurrencyIsNotExceededWhileTheEngineIsSlow(t *testing.T) {
	open(t, ok, func(s *site) {
		s.through = func(r queue.Receiver) queue.Receiver { return slowNacks{r} }
		s.target.Concurrency = 6
		s.target.AttemptTimeout = time.Hour
		ids := s.publish(40)
		s.respond(func(ctx context.Context, m *queue.Message, attempt int) queue.Result {
			answer := after(time.Minute, ok)
			switch young := time.Since(s.opened) < 30*time.Second; {
			case m.ID == ids[0] && attempt == 1:
				answer = after(5*time.Second, timedOut) // in the outage
			case m.ID == ids[0]:
				answer = after(time.Hour, ok)
			case m.ID == ids[1]:
				answer = after(30*time.Second, ok) // and ends it
			case young:
				answer = after(0, offline) // and they begin it
			}
			return answer(ctx, m, attempt)
		})
		s.start()
		s.pass(29 * time.Second)
		s.inOutage(true)
		if n := s.now(); n != 2 {
			s.Fatalf("%d attempts are under way, want the probe and one from before", n)
		}
		s.pass(20 * time.Minute)
		s.counts(1, 39, 0)
		if most := s.atOnce(); most != 6 {
			s.Errorf("%d attempts at once, want 6", most)
		}
	})
}

// slowNacks is a queue that returns from taking a message back, after an answer that
// came too late, when it has handed it out again.
type slowNacks struct{ queue.Receiver }

func (q slowNacks) Receive(ctx context.Context, endpoint string, lease time.Duration) (queue.Delivery, error) {
	d, err := q.Receiver.Receive(ctx, endpoint, lease)
	d.Lease = slowNack{d.Lease}
	return d, err
}

type slowNack struct{ queue.Lease }

func (l slowNack) Nack(delay time.Duration, h queue.History) error {
	err := l.Lease.Nack(delay, h)
	if h.LastError == timedOut.Err.Error() {
		time.Sleep(15 * time.Second)
	}
	return err
}

func TestAnIdleDispatcherCostsOneGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := queuetest.NewMemory()
		target := queue.Target{Policy: queue.DefaultPolicy()}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		before := runtime.NumGoroutine()
		for range 1000 {
			wg.Go(func() { queue.NewDispatcher(q, "x", target, &site{}).Run(ctx) })
		}
		synctest.Wait()
		if more := runtime.NumGoroutine() - before; more > 1100 {
			t.Errorf("%d goroutines for 1000 dispatchers", more)
		}
		cancel()
		wg.Wait()
	})
}

func TestAStatusThatIsFinalBuriesAtOnce(t *testing.T) {
	open(t, queue.Result{Status: 410}, func(s *site) {
		ids := s.publish(1)
		s.start()
		s.counts(0, 0, 1)
		d, err := s.q.DeadLetter(s.Context(), endpoint, ids[0])
		if err != nil {
			s.Fatal(err)
		}
		if d.Reason != "status 410" || d.History.Attempts != 1 || d.Until.Sub(d.At) != s.target.RetainDead {
			s.Errorf("the dead letter is %+v", d)
		}
	})
}

func TestAMessageIsGivenUpOnAfterMaxAttempts(t *testing.T) {
	open(t, broken, func(s *site) {
		s.target.MaxAttempts = 4
		s.publish(1)
		s.start()
		s.pass(time.Hour)
		if n := len(s.took()); n != 4 {
			s.Errorf("%d attempts, want 4", n)
		}
		s.counts(0, 0, 1)
	})
}

// A message that alone fails, among others that do not, is retried for as long
// as the policy says and no longer.
func TestAMessageIsGivenUpOnAfterItsTimeAndNotEarlier(t *testing.T) {
	open(t, ok, func(s *site) {
		bad := s.publish(1)[0]
		s.respond(func(_ context.Context, m *queue.Message, _ int) queue.Result {
			if m.ID == bad {
				return broken
			}
			return ok
		})
		s.start()
		for range 100 {
			s.pass(time.Hour)
			s.publish(1)
			if hours := time.Since(s.opened).Hours(); hours < 72 && s.stats().Dead > 0 {
				s.Fatalf("given up on after %v hours", hours)
			}
		}
		s.counts(0, 24, 1)
		var sum time.Duration
		for _, a := range s.seen().attempts {
			if a.Message.ID != bad {
				continue
			}
			if gaveUp := a.Outcome == queue.Buried; gaveUp != (sum >= 72*time.Hour) {
				s.Fatalf("outcome %s after %v of delays", a.Outcome, sum)
			}
			sum += a.Delay
		}
		if sum > 73*time.Hour {
			s.Errorf("given up on after %v", sum)
		}
	})
}

func TestRestartsAddNothingToTheTimeOfRetrying(t *testing.T) {
	open(t, ok, func(s *site) {
		s.target.GiveUpAfter = time.Hour
		bad := s.publish(1)[0]
		s.respond(func(_ context.Context, m *queue.Message, _ int) queue.Result {
			if m.ID == bad {
				return broken
			}
			return ok
		})
		s.start()
		for range 5 {
			s.publish(1)
			s.pass(5 * time.Minute)
			s.stop()
			time.Sleep(24 * time.Hour)
			s.restart()
		}
		s.publish(1)
		s.counts(1, 1, 0)
		s.stop()
		h := s.histories()[bad]
		var sum time.Duration
		for _, a := range s.seen().attempts {
			if a.Message.ID == bad {
				sum += a.Delay
			}
		}
		if h.Delayed != sum || sum > time.Hour {
			s.Errorf("the history says %v of delays, want %v", h.Delayed, sum)
		}
	})
}

func TestAPanicIsAFailure(t *testing.T) {
	open(t, ok, func(s *site) {
		s.respond(func(_ context.Context, _ *queue.Message, attempt int) queue.Result {
			if attempt == 1 {
				panic("the body is secret")
			}
			return ok
		})
		s.publish(1)
		s.start()
		s.pass(time.Minute)
		s.counts(0, 1, 0)
		first := s.seen().attempts[0]
		var p *queue.PanicError
		if !errors.As(first.Result.Err, &p) || p.Value != "the body is secret" || !strings.Contains(string(p.Stack), "deliver") {
			s.Errorf("the result is %+v", first.Result)
		}
		if first.Outcome != queue.Retried {
			s.Errorf("the outcome is %s", first.Outcome)
		}
		for k := range mustKept(s) {
			if strings.Contains(k.History.LastError, "secret") || k.History.LastError == "" {
				s.Errorf("the history says %q", k.History.LastError)
			}
		}
	})
}

func mustKept(s *site) func(func(queue.Settled) bool) {
	return func(yield func(queue.Settled) bool) {
		for k, err := range s.q.Kept(s.Context(), endpoint) {
			if err != nil {
				s.Fatal(err)
			}
			if !yield(k) {
				return
			}
		}
	}
}

func TestAnAttemptEndsAfterItsTimeout(t *testing.T) {
	open(t, ok, func(s *site) {
		s.respond(after(time.Hour, ok))
		s.publish(1)
		s.start()
		s.pass(30 * time.Second)
		if n := len(s.seen().attempts); n != 1 {
			s.Fatalf("%d attempts ended, want 1", n)
		}
		if a := s.seen().attempts[0]; a.Took != 30*time.Second || a.Result.Err.Error() != "attempt timed out after 30s" {
			s.Errorf("the attempt ended after %v with %v", a.Took, a.Result.Err)
		}
	})
}

func TestRetryAfterLengthensTheDelayUpToAnHour(t *testing.T) {
	for _, test := range []struct{ asked, least, most time.Duration }{
		{time.Millisecond, 500 * time.Millisecond, time.Second},
		{time.Minute, time.Minute, time.Minute},
		{100 * time.Hour, time.Hour, time.Hour},
	} {
		t.Run(test.asked.String(), func(t *testing.T) {
			open(t, queue.Result{Status: 503, RetryAfter: test.asked}, func(s *site) {
				s.publish(1)
				s.start()
				s.pass(2 * time.Hour)
				at := s.times()
				if delay := at[1] - at[0]; delay < test.least || delay > test.most {
					s.Errorf("the delay is %v, want %v to %v", delay, test.least, test.most)
				}
			})
		})
	}
}

func TestAStaleTimestampIsWarnedAboutOnce(t *testing.T) {
	open(t, queue.Result{Status: 401}, func(s *site) {
		first := s.publish(1)[0]
		s.start()
		synctest.Wait()
		if len(s.seen().stale) != 0 {
			s.Fatal("warned of a message that is fresh")
		}
		s.pass(time.Hour)
		s.publish(1)
		s.pass(time.Hour)
		s.equal(s.seen().stale, []queue.ID{first})

		s.target.Route = "route 2"
		s.d.SetTarget(s.target)
		s.pass(time.Hour)
		if len(s.seen().stale) != 2 {
			s.Errorf("%d warnings after the route changed, want 2", len(s.seen().stale))
		}
	})
}

func TestAttemptsUnderWayFinishOnTheOldTarget(t *testing.T) {
	open(t, ok, func(s *site) {
		s.respond(after(10*time.Second, ok))
		s.target.Concurrency = 2
		s.publish(4)
		s.start()
		s.pass(time.Second)

		var later atomic.Int64
		next := s.target
		next.Retain = 0
		next.Concurrency = 1
		next.Deliver = func(_ context.Context, _ *queue.Message, attempt int) queue.Result {
			later.Add(int64(attempt))
			return ok
		}
		s.d.SetTarget(next)
		s.pass(time.Second)
		if later.Load() != 0 {
			s.Fatal("the new target has more than its concurrency")
		}
		s.pass(10 * time.Second)
		if n := later.Load(); n != 2 {
			s.Errorf("%d first attempts on the new target, want 2", n)
		}
		s.counts(0, 2, 0)
	})
}

func TestAHigherConcurrencyTakesEffectAtOnce(t *testing.T) {
	open(t, ok, func(s *site) {
		s.respond(after(time.Hour, ok))
		s.target.AttemptTimeout = 2 * time.Hour
		s.target.Concurrency = 1
		s.publish(20)
		s.start()
		s.pass(time.Second)
		s.target.Concurrency = 8
		s.d.SetTarget(s.target)
		synctest.Wait()
		if n := s.now(); n != 8 {
			s.Errorf("%d attempts at once, want 8", n)
		}
		s.target.Concurrency = 3
		s.d.SetTarget(s.target)
		s.pass(time.Hour)
		if n := s.now(); n != 3 {
			s.Errorf("%d attempts at once, want 3", n)
		}
	})
}

func TestAResultThatCannotBeNotedIsReported(t *testing.T) {
	open(t, ok, func(s *site) {
		lost := errors.New("the network is gone")
		s.q.Fault = func(step queuetest.Step) (bool, error) {
			if step.Op == queuetest.OpAck {
				return false, lost
			}
			return true, nil
		}
		s.publish(1)
		s.start()
		synctest.Wait()
		if a := s.seen().attempts[0]; !errors.Is(a.SettleErr, lost) || a.Outcome != queue.Delivered {
			s.Errorf("the attempt is %+v", a)
		}
		s.restart()
		if tries := s.took(); len(tries) != 2 {
			s.Errorf("%d attempts, want a second after the restart", len(tries))
		}
	})
}
