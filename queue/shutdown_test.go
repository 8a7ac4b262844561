// SPDX-License-Identifier: Apache-2.0

package queue_test

import (
	"context"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
	"github.com/caddy-webhook-inbox/inbox/queue/queuetest"
)

func TestShutdownHandsOutNothingMoreAndReturnsAtOnceWhenIdle(t *testing.T) {
	open(t, ok, func(s *site) {
		s.start()
		s.pass(time.Minute)
		begun := time.Now()
		s.stop()
		if took := time.Since(begun); took != 0 {
			s.Errorf("it took %v", took)
		}
		s.publish(1)
		s.counts(1, 0, 0)
	})
}

func TestShutdownGivesAttemptsTwoSeconds(t *testing.T) {
	open(t, ok, func(s *site) {
		s.respond(after(3*time.Second, ok))
		s.target.Concurrency = 1
		s.publish(2)
		s.start()
		s.pass(1500 * time.Millisecond)
		begun := time.Now()
		s.stop()
		if took := time.Since(begun); took != 1500*time.Millisecond {
			s.Errorf("it took %v, want until the attempt ended", took)
		}
		s.counts(1, 1, 0)
	})
}

func TestShutdownCancelsAttemptsAndCountsNothing(t *testing.T) {
	open(t, ok, func(s *site) {
		s.respond(after(time.Minute, ok))
		s.target.MaxAttempts = 1
		ids := s.publish(3)
		s.start()
		s.pass(time.Second)
		begun := time.Now()
		s.stop()
		if took := time.Since(begun); took != 2*time.Second {
			s.Errorf("it took %v", took)
		}
		if got := s.outcomes(); !slices.Equal(got, []queue.AttemptOutcome{"interrupted", "interrupted", "interrupted"}) {
			s.Errorf("outcomes are %v", got)
		}
		s.counts(3, 0, 0)

		s.answerWith(ok)
		s.tried()
		s.target.Concurrency = 1
		s.restart()
		s.equal(s.tried(), ids)
		for k := range mustKept(s) {
			if k.History.Attempts != 1 || k.History.Failures != 0 || k.History.Delayed != 0 {
				s.Errorf("a history is %+v", k.History)
			}
		}
	})
}

func TestShutdownNeverBuries(t *testing.T) {
	for _, status := range []int{410, 500} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			open(t, ok, func(s *site) {
				s.target.MaxAttempts = 1
				s.respond(after(2*time.Second, queue.Result{Status: status}))
				s.publish(10)
				s.start()
				s.pass(time.Second)
				s.stop()
				s.counts(10, 0, 0)
				if len(s.seen().began) > 0 {
					s.Error("an outage began")
				}
				for _, h := range s.histories() {
					if h.Failures != 0 {
						s.Errorf("a history is %+v", h)
					}
				}
			})
		})
	}
}

func TestAProbeThatDeliversDuringShutdownEndsTheOutage(t *testing.T) {
	open(t, broken, func(s *site) {
		s.publish(5)
		s.start()
		s.pass(500 * time.Millisecond)
		s.respond(after(time.Second, ok))
		s.pass(time.Second)
		s.stop()
		s.inOutage(false)
		if len(s.seen().ended) != 1 {
			s.Error("the observer was not told")
		}
	})
}

func TestAMessageHandedOutInTheMomentOfShutdownIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := queuetest.NewMemory()
		var sender queuetest.Sender
		if _, err := q.Publish(t.Context(), queue.Publication{Message: sender.Message(endpoint)}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		target := queue.Target{Policy: queue.DefaultPolicy(), Deliver: func(context.Context, *queue.Message, int) queue.Result {
			t.Error("it was delivered")
			return ok
		}}
		queue.NewDispatcher(late{q, cancel}, endpoint, target, &site{}).Run(ctx)
		all, err := q.Endpoints(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if s := all[endpoint]; s.Waiting != 1 || s.InFlight != 0 {
			t.Errorf("statistics are %+v", s)
		}
	})
}

// late hands a message out when the one who asked was just cancelled.
type late struct {
	queue.Receiver
	cancel context.CancelFunc
}

func (l late) Receive(ctx context.Context, endpoint string, lease time.Duration) (queue.Delivery, error) {
	d, err := l.Receiver.Receive(ctx, endpoint, lease)
	l.cancel()
	return d, err
}
