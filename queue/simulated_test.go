// SPDX-License-Identifier: Apache-2.0

package queue_test

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
	"github.com/caddy-webhook-inbox/inbox/queue/queuetest"
	"github.com/caddy-webhook-inbox/inbox/queue/queuetest/ledger"
)

// A simulation is an inbox without its server: a memory engine, a dispatcher and an
// application, with a ledger of what they do. A message's key is its URI.
type simulation struct {
	site
	seed     uint64
	random   *rand.Rand // of the test's own goroutine
	luck     luck       // of all others
	ledger   ledger.Ledger
	messages int
	pending  []queue.Publication // not accepted yet
	unsure   sync.Map            // keys that may have been stored when the engine failed
	failing  atomic.Bool         // the engine is
	failed   time.Time           // since when, if it is
	steady   bool                // one process all the time, and one route: all delays hold
	alone    bool                // steady, and one attempt at a time
	outages  int
	dead     int

	application atomic.Int64
	poison      int // one message in so many is refused by a healthy application
	fault       func(queuetest.Step) (bool, error)
	result      func(queue.Result) queue.Result // that the dispatcher is told
}

// luck is a random source for many goroutines.
type luck struct {
	mu     sync.Mutex
	random *rand.Rand
}

func (l *luck) IntN(n int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.random.IntN(n)
}

func newSimulation(t *testing.T, seed uint64) *simulation {
	s := &simulation{
		site:   site{T: t, q: queuetest.NewMemory(), opened: time.Now(), stop: func() {}},
		seed:   seed,
		random: rand.New(rand.NewPCG(seed, 1)),
		luck:   luck{random: rand.New(rand.NewPCG(seed, 2))},
		result: func(r queue.Result) queue.Result { return r },
	}
	s.site.through = func(r queue.Receiver) queue.Receiver { return r }
	s.crowded = func() time.Duration { return 0 }
	s.setApplication(healthy)
	s.poison = 1 + s.random.IntN(100)
	s.target = queue.Target{Policy: queue.DefaultPolicy(), Route: "route", Deliver: s.attempt}
	s.steady = s.random.IntN(3) == 0
	s.alone = s.steady && s.random.IntN(2) == 0
	s.retarget()
	if s.alone {
		s.ledger.Backoff = s.target.Backoff.First / 2
	}
	s.ledger.Noted = 25 * time.Millisecond
	t.Cleanup(func() { s.stop() })
	return s
}

// retarget changes the policy, and the route where that may be.
func (s *simulation) retarget() {
	p := &s.target.Policy
	p.Concurrency = 1 + s.random.IntN(8)
	p.AttemptTimeout = time.Second + time.Duration(s.random.Int64N(int64(time.Minute)))
	p.MaxAttempts = s.random.IntN(2) * (1 + s.random.IntN(20))
	p.GiveUpAfter = time.Duration(s.random.Int64N(int64(72 * time.Hour)))
	p.Retain = time.Duration(s.random.IntN(2)) * time.Hour
	if s.alone {
		p.Concurrency = 1
	}
	if !s.steady {
		s.target.Route = fmt.Sprint("route ", s.random.IntN(2))
	}
	if s.d != nil {
		s.d.SetTarget(s.target)
	}
}

// receive publishes new messages, some of them twice.
func (s *simulation) receive(n int) {
	for range n {
		m := s.Message(endpoint)
		s.messages++
		m.Request.URI = fmt.Sprint("/", s.messages)
		p := queue.Publication{Message: m, Keys: []queue.Key{queuetest.Key(m.Request.URI, 10_000*time.Hour)}}
		if s.random.IntN(10) == 0 {
			p.MaxSize = 1 // it is full
		}
		s.publish(p)
		if s.random.IntN(10) == 0 {
			p.Message = s.again(p.Message)
			s.publish(p)
		}
	}
}

// again is the same message, sent once more.
func (s *simulation) again(m *queue.Message) *queue.Message {
	other := s.Message(endpoint)
	other.Request = m.Request
	return other
}

// publish sends a message, which is pending if it is not accepted.
func (s *simulation) publish(p queue.Publication) {
	key := p.Message.Request.URI
	s.ledger.Sent(key, p.Message.Request.Body)
	_, err := s.q.Publish(s.Context(), p)
	if err == nil {
		s.ledger.Answered(key, 202)
		return
	}
	s.ledger.Answered(key, 503)
	s.pending = append(s.pending, p)
	if s.failing.Load() {
		s.unsure.Store(key, true)
	}
}

