// SPDX-License-Identifier: Apache-2.0

package queue_test

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
	"github.com/caddy-webhook-inbox/inbox/queue/queuetest"
)

// crowd makes goroutines wait so long for a CPU, in which four young attempts are
// to be left.
func (s *site) crowd(wait time.Duration) *atomic.Int64 {
	now := new(atomic.Int64)
	now.Store(int64(wait))
	s.crowded = func() time.Duration { return time.Duration(now.Load()) }
	return now
}

func TestAttemptsOfAFastApplicationAreFewWhileTheProcessIsCrowded(t *testing.T) {
	open(t, ok, func(s *site) {
		wait := s.crowd(time.Millisecond)
		s.respond(after(time.Millisecond, ok))
		s.publish(10_000)
		s.start()
		if n := s.now(); n != 32 {
			s.Errorf("%d attempts at first, before anything was measured, want all 32", n)
		}
		s.pass(100 * time.Millisecond)
		s.atOnce()
		s.pass(100 * time.Millisecond)
		if n := s.atOnce(); n != 4 {
			s.Errorf("%d attempts at once while crowded, want 4", n)
		}

		wait.Store(int64(100 * time.Microsecond)) // neither long nor short
		s.pass(100 * time.Millisecond)
		if n := s.atOnce(); n != 4 {
			s.Errorf("%d attempts at once while it is no better, want 4", n)
		}
		wait.Store(0)
		s.pass(100 * time.Millisecond)
		if n := s.atOnce(); n != 32 {
			s.Errorf("%d attempts at once when it is over, want 32", n)
		}
		s.pass(time.Second)
		s.counts(0, 10_000, 0)
	})
}

// What takes long is the application, which no CPU makes any faster.
func TestASlowApplicationHasAllAttemptsInACrowdedProcess(t *testing.T) {
	for name, took := range map[string]time.Duration{"slow": 300 * time.Millisecond, "hanging": time.Hour} {
		t.Run(name, func(t *testing.T) {
			open(t, ok, func(s *site) {
				s.crowd(time.Millisecond)
				s.respond(after(took, ok))
				s.target.AttemptTimeout = 2 * time.Hour
				s.publish(1000)
				s.target.Concurrency = 8
				s.start()
				s.pass(50 * time.Millisecond) // so that it is known to be crowded
				s.target.Concurrency = 32
				s.d.SetTarget(s.target)
				if n := s.now(); n == 32 {
					s.Error("it made no difference that the process is crowded")
				}
				s.pass(200 * time.Millisecond)
				if n := s.now(); n != 32 {
					s.Errorf("%d attempts at once later, want 32", n)
				}
			})
		})
	}
}

// An application that begins to hang when few attempts are under way is noticed
// soon.
func TestAnApplicationThatBeginsToHangGetsAllAttempts(t *testing.T) {
	open(t, ok, func(s *site) {
		s.crowd(time.Millisecond)
		s.respond(after(time.Millisecond, ok))
		s.publish(10_000)
		s.start()
		s.pass(200 * time.Millisecond)
		s.respond(after(time.Hour, ok))
		s.pass(300 * time.Millisecond)
		if n := s.now(); n != 32 {
			s.Errorf("%d attempts at once, want 32", n)
		}
	})
}

// What was handed out is delivered, however crowded it is by then.
func TestNothingIsGivenBackForACrowd(t *testing.T) {
	open(t, ok, func(s *site) {
		s.crowd(time.Millisecond)
		s.q.Fault = func(step queuetest.Step) (bool, error) {
			if step.Op == queuetest.OpNack {
				t.Error("a message was given back")
			}
			return true, nil
		}
		s.respond(after(19*time.Millisecond, ok))
		s.start()
		for range 500 {
			s.publish(2)
			s.pass(time.Millisecond)
		}
		s.pass(10 * time.Second)
		s.counts(0, 1000, 0)
	})
}

func TestTheFirstAttemptsOfACrowdedProcessAreNotHeldUp(t *testing.T) {
	open(t, ok, func(s *site) {
		s.crowd(time.Second)
		s.respond(after(time.Millisecond, ok))
		s.publish(10_000)
		s.start()
		s.pass(200 * time.Millisecond)
		s.stop()
		s.tried()
		s.start()
		if n := len(s.took()); n != 32 {
			s.Errorf("%d attempts at once, want 32", n)
		}
	})
}

func TestACrowdedProcessKeepsTheOrder(t *testing.T) {
	open(t, ok, func(s *site) {
		s.crowd(time.Millisecond)
		s.respond(after(time.Millisecond, ok))
		ids := s.publish(2000)
		s.start()
		s.pass(time.Minute)
		s.counts(0, 2000, 0)
		// Attempts that begin in one moment may be noted in any order.
		place := map[queue.ID]int{}
		for i, id := range ids {
			place[id] = i
		}
		for i, id := range s.tried() {
			if off := place[id] - i; off < -32 || off > 32 {
				s.Fatalf("message %d was tried as number %d", place[id], i)
			}
		}
	})
}

// The measure is the runtime's own: goroutines that compete wait.
func TestGoroutinesThatCompeteAreMeasuredToWait(t *testing.T) {
	measure := queue.NewWaits()
	measure()
	stop := time.Now().Add(100 * time.Millisecond)
	var wg sync.WaitGroup
	for range 64 * runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for time.Now().Before(stop) {
				for began := time.Now(); time.Since(began) < 20*time.Microsecond; {
				}
				runtime.Gosched()
			}
		})
	}
	wg.Wait()
	if wait := measure(); wait < 100*time.Microsecond {
		t.Errorf("64 goroutines for each CPU wait %v on average", wait)
	}
}

func TestACrowdedEndpointInAPauseWaitsForItsEnd(t *testing.T) {
	open(t, ok, func(s *site) {
		s.crowd(time.Millisecond)
		s.respond(after(time.Millisecond, ok))
		s.publish(5000)
		s.start()
		s.pass(100 * time.Millisecond)
		s.respond(after(time.Millisecond, queue.Result{Status: 429, RetryAfter: time.Minute}))
		s.pass(50 * time.Millisecond)
		s.answerWith(ok)
		s.tried()
		s.pass(59 * time.Second)
		if n := len(s.took()); n != 0 {
			s.Errorf("%d attempts in the pause", n)
		}
		s.pass(2 * time.Minute)
		synctest.Wait()
		s.counts(0, 5000, 0)
	})
}
