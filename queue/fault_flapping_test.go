// SPDX-License-Identifier: Apache-2.0

package queue_test

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
	"github.com/caddy-webhook-inbox/inbox/queue/queuetest/ledger"
)

// For three days messages come in, and the application comes and goes: it is well for
// some minutes, and then gone, or hangs, for some more. Nothing is lost or given up
// on, everything is delivered once, the application gets few attempts while it is
// down, and in the end the dispatcher holds no more than in the beginning.
func TestFaultThreeDaysOfAnApplicationThatFlaps(t *testing.T) {
	s, violations := flapping(t, 72*time.Hour, nil)
	for _, v := range violations {
		t.Errorf("%s=%d: %v", seedVariable, s.seed, v)
	}
	c := s.ledger.Counts()
	t.Logf("%+v, %d outages", c, s.outages)
	if c.Accepted < 2000 || s.outages < 50 || c.Delivered != c.Accepted {
		t.Errorf("%d outages of %+v: the application does not flap", s.outages, c)
	}
}

// What is not taken for an outage, and what does not count, is noticed.
func TestFaultAnApplicationThatFlapsShowsWhatIsBroken(t *testing.T) {
	for name, c := range map[string]struct {
		breaks ledger.Invariant
		result func(queue.Result) queue.Result
	}{
		"an outage that is not noticed": {ledger.Growth, func(r queue.Result) queue.Result {
			if r.Status == 200 {
				return r
			}
			return queue.Result{Status: 429, RetryAfter: time.Second}
		}},
		"an answer that does not count": {ledger.Repetition, func(r queue.Result) queue.Result {
			if r.Status == 200 && r.Err == nil && time.Now().Second() == 0 {
				return timedOut
			}
			return r
		}},
	} {
		t.Run(name, func(t *testing.T) {
			_, violations := flapping(t, 36*time.Hour, func(s *simulation) { s.result = c.result })
			for _, v := range violations {
				if v.Invariant == c.breaks {
					t.Log(v)
					return
				}
			}
			t.Errorf("nothing breaks %v", c.breaks)
		})
	}
}

func flapping(t *testing.T, length time.Duration, broken func(*simulation)) (s *simulation, violations []ledger.Violation) {
	t.Helper()
	seed, _ := firstSeed(t)
	if broken != nil {
		seed = 1
	}
	synctest.Test(t, func(t *testing.T) {
		s = newSimulation(t, seed)
		s.steady, s.alone, s.poison = true, false, 1<<30
		s.ledger.Backoff = 0 // an outage ends all waiting
		s.target.Policy = queue.DefaultPolicy()
		s.target.Concurrency, s.target.Retain = 8, 0
		if broken != nil {
			broken(s)
		}
		s.start()
		synctest.Wait()
		before := runtime.NumGoroutine()

		failing, bound := 0, 0
		for began := time.Now(); time.Since(began) < length; {
			s.setApplication(well)
			s.minutes(1 + s.random.IntN(30))
			attempts, down := s.failures(), 1+s.random.IntN(30)
			s.setApplication([]int64{gone, hanging}[s.random.IntN(2)])
			s.minutes(down)
			failing += s.failures() - attempts
			bound += 5 + s.target.Concurrency + 5 + 2*down // a probe every 30 s, after some that come faster
		}
		s.ledger.Measured("attempts while the application is down", float64(failing), float64(bound))
		end := s.restAfter(before)
		violations = s.ledger.Check(end)
	})
	return s, violations
}

// minutes lets time pass in which now and then a message comes.
func (s *simulation) minutes(n int) {
	for range n {
		if s.random.IntN(3) > 0 {
			s.receive(1)
			s.resend()
		}
		time.Sleep(time.Minute)
	}
}

// failures is how many attempts did not deliver anything.
func (s *simulation) failures() int {
	c := s.ledger.Counts()
	return c.Attempts - c.Delivered - c.Repeated
}

// restAfter is rest that also measures what the dispatcher holds, for which there
// were so many goroutines before.
func (s *simulation) restAfter(before int) ledger.End {
	s.Helper()
	s.setApplication(well)
	for range 1000 {
		if s.pass(time.Hour); s.stats().Waiting == 0 {
			break
		}
	}
	synctest.Wait()
	s.ledger.Measured("goroutines", float64(runtime.NumGoroutine()), float64(before+s.target.Concurrency))
	end := s.rest()
	s.ledger.Measured("messages that are given up on", float64(s.dead), 0)
	return end
}
