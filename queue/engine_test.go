// SPDX-License-Identifier: Apache-2.0

package queue_test

import (
	"errors"
	"fmt"
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

var errDisk = errors.New("input/output error")

// failing makes every step of a kind fail while the returned switch is on.
func failing(s *site, op queuetest.Op, err error) (on *atomic.Bool, times func() []time.Duration) {
	on = new(atomic.Bool)
	on.Store(true)
	var mu sync.Mutex
	var at []time.Duration
	s.q.Fault = func(step queuetest.Step) (bool, error) {
		if step.Op != op || !on.Load() {
			return true, nil
		}
		mu.Lock()
		defer mu.Unlock()
		at = append(at, time.Since(s.opened))
		return false, fmt.Errorf("engine: %w", err)
	}
	return on, func() []time.Duration {
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(at)
	}
}

func TestAnEngineThatFailsIsTriedEverySecondAndReportedOnce(t *testing.T) {
	open(t, ok, func(s *site) {
		on, at := failing(s, queuetest.OpReceive, errDisk)
		s.publish(1)
		s.start()
		s.pass(4500 * time.Millisecond)
		if want := seconds(0, 1, 2, 3, 4); !slices.Equal(at(), want) {
			s.Errorf("tried at %v, want %v", at(), want)
		}
		if len(s.seen().failures) != 1 || !errors.Is(s.seen().failures[0], errDisk) || !strings.HasPrefix(s.seen().failures[0].Error(), "receiving: ") {
			s.Errorf("reported %v", s.seen().failures)
		}
		on.Store(false)
		s.pass(time.Second)
		s.counts(0, 1, 0)
		if len(s.seen().failures) != 2 || s.seen().failures[1] != nil {
			s.Errorf("reported %v", s.seen().failures)
		}
	})
}

func TestAnEngineThatIsUnavailableIsTriedLessAndLess(t *testing.T) {
	open(t, ok, func(s *site) {
		_, at := failing(s, queuetest.OpReceive, queue.ErrUnavailable)
		s.start()
		s.pass(100 * time.Second)
		if want := seconds(0, 1, 3, 7, 15, 31, 61, 91); !slices.Equal(at(), want) {
			s.Errorf("tried at %v, want %v", at(), want)
		}
	})
}

func TestAnEngineThatOnlyLetsUsWaitWorksAgain(t *testing.T) {
	open(t, ok, func(s *site) {
		on, _ := failing(s, queuetest.OpReceive, errDisk)
		s.start()
		s.pass(500 * time.Millisecond)
		on.Store(false)
		s.pass(2 * time.Second)
		if len(s.seen().failures) != 2 || s.seen().failures[1] != nil {
			s.Errorf("reported %v", s.seen().failures)
		}
		s.publish(1)
		s.counts(0, 1, 0)
	})
}

func TestAClosedQueueEndsDispatchingUntilRunEnds(t *testing.T) {
	open(t, ok, func(s *site) {
		s.start()
		s.pass(time.Minute)
		if err := s.q.Close(); err != nil {
			s.Fatal(err)
		}
		s.pass(time.Hour)
		if len(s.seen().failures) != 1 || !errors.Is(s.seen().failures[0], queue.ErrClosed) {
			s.Errorf("reported %v", s.seen().failures)
		}
	})
}

// An outage that cannot be stored is one all the same: the steps that store it
// are tried until they are done, and the refunds are not lost.
func TestAnOutageIsStoredOnceTheEngineWorksAgain(t *testing.T) {
	for _, op := range []queuetest.Op{queuetest.OpSetOutage, queuetest.OpMakeReady} {
		t.Run(string(op), func(t *testing.T) {
			open(t, broken, func(s *site) {
				on, _ := failing(s, op, errDisk)
				s.publish(4)
				s.start()
				s.pass(time.Minute)
				s.publish(1)
				s.pass(time.Minute)
				if _, in := s.d.Outage(); !in || len(s.seen().failures) != 1 {
					s.Fatalf("in an outage: %v; reported %v", in, s.seen().failures)
				}
				on.Store(false)
				s.pass(2 * time.Second)
				s.inOutage(true)
				s.stop()
				for id, h := range s.histories() {
					if h.Failures != 0 || h.Delayed != 0 {
						s.Errorf("the history of %s is %+v", id, h)
					}
				}
			})
		})
	}
}

// When the engine says that making ready failed, but did it, nothing goes below
// zero.
func TestARefundGivenTwiceIsNoLoss(t *testing.T) {
	open(t, broken, func(s *site) {
		var calls atomic.Int64
		s.q.Fault = func(step queuetest.Step) (bool, error) {
			if step.Op == queuetest.OpMakeReady && calls.Add(1) < 4 {
				return true, errDisk
			}
			return true, nil
		}
		s.publish(4)
		s.start()
		s.pass(10 * time.Second)
		s.publish(1)
		s.pass(10 * time.Minute)
		s.inOutage(true)
		s.stop()
		for id, h := range s.histories() {
			if h.Failures != 0 || h.Delayed != 0 {
				s.Errorf("the history of %s is %+v", id, h)
			}
		}
	})
}

// A crash at the end of an outage must not leave messages behind that wait: the
// outage is only forgotten once they are ready.
func TestAnOutageIsForgottenOnlyWhenItsMessagesAreReady(t *testing.T) {
	open(t, broken, func(s *site) {
		on, _ := failing(s, queuetest.OpMakeReady, errDisk)
		on.Store(false)
		s.publish(5)
		s.start()
		s.pass(10 * time.Second)
		s.inOutage(true)
		on.Store(true)
		s.answerWith(ok)
		s.pass(30 * time.Second)
		if _, in := s.d.Outage(); in {
			s.Fatal("the outage goes on")
		}
		if o, err := s.q.Outage(s.Context(), endpoint); o == nil || err != nil {
			s.Fatalf("the queue remembers %v, %v", o, err)
		}
		on.Store(false)
		s.pass(10 * time.Second)
		s.inOutage(false)
		s.counts(0, 5, 0)
	})
}
