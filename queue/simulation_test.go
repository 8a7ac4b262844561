// SPDX-License-Identifier: Apache-2.0

package queue_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
	"github.com/caddy-webhook-inbox/inbox/queue/queuetest"
	"github.com/caddy-webhook-inbox/inbox/queue/queuetest/ledger"
)

// seedVariable names the environment variable that repeats a simulation. The seed
// says what is done, when, and what the application answers; which goroutine is first
// where several could be is up to the runtime.
const seedVariable = "QUEUE_SIMULATION_SEED"

// For days, a dispatcher delivers out of an engine that fails, is full, is closed, and
// crashes, of which each crash leaves another part of what was not durable; to an
// application that is healthy, refuses, is gone, hangs, throttles, panics and does all
// of that in turn. When all are well again, everything that was accepted is delivered
// or dead, no message came twice without a crash in between, and none came early.
func TestFaultSimulation(t *testing.T) {
	t.Parallel()
	const shards = 4
	seeds, first := simulated(t)
	for shard := range shards {
		t.Run(fmt.Sprint("shard ", shard+1), func(t *testing.T) {
			t.Parallel()
			var sum ledger.Counts
			var outages, dead int
			for n := shard; n < seeds; n += shards {
				s, violations := simulate(t, first+uint64(n), nil)
				for _, v := range violations {
					t.Errorf("%s=%d: %v", seedVariable, s.seed, v)
				}
				if t.Failed() {
					return
				}
				c := s.ledger.Counts()
				sum.Accepted += c.Accepted
				sum.Unavailable += c.Unavailable
				sum.Attempts += c.Attempts
				sum.Delivered += c.Delivered
				sum.Repeated += c.Repeated
				sum.Faults += c.Faults
				outages += s.outages
				dead += s.dead
			}
			t.Logf("%+v, %d outages, %d dead", sum, outages, dead)
			if seeds > 1 && (sum.Unavailable == 0 || sum.Repeated == 0 || outages == 0 || dead == 0) {
				t.Error("nothing happened")
			}
		})
	}
}

// simulated returns how many seeds to simulate, and the first of them.
func simulated(t *testing.T) (seeds int, first uint64) {
	t.Helper()
	first, given := firstSeed(t)
	seeds = 200
	switch {
	case given:
		seeds = 1
	case faultsAreLong:
		seeds = 100_000
	}
	t.Logf("%d seeds from %d", seeds, first)
	return seeds, first
}

// firstSeed returns the seed that was given, or any.
func firstSeed(t *testing.T) (seed uint64, given bool) {
	t.Helper()
	s := os.Getenv(seedVariable)
	if s == "" {
		return uint64(rand.Uint32()), false
	}
	seed, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return seed, true
}

// Each of these breaks a promise, and the simulation says which.
func TestFaultSimulationNoticesWhatIsBroken(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]struct {
		breaks ledger.Invariant
		broken func(s *simulation)
	}{
		"an engine that answers before it stores": {ledger.Loss, func(s *simulation) {
			s.fault = func(step queuetest.Step) (bool, error) {
				return step.Op != queuetest.OpPublish || step.ID[15]%8 > 0, nil
			}
		}},
		"an engine that forgets acks": {ledger.Repetition, func(s *simulation) {
			s.fault = func(step queuetest.Step) (bool, error) {
				return step.Op != queuetest.OpAck || step.ID[15]%8 > 0, nil
			}
		}},
		"an ack before the answer": {ledger.Loss, func(s *simulation) {
			s.result = func(queue.Result) queue.Result { return ok }
		}},
		"an answer that does not count": {ledger.Repetition, func(s *simulation) {
			s.result = func(r queue.Result) queue.Result {
				if r.Status == 200 && s.luck.IntN(8) == 0 {
					return timedOut
				}
				return r
			}
		}},
		"an engine that knows no delay": {ledger.Haste, func(s *simulation) {
			s.through = func(r queue.Receiver) queue.Receiver { return impatient{r} }
		}},
		"an engine that changes bodies": {ledger.Invention, func(s *simulation) {
			s.through = func(r queue.Receiver) queue.Receiver { return scribbling{r} }
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(50) {
				_, violations := simulate(t, seed, m.broken)
				for _, v := range violations {
					if v.Invariant == m.breaks {
						t.Logf("seed %d: %v", seed, v)
						return
					}
				}
			}
			t.Errorf("nothing breaks %v", m.breaks)
		})
	}
}

// simulate runs one simulation in a bubble, of something that may be broken, and
// returns what the ledger says.
func simulate(t *testing.T, seed uint64, broken func(*simulation)) (s *simulation, violations []ledger.Violation) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s = newSimulation(t, seed)
		if broken != nil {
			broken(s)
		}
		s.q.Fault = s.step
		s.start()
		for range 25 {
			s.something()
		}
		violations = s.ledger.Check(s.rest())
	})
	return s, violations
}

// something is one of all that can happen.
func (s *simulation) something() {
	switch n := s.random.IntN(12); {
	case n < 4:
		s.receive(1 + s.random.IntN(8))
	case n < 6:
		s.setApplication(s.random.Int64N(states))
	case n == 6:
		s.resend()
	case n == 7:
		s.retarget()
	case n == 8 && !s.steady:
		s.crash()
	case n == 9 && !s.steady:
		s.restart()
	case n == 10 && !s.steady:
		s.fail()
	default:
		time.Sleep(time.Duration(s.random.Int64N(int64(3 * time.Hour))))
	}
	time.Sleep(time.Duration(s.random.Int64N(int64(30 * time.Second))))
}

// rest lets everything be well again, and returns what is left when all is done.
func (s *simulation) rest() ledger.End {
	s.Helper()
	s.setApplication(well)
	if !s.steady {
		s.crash()
	}
	s.resend()
	for range 1000 {
		if s.pass(time.Hour); s.stats().Waiting == 0 {
			break
		}
	}
	s.stop()
	end := ledger.End{Waiting: make(map[string]bool), Dead: make(map[string]bool)}
	s.ledger.Measured("messages that wait for ever", float64(s.stats().Waiting), 0)
	for d, err := range s.q.DeadLetters(s.Context(), endpoint, queue.ID{}) {
		if err != nil {
			s.Fatal(err)
		}
		end.Dead[d.Message.Request.URI] = true
	}
	s.dead, s.outages = len(end.Dead), len(s.seen().began)
	return end
}
