// SPDX-License-Identifier: Apache-2.0

package queue_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
	"github.com/caddy-webhook-inbox/inbox/queue/queuetest"
)

const endpoint = "shop"

var (
	ok       = queue.Result{Status: 200}
	broken   = queue.Result{Status: 500}
	offline  = queue.Result{NoConnection: true, Err: errors.New("connection refused")}
	timedOut = queue.Result{Err: errors.New("no answer in time")}
)

// A site is an application behind a dispatcher, in a bubble of fake time.
type site struct {
	*testing.T
	queuetest.Sender
	q      *queuetest.Memory
	d      *queue.Dispatcher
	target queue.Target
	opened time.Time
	stop   func() // ends Run and waits for it

	// through is what the dispatcher has the queue through.
	through func(queue.Receiver) queue.Receiver

	// crowded says how long goroutines wait for a CPU.
	crowded func() time.Duration

	mu       sync.Mutex
	answer   func(ctx context.Context, m *queue.Message, attempt int) queue.Result
	tries    []try
	underWay int
	most     int // under way at once

	told told
}

// told is what the dispatcher told its observer.
type told struct {
	attempts []queue.Attempt
	began    []queue.Outage
	resumed  int
	ended    []queue.Outage
	stale    []queue.ID
	failures []error
}

// A try is an attempt as the application sees it.
type try struct {
	at      time.Duration // since the site was opened
	id      queue.ID
	attempt int
}

// open runs the test in a bubble, with an application that answers so. The
// dispatcher is not started yet.
func open(t *testing.T, answer queue.Result, test func(s *site)) {
	t.Parallel()
	openAlone(t, answer, test)
}

// openAlone is open for a test that counts goroutines, while no other runs.
func openAlone(t *testing.T, answer queue.Result, test func(s *site)) {
	synctest.Test(t, func(t *testing.T) {
		s := &site{T: t, q: queuetest.NewMemory(), opened: time.Now(), stop: func() {}}
		s.through = func(r queue.Receiver) queue.Receiver { return r }
		s.crowded = func() time.Duration { return 0 }
		s.answerWith(answer)
		s.target = queue.Target{Policy: queue.DefaultPolicy(), Route: "route 1", Deliver: s.deliver}
		t.Cleanup(func() { s.stop() })
		test(s)
	})
}

// start runs a new dispatcher.
func (s *site) start() {
	s.d = queue.NewDispatcher(s.through(s.q), endpoint, s.target, s)
	s.d.SetCrowd(s.crowded, 4)
	ctx, cancel := context.WithCancel(s.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.d.Run(ctx)
	}()
	s.stop = func() {
		cancel()
		<-done
	}
}

// restart ends the dispatcher and the queue and starts others.
func (s *site) restart() {
	s.Helper()
	s.stop()
	if err := s.q.Close(); err != nil {
		s.Fatal(err)
	}
	s.q = s.q.Reopen()
	s.start()
}

// crash is restart, but for those that end.
func (s *site) crash() {
	s.q.Crash()
	s.stop()
	s.q = s.q.Reopen()
	s.start()
}

func (s *site) answerWith(r queue.Result) {
	s.respond(func(context.Context, *queue.Message, int) queue.Result { return r })
}

func (s *site) respond(answer func(ctx context.Context, m *queue.Message, attempt int) queue.Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

func (s *site) deliver(ctx context.Context, m *queue.Message, attempt int) queue.Result {
	s.mu.Lock()
	answer := s.answer
	s.tries = append(s.tries, try{time.Since(s.opened), m.ID, attempt})
	s.underWay++
	s.most = max(s.most, s.underWay)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.underWay--
		s.mu.Unlock()
	}()
	return answer(ctx, m, attempt)
}

// after answers r after some time, or nothing if the attempt ends before.
func after(d time.Duration, r queue.Result) func(context.Context, *queue.Message, int) queue.Result {
	return func(ctx context.Context, _ *queue.Message, _ int) queue.Result {
		select {
		case <-time.After(d):
			return r
		case <-ctx.Done():
			return queue.Result{Err: context.Cause(ctx)}
		}
	}
}

