// SPDX-License-Identifier: Apache-2.0

package queue_test

import (
	"bytes"
	"context"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
	"github.com/caddy-webhook-inbox/inbox/queue/queuetest"
)

// goroutine returns what names the goroutine that calls it.
func goroutine() string {
	buf := make([]byte, 64)
	id, _, _ := bytes.Cut(buf[:runtime.Stack(buf, false)], []byte(" ["))
	return string(id)
}

func TestABacklogIsWorkedOffByFewGoroutines(t *testing.T) {
	open(t, ok, func(s *site) {
		var mu sync.Mutex
		seen := map[string]bool{}
		s.respond(func(ctx context.Context, m *queue.Message, n int) queue.Result {
			mu.Lock()
			seen[goroutine()] = true
			mu.Unlock()
			return after(time.Millisecond, ok)(ctx, m, n)
		})
		s.target.Concurrency = 8
		s.publish(1000)
		s.start()
		s.pass(time.Second)
		s.counts(0, 1000, 0)
		if len(seen) > 16 { // some end an attempt while others begin one
			s.Errorf("%d goroutines made 1000 attempts, 8 at once", len(seen))
		}
	})
}

// A message that comes alone finds the goroutine of the last one.
func TestAWorkerIsUsedAgain(t *testing.T) {
	open(t, ok, func(s *site) {
		seen := map[string]bool{}
		s.respond(func(context.Context, *queue.Message, int) queue.Result {
			seen[goroutine()] = true
			return ok
		})
		s.start()
		for range 100 {
			s.publish(1)
			s.pass(900 * time.Millisecond)
		}
		s.counts(0, 100, 0)
		if len(seen) != 1 {
			s.Errorf("%d goroutines for messages that came one by one", len(seen))
		}
	})
}

func TestADispatcherThatHadMuchToDoCostsOneGoroutineAgain(t *testing.T) {
	for name, concurrency := range map[string]int{"one at a time": 1, "many": 32} {
		t.Run(name, func(t *testing.T) {
			openAlone(t, ok, func(s *site) {
				s.respond(after(time.Millisecond, ok))
				s.target.Concurrency = concurrency
				s.start()
				synctest.Wait()
				idle := goroutines(0)
				s.publish(100)
				s.pass(200 * time.Millisecond)
				s.counts(0, 100, 0)
				if runtime.NumGoroutine() == idle {
					s.Error("no worker waits for more")
				}
				s.pass(5 * time.Second)
				if more := goroutines(idle) - idle; more != 0 {
					s.Errorf("%d workers are left five seconds after the last message", more)
				}
				s.publish(1)
				s.pass(time.Millisecond)
				s.counts(0, 101, 0)
			})
		})
	}
}

// goroutines counts those of the process, once there are no more than so many or
// those that are about to end have had the time to. It is real time that they take,
// and a bubble has none.
func goroutines(expected int) (n int) {
	for range 20 {
		for range 10_000 {
			runtime.Gosched()
		}
		if n = runtime.NumGoroutine(); n <= expected {
			break
		}
	}
	return n
}

// A worker that waits for a message gives way to whatever comes first.

func TestAWorkerThatWaitsForAMessageHearsOfAPause(t *testing.T) {
	open(t, ok, func(s *site) {
		first := s.publish(1)[0]
		s.respond(func(ctx context.Context, m *queue.Message, n int) queue.Result {
			if m.ID == first {
				return after(500*time.Millisecond, queue.Result{Status: 429, RetryAfter: time.Minute})(ctx, m, n)
			}
			return ok
		})
		s.target.Concurrency = 2
		s.publish(1) // whose worker waits for a third
		s.start()
		s.pass(600 * time.Millisecond)
		s.publish(1)
		s.pass(time.Second)
		s.counts(2, 1, 0)
		s.answerWith(ok)
		s.pass(2 * time.Minute)
		s.counts(0, 3, 0)
	})
}

func TestAWorkerThatWaitsForAMessageHearsOfAnotherTarget(t *testing.T) {
	open(t, ok, func(s *site) {
		s.target.Concurrency = 1
		s.publish(1)
		s.start()
		synctest.Wait()
		s.target.Concurrency = 3
		s.target.Deliver = func(ctx context.Context, m *queue.Message, n int) queue.Result {
			return after(time.Hour, s.deliver(ctx, m, n))(ctx, m, n)
		}
		s.d.SetTarget(s.target)
		s.publish(4)
		if n := len(s.took()); n != 4 {
			s.Errorf("%d attempts, want the first one and three", n)
		}
	})
}

func TestAWorkerThatWaitsForAMessageEndsWithTheDispatcher(t *testing.T) {
	open(t, ok, func(s *site) {
		s.target.Concurrency = 1
		s.publish(1)
		s.start()
		synctest.Wait()
		begun := time.Now()
		s.stop()
		if took := time.Since(begun); took != 0 {
			s.Errorf("it took %v", took)
		}
		s.publish(1)
		s.counts(1, 1, 0)
	})
}

func TestAnEngineThatFailsForAWorkerIsReported(t *testing.T) {
	open(t, ok, func(s *site) {
		on, at := failing(s, queuetest.OpReceive, errDisk)
		on.Store(false)
		s.target.Concurrency = 1
		s.respond(after(500*time.Millisecond, ok))
		s.publish(2)
		s.start()
		s.pass(400 * time.Millisecond)
		on.Store(true) // for the worker, which takes the second
		s.pass(200 * time.Millisecond)
		if len(s.seen().failures) != 1 {
			s.Errorf("reported %v at once, want one failure", s.seen().failures)
		}
		s.pass(2 * time.Second)
		if want := seconds(0.5, 1.5, 2.5); !slices.Equal(at(), want) || len(s.seen().failures) != 1 {
			s.Errorf("tried at %v and reported %v; want %v and one failure", at(), s.seen().failures, want)
		}
		on.Store(false)
		s.pass(3 * time.Second)
		s.counts(0, 2, 0)
		if len(s.seen().failures) != 2 || s.seen().failures[1] != nil {
			s.Errorf("reported %v", s.seen().failures)
		}
	})
}

// An outage begins while a worker waits for a message, which it must not take.
func TestAWorkerThatWaitsForAMessageHearsOfAnOutage(t *testing.T) {
	open(t, ok, func(s *site) {
		s.target.Concurrency = 4
		bad := map[queue.ID]bool{}
		s.respond(func(ctx context.Context, m *queue.Message, n int) queue.Result {
			if bad[m.ID] {
				return after(time.Second, offline)(ctx, m, n)
			}
			return ok
		})
		for _, id := range s.publish(3) {
			bad[id] = true
		}
		s.publish(1) // whose worker waits for a fifth
		s.start()
		s.pass(1500 * time.Millisecond)
		s.inOutage(true)
		s.tried()
		s.publish(5)
		if n := len(s.took()); n != 0 {
			s.Errorf("%d attempts in the outage before the first probe", n)
		}
	})
}
