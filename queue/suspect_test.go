// SPDX-License-Identifier: Apache-2.0

package queue_test

import (
	"context"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// picky answers like an application that cannot take some messages.
func picky(bad map[queue.ID]bool) func(context.Context, *queue.Message, int) queue.Result {
	return func(_ context.Context, m *queue.Message, _ int) queue.Result {
		time.Sleep(20 * time.Millisecond)
		if bad[m.ID] {
			return broken
		}
		return ok
	}
}

// Any number of messages that the application cannot take fail together. They
// open an outage once, hold nobody up for long, and are given up on.
func TestManyMessagesThatFailHoldNobodyUp(t *testing.T) {
	for name, n := range map[string]int{"four": 4, "five": 5, "eight": 8, "thirty": 30} {
		t.Run(name, func(t *testing.T) {
			open(t, ok, func(s *site) {
				bad := map[queue.ID]bool{}
				s.respond(picky(bad))
				for _, id := range s.publish(n) {
					bad[id] = true
				}
				s.start()
				s.pass(30 * time.Second) // only they are there
				s.publish(2000)
				s.pass(2 * time.Minute)
				if waiting := s.stats().Waiting; waiting != int64(n) {
					t.Errorf("%d wait after two minutes, want only the %d that fail", waiting, n)
				}
				if outages := len(s.seen().began); outages > n/5+1 {
					t.Errorf("%d outages began because of %d messages", outages, n)
				}
				// The failures of the messages count, as long as others are delivered.
				for range 100 {
					s.publish(1)
					s.pass(time.Hour)
				}
				if s := s.stats(); s.Waiting != 0 || s.Dead != int64(n) {
					t.Errorf("after days %d wait and %d are dead, want all %d dead", s.Waiting, s.Dead, n)
				}
			})
		})
	}
}

// An outage leaves a backlog in which one message in a hundred cannot be taken.
func TestABacklogWithMessagesThatFailIsDelivered(t *testing.T) {
	open(t, offline, func(s *site) {
		bad := map[queue.ID]bool{}
		for i, id := range s.publish(3000) {
			if i%100 == 0 {
				bad[id] = true
			}
		}
		s.start()
		s.pass(10 * time.Minute)
		s.respond(picky(bad))
		for range 300 {
			s.publish(1)
			s.pass(time.Second)
		}
		if waiting := s.stats().Waiting; waiting > int64(len(bad)) {
			t.Errorf("%d wait five minutes after the outage, want the %d that fail at most", waiting, len(bad))
		}
	})
}

// Messages that failed in an outage are no proof that there is another, but an
// application that refuses everything is, whatever failed before.
func TestAnOutageIsNoticedAgain(t *testing.T) {
	open(t, broken, func(s *site) {
		s.publish(20)
		s.start()
		s.pass(time.Minute)
		s.answerWith(ok)
		s.pass(time.Minute)
		if s.stats().Waiting != 0 || len(s.seen().ended) != 1 {
			t.Fatalf("the first outage has not ended: %+v", s.stats())
		}
		s.answerWith(broken)
		s.publish(20)
		s.pass(time.Minute)
		if began := len(s.seen().began); began != 2 {
			t.Errorf("%d outages began, want 2", began)
		}
	})
}