// publish publishes n messages and returns their ids.
func (s *site) publish(n int) []queue.ID {
	s.Helper()
	var ids []queue.ID
	for range n {
		m := s.Message(endpoint)
		if _, err := s.q.Publish(s.Context(), queue.Publication{Message: m}); err != nil {
			s.Fatal(err)
		}
		ids = append(ids, m.ID)
	}
	return ids
}

// pass lets time pass, and then all that is due happen.
func (s *site) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// tried returns the ids of what was tried since the last call.
func (s *site) tried() []queue.ID {
	var ids []queue.ID
	for _, t := range s.took() {
		ids = append(ids, t.id)
	}
	return ids
}

// took returns the tries since the last call.
func (s *site) took() []try {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	tries := s.tries
	s.tries = nil
	return tries
}

// times returns when something was tried since the last call.
func (s *site) times() []time.Duration {
	var at []time.Duration
	for _, t := range s.took() {
		at = append(at, t.at)
	}
	return at
}

// now returns how many attempts are under way.
func (s *site) now() int {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.underWay
}

// atOnce returns how many attempts were under way at once since the last call.
func (s *site) atOnce() int {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	most := s.most
	s.most = s.underWay
	return most
}

func (s *site) stats() queue.Stats {
	s.Helper()
	all, err := s.q.Endpoints(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	return all[endpoint]
}

// counts checks how many messages wait, are kept and are dead.
func (s *site) counts(waiting, kept, dead int64) {
	s.Helper()
	synctest.Wait()
	if got := s.stats(); got.Waiting != waiting || got.Kept != kept || got.Dead != dead {
		s.Fatalf("%d wait, %d kept, %d dead; want %d, %d, %d", got.Waiting, got.Kept, got.Dead, waiting, kept, dead)
	}
}

// inOutage checks whether the dispatcher says so, and the queue remembers it.
func (s *site) inOutage(want bool) queue.Outage {
	s.Helper()
	synctest.Wait()
	o, in := s.d.Outage()
	if in != want {
		s.Fatalf("in an outage: %v, want %v", in, want)
	}
	remembered, err := s.q.Outage(s.Context(), endpoint)
	if err != nil {
		s.Fatal(err)
	}
	if (remembered != nil) != want || want && *remembered != o {
		s.Fatalf("the queue remembers %+v, the dispatcher %+v", remembered, o)
	}
	return o
}

// histories returns those of the waiting messages, by taking each as a probe.
// The dispatcher must not run.
func (s *site) histories() map[queue.ID]queue.History {
	s.Helper()
	all := make(map[queue.ID]queue.History)
	for range s.stats().Waiting {
		d, err := s.q.Probe(s.Context(), endpoint, queue.Pick{}, time.Hour)
		if err != nil {
			s.Fatal(err)
		}
		all[d.Message.ID] = d.History
	}
	return all
}

// equal checks that these are the messages, in this order.
func (s *site) equal(got, want []queue.ID) {
	s.Helper()
	if len(got) != len(want) {
		s.Fatalf("%d messages, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			s.Fatalf("message %d is %s, want %s", i, got[i], want[i])
		}
	}
}

func seconds(n ...float64) []time.Duration {
	var all []time.Duration
	for _, s := range n {
		all = append(all, time.Duration(s*float64(time.Second)))
	}
	return all
}

// The site is the dispatcher's observer.

func (s *site) Attempted(a queue.Attempt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told.attempts = append(s.told.attempts, a)
}

func (s *site) OutageBegan(o queue.Outage, resumed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told.began = append(s.told.began, o)
	if resumed {
		s.told.resumed++
	}
}

func (s *site) OutageEnded(o queue.Outage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told.ended = append(s.told.ended, o)
}

func (s *site) StaleTimestamp(m *queue.Message, _ int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told.stale = append(s.told.stale, m.ID)
}

func (s *site) EngineFailed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told.failures = append(s.told.failures, err)
}

// seen returns what the observer was told so far.
func (s *site) seen() told {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.told
}

// outcomes returns the outcomes of the attempts so far.
func (s *site) outcomes() []queue.AttemptOutcome {
	var all []queue.AttemptOutcome
	for _, a := range s.seen().attempts {
		all = append(all, a.Outcome)
	}
	return all
}