// resend sends again what is pending, for which there is room now.
func (s *simulation) resend() {
	pending := s.pending
	s.pending = nil
	for _, p := range pending {
		p.Message, p.MaxSize = s.again(p.Message), 0
		s.publish(p)
	}
}

// crash kills the process. It may come at any moment of what is not durable.
func (s *simulation) crash() {
	began := time.Now()
	if s.failing.Load() {
		began = s.failed
	}
	s.q.Crash()
	s.stop()
	s.q = s.q.ReopenWith(s.random.IntN(s.q.Forgettable() + 1))
	s.failing.Store(false)
	s.ledger.Fault(began, time.Now().Add(time.Millisecond))
	s.start()
}

// restart ends the process in good order, which excuses nothing.
func (s *simulation) restart() {
	if s.failing.Load() {
		s.crash()
		return
	}
	s.site.restart()
}

// fail makes the engine fail now and then, or ends that with a crash: an engine that
// failed may have anything in flight.
func (s *simulation) fail() {
	if s.failing.Load() {
		s.crash()
		return
	}
	s.failed = time.Now()
	s.failing.Store(true)
}

// step is the engine's next fault.
func (s *simulation) step(step queuetest.Step) (apply bool, err error) {
	switch {
	case s.fault != nil:
		return s.fault(step)
	case !s.failing.Load() || s.luck.IntN(3) > 0:
		return true, nil
	case s.luck.IntN(2) == 0:
		err = errDisk
	default:
		err = queue.ErrUnavailable
	}
	return s.luck.IntN(2) == 0, err
}

// The states of the application.
const (
	healthy = iota
	refusing
	gone
	hanging
	throttling
	flaky
	states
	well // as healthy, and to all messages
)

func (s *simulation) setApplication(state int64) { s.application.Store(state) }

// attempt is what the application does. Its answer depends on the message, the
// number of the attempt and its state, and on nothing else.
func (s *simulation) attempt(ctx context.Context, m *queue.Message, n int) queue.Result {
	key := m.Request.URI
	h := fnv.New64a()
	_, _ = fmt.Fprint(h, key, n)
	random := rand.New(rand.NewPCG(s.seed, h.Sum64()))
	a := ledger.Attempt{Number: n, Message: m.ID.String(), Began: time.Now()}
	if _, ok := s.unsure.Load(key); ok {
		a.Message, a.Number = "", 0 // it may have died before it was accepted, and come again as another
	}
	r := s.respond(random, m)
	takes := time.Duration(random.Int64N(int64(time.Second)))
	if r == timedOut {
		takes = time.Hour
	}
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		r = queue.Result{Err: context.Cause(ctx)}
	}
	a.Ended, a.Status = time.Now(), r.Status
	if s.steady && r.Status == 429 {
		a.RetryAfter = r.RetryAfter
	}
	s.ledger.Tried(key, m.Request.Body, a)
	if r == panics {
		panic("the route failed")
	}
	return s.result(r)
}

var panics = queue.Result{Err: fmt.Errorf("it panics")}

func (s *simulation) respond(random *rand.Rand, m *queue.Message) queue.Result {
	state := s.application.Load()
	if state == flaky {
		state = random.Int64N(flaky)
	}
	poison := int(m.ID[15])%s.poison == 0
	switch {
	case state == refusing, state == healthy && poison:
		return []queue.Result{broken, {Status: 503, RetryAfter: time.Minute}, {Status: 404}, {Status: 301}, {Status: 410}, panics}[random.IntN(6)]
	case state == gone:
		return offline
	case state == hanging:
		return timedOut
	case state == throttling:
		return queue.Result{Status: 429, RetryAfter: time.Duration(random.IntN(200)) * time.Second}
	default:
		return ok
	}
}

// impatient hands out what was nacked at once.
type impatient struct{ queue.Receiver }

func (e impatient) Receive(ctx context.Context, endpoint string, lease time.Duration) (queue.Delivery, error) {
	d, err := e.Receiver.Receive(ctx, endpoint, lease)
	d.Lease = impatientLease{d.Lease}
	return d, err
}

type impatientLease struct{ queue.Lease }

func (l impatientLease) Nack(_ time.Duration, h queue.History) error { return l.Lease.Nack(0, h) }

// scribbling changes bodies.
type scribbling struct{ queue.Receiver }

func (e scribbling) Receive(ctx context.Context, endpoint string, lease time.Duration) (queue.Delivery, error) {
	d, err := e.Receiver.Receive(ctx, endpoint, lease)
	if err == nil {
		m := *d.Message
		m.Request.Body = append([]byte(" "), m.Request.Body...)
		d.Message = &m
	}
	return d, err
}
