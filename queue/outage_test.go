// SPDX-License-Identifier: Apache-2.0

package queue_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

func TestAnOutageBeginsWhenFiveDifferentMessagesFailed(t *testing.T) {
	open(t, broken, func(s *site) {
		s.publish(4)
		s.start()
		s.pass(time.Hour)
		if len(s.took()) < 4*5 {
			s.Fatal("four messages are not retried")
		}
		s.inOutage(false)
		s.publish(1)
		o := s.inOutage(true)
		if since := o.Since.Sub(s.opened); since != time.Hour || o.LastError != "status 500" || o.Route != "route 1" || o.Probes != 0 {
			s.Errorf("the outage is %+v", o)
		}
		if len(s.seen().began) != 1 || s.seen().began[0] != o || s.seen().resumed != 0 {
			s.Errorf("the observer was told %+v", s.seen().began)
		}
	})
}

func TestADeliveryInBetweenPreventsAnOutage(t *testing.T) {
	open(t, ok, func(s *site) {
		s.target.Concurrency = 1
		var n int
		s.respond(func(context.Context, *queue.Message, int) queue.Result {
			n++
			if n%5 == 0 {
				return ok
			}
			return broken
		})
		s.publish(200)
		s.start()
		s.pass(time.Minute)
		s.inOutage(false)
	})
}

func TestAnOutageBeginsWhenThreeAttemptsInARowCouldNotConnect(t *testing.T) {
	open(t, offline, func(s *site) {
		s.publish(1)
		s.start()
		s.pass(10 * time.Second)
		if n := len(s.seen().began); n != 1 {
			s.Fatalf("%d outages began", n)
		}
		// The third attempt comes after two delays, of 0.5 s to 1 s and of 1 s to 2 s.
		if since := s.seen().began[0].Since.Sub(s.opened); since < 1500*time.Millisecond || since > 3*time.Second {
			s.Errorf("the outage began after %v", since)
		}
		s.inOutage(true)
	})
}

func TestAnAnswerInBetweenIsAConnection(t *testing.T) {
	for _, answer := range []queue.Result{broken, {Status: 429}, {Err: errors.New("cut off")}} {
		t.Run(fmt.Sprint(answer.Status), func(t *testing.T) {
			open(t, ok, func(s *site) {
				s.respond(func(_ context.Context, _ *queue.Message, attempt int) queue.Result {
					if attempt%3 == 0 {
						return answer
					}
					return offline
				})
				s.publish(1)
				s.start()
				s.pass(5 * time.Hour)
				s.inOutage(false)
			})
		})
	}
}

func TestFinalAnswersAndThrottlingDoNotBeginAnOutage(t *testing.T) {
	for _, status := range []int{410, 429} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			open(t, queue.Result{Status: status}, func(s *site) {
				s.publish(30)
				s.start()
				s.pass(time.Hour)
				if len(s.seen().began) > 0 {
					s.Errorf("an outage began by answers of %d", status)
				}
			})
		})
	}
}

func TestProbesComeAfterOneSecondDoublingToThirty(t *testing.T) {
	open(t, broken, func(s *site) {
		s.publish(5)
		s.start()
		s.tried()
		s.pass(2*time.Minute + time.Second/2)
		want := seconds(1, 3, 7, 15, 31, 61, 91)
		if got := s.times(); !slices.Equal(got, want) {
			s.Errorf("probes at %v, want %v", got, want)
		}
		o := s.inOutage(true)
		if next := o.NextProbe.Sub(s.opened); o.Probes != 7 || next != 121*time.Second {
			s.Errorf("after %d probes the next is at %v", o.Probes, next)
		}
	})
}

func TestTheTimeBetweenProbesIsCountedFromTheEndOfOne(t *testing.T) {
	open(t, ok, func(s *site) {
		s.respond(after(10*time.Second, timedOut))
		s.publish(5)
		s.start()
		s.tried()
		s.pass(time.Minute)
		if got, want := s.times(), seconds(11, 23, 37, 55); !slices.Equal(got, want) {
			s.Errorf("probes at %v, want %v", got, want)
		}
		if most := s.atOnce(); most != 5 {
			s.Errorf("%d at once", most)
		}
	})
}

func TestAProbesRetryAfterCountsUpToFiveMinutes(t *testing.T) {
	open(t, queue.Result{Status: 503, RetryAfter: time.Minute}, func(s *site) {
		s.publish(5)
		s.start()
		s.tried()
		s.pass(90 * time.Second)
		s.answerWith(queue.Result{Status: 429, RetryAfter: time.Hour})
		s.pass(10 * time.Minute)
		if got, want := s.times(), seconds(1, 61, 121, 421); !slices.Equal(got, want) {
			s.Errorf("probes at %v, want %v", got, want)
		}
	})
}

func TestProbesAlternateAndDoNotRepeatAMessage(t *testing.T) {
	open(t, broken, func(s *site) {
		s.target.Concurrency = 5
		ids := s.publish(14)
		s.start()
		s.tried()
		s.pass(4 * time.Minute)
		probes := s.tried()
		s.equal(probes[:10], []queue.ID{
			ids[0], ids[13], ids[1], ids[12], ids[2], ids[11], ids[3], ids[10], ids[4], ids[9],
		})
	})
}

func TestASingleMessageIsProbedAgain(t *testing.T) {
	open(t, offline, func(s *site) {
		id := s.publish(1)[0]
		s.start()
		s.pass(5 * time.Minute)
		for _, tried := range s.tried() {
			if tried != id {
				s.Fatal("tried another message")
			}
		}
		if o := s.inOutage(true); o.Probes < 7 {
			s.Errorf("%d probes", o.Probes)
		}
	})
}

func TestInAnOutageNothingIsHandedOutButOneProbe(t *testing.T) {
	open(t, broken, func(s *site) {
		s.publish(5)
		s.start()
		s.tried()
		s.respond(after(20*time.Second, broken))
		s.publish(100)
		s.pass(500 * time.Millisecond)
		if n := len(s.took()); n != 0 {
			s.Fatalf("%d messages were handed out before the first probe", n)
		}
		s.atOnce()
		s.pass(time.Hour)
		if most := s.atOnce(); most != 1 {
			s.Errorf("%d probes at once", most)
		}
	})
}

func TestAMessageThatArrivesInAnOutageWaitsForTheNextProbe(t *testing.T) {
	open(t, offline, func(s *site) {
		s.publish(1)
		s.start()
		s.pass(6 * time.Second)
		s.inOutage(true)
		s.answerWith(ok)
		s.tried()
		s.publish(3)
		if n := len(s.took()); n != 0 {
			s.Fatalf("%d messages were handed out at once", n)
		}
		s.pass(time.Minute)
		s.counts(0, 4, 0)
	})
}

func TestAReceiveThatWaitsEndsWhenAnOutageBegins(t *testing.T) {
	open(t, ok, func(s *site) {
		s.respond(after(time.Second, broken))
		s.publish(5)
		s.start()
		s.pass(1100 * time.Millisecond)
		if n := len(s.seen().began); n != 1 {
			s.Fatalf("the observer was told of %d outages", n)
		}
		s.publish(1)
		synctest.Wait()
		if n := s.stats().Retrying; n != 5 {
			s.Errorf("%d messages were handed out, want 5", n)
		}
	})
}

// A failure that was under way when the outage ended is the outage's, too.
func TestFailuresFromBeforeTheEndAreNotCountedAfterIt(t *testing.T) {
	open(t, ok, func(s *site) {
		slow := make(map[queue.ID]bool)
		for _, id := range s.publish(10) {
			slow[id] = true
		}
		var recovered atomic.Bool
		s.respond(func(ctx context.Context, m *queue.Message, attempt int) queue.Result {
			switch {
			case slow[m.ID] && attempt == 1:
				return after(20*time.Second, broken)(ctx, m, attempt)
			case recovered.Load():
				return ok
			default:
				return offline
			}
		})
		s.target.MaxAttempts = 10
		s.start()
		s.pass(time.Second)
		s.publish(3)
		s.inOutage(true)
		recovered.Store(true)
		s.pass(10 * time.Second)
		s.inOutage(false)
		s.counts(10, 3, 0)
		s.pass(10 * time.Second)
		s.counts(0, 13, 0)
		if n := len(s.seen().began); n != 1 {
			s.Errorf("%d outages began", n)
		}
		for k := range mustKept(s) {
			if k.History.Failures != 0 || k.History.Delayed != 0 {
				s.Errorf("a history is %+v", k.History)
			}
		}
	})
}

func TestAttemptsThatHangFromBeforeCountTowardsConcurrency(t *testing.T) {
	open(t, ok, func(s *site) {
		s.target.Concurrency = 6
		slow := make(map[queue.ID]bool)
		for _, id := range s.publish(5) {
			slow[id] = true
		}
		var recovered atomic.Bool
		s.respond(func(ctx context.Context, m *queue.Message, attempt int) queue.Result {
			switch {
			case slow[m.ID]:
				return after(29*time.Second, broken)(ctx, m, attempt)
			case recovered.Load():
				return after(500*time.Millisecond, ok)(ctx, m, attempt)
			default:
				return offline
			}
		})
		s.start()
		s.pass(time.Second)
		s.publish(50)
		s.inOutage(true)
		recovered.Store(true)
		s.pass(20 * time.Second)
		s.inOutage(false)
		if most := s.atOnce(); most != 6 {
			s.Errorf("%d attempts at once, want 6", most)
		}
	})
}

func TestAMessageHandedOutInTheMomentAnOutageBeginsIsGivenBack(t *testing.T) {
	open(t, ok, func(s *site) {
		s.through = func(r queue.Receiver) queue.Receiver { return slowly{r, s.opened} }
		s.respond(after(time.Second, broken))
		s.publish(5)
		s.start()
		s.pass(900 * time.Millisecond)
		last := s.publish(1)[0]
		s.pass(600 * time.Millisecond)
		s.inOutage(true)
		s.pass(400 * time.Millisecond)
		if slices.Contains(s.tried(), last) {
			s.Error("it was tried")
		}
		s.counts(6, 0, 0)
		if n := s.stats().InFlight; n != 0 {
			s.Errorf("%d are in flight", n)
		}
	})
}

// slowly hands a message out half a second late, come what may, unless it was
// there at first.
type slowly struct {
	queue.Receiver
	opened time.Time
}

func (r slowly) Receive(ctx context.Context, endpoint string, lease time.Duration) (queue.Delivery, error) {
	d, err := r.Receiver.Receive(ctx, endpoint, lease)
	if err == nil && d.Message.ReceivedAt.After(r.opened) {
		time.Sleep(500 * time.Millisecond)
	}
	return d, err
}

func TestTheFirstDeliveryEndsTheOutageAndAllIsReadyOldestFirst(t *testing.T) {
	open(t, broken, func(s *site) {
		s.target.Concurrency = 1
		ids := s.publish(4)
		s.start()
		s.pass(6 * time.Hour)
		ids = append(ids, s.publish(20)...)
		s.pass(90 * time.Second)
		before := s.inOutage(true)

		tried := s.tried()
		s.answerWith(ok)
		s.pass(30 * time.Second)
		s.inOutage(false)
		s.counts(0, 24, 0)
		got := s.tried()
		s.equal(got[1:], afterOutage(ids, tried, got[0]))
		if len(s.seen().ended) != 1 || s.seen().ended[0] != before {
			s.Errorf("the observer was told of %+v, want %+v", s.seen().ended, before)
		}
	})
}

func TestAnAttemptFromBeforeTheOutageCanEndIt(t *testing.T) {
	open(t, ok, func(s *site) {
		slow := s.publish(1)[0]
		s.respond(func(ctx context.Context, m *queue.Message, attempt int) queue.Result {
			if m.ID == slow {
				return after(20*time.Second, ok)(ctx, m, attempt)
			}
			return broken
		})
		s.publish(5)
		s.start()
		s.pass(16 * time.Second)
		s.inOutage(true)
		s.pass(5 * time.Second)
		if len(s.seen().ended) != 1 {
			s.Error("the outage goes on")
		}
	})
}

func TestAfterAnOutageConcurrencyDoublesWithEveryStep(t *testing.T) {
	open(t, broken, func(s *site) {
		s.target.Concurrency = 20
		s.publish(200)
		s.start()
		s.pass(500 * time.Millisecond)
		s.respond(after(10*time.Second, ok))
		s.atOnce()
		var atOnce []int
		for range 8 {
			s.pass(10 * time.Second)
			atOnce = append(atOnce, s.now())
		}
		if want := []int{1, 1, 2, 4, 8, 16, 20, 20}; !slices.Equal(atOnce, want) {
			s.Errorf("attempts at once: %v, want %v", atOnce, want)
		}
		if most := s.atOnce(); most > 20 {
			s.Errorf("%d attempts at once", most)
		}
	})
}

// The failures that opened an outage, and those within it, are taken back: from
// the messages that wait and from those that were in flight.
func TestFailuresOfAnOutageAreNotCounted(t *testing.T) {
	open(t, broken, func(s *site) {
		s.target.MaxAttempts = 20
		ids := s.publish(4)
		s.start()
		s.pass(10 * time.Second)
		if len(s.tried()) < 8 {
			s.Fatal("nothing was retried")
		}
		// One is in flight when the outage begins, and fails in it.
		slow := ids[0]
		s.respond(func(ctx context.Context, m *queue.Message, attempt int) queue.Result {
			if m.ID == slow {
				return after(20*time.Second, broken)(ctx, m, attempt)
			}
			return broken
		})
		for s.now() == 0 {
			s.pass(100 * time.Millisecond)
		}
		ids = append(ids, s.publish(1)...)
		s.inOutage(true)
		if s.now() != 1 {
			s.Fatal("nothing is in flight")
		}
		s.pass(time.Hour)
		s.stop()

		tries := make(map[queue.ID]int)
		for _, a := range s.seen().attempts {
			tries[a.Message.ID]++
		}
		for id, h := range s.histories() {
			if h.Failures != 0 || h.Delayed != 0 || h.Attempts != tries[id] {
				s.Errorf("after %d attempts the history of message %d is %+v", tries[id], slices.Index(ids, id), h)
			}
		}
		s.counts(5, 0, 0)
	})
}

func TestRefundsAreDurableAsSoonAsTheOutageIs(t *testing.T) {
	open(t, broken, func(s *site) {
		s.publish(4)
		s.start()
		s.pass(time.Minute)
		s.publish(1)
		s.inOutage(true)
		s.pass(100 * time.Millisecond)
		s.crash()
		s.stop()
		for id, h := range s.histories() {
			if h.Failures != 0 || h.Delayed != 0 {
				s.Errorf("the history of %s is %+v", id, h)
			}
		}
	})
}

func TestFailuresFromBeforeTheLastDeliveryAreNotTakenBack(t *testing.T) {
	open(t, broken, func(s *site) {
		bad := s.publish(1)[0]
		s.start()
		s.pass(10 * time.Second)
		s.answerWith(ok)
		s.publish(1)
		s.tried()
		s.answerWith(broken)
		s.pass(time.Minute)
		counted := len(s.tried())
		s.publish(4)
		s.inOutage(true)
		s.stop()
		h := s.histories()[bad]
		if h.Failures != h.Attempts-counted || h.Failures == 0 || h.Delayed == 0 {
			s.Errorf("%d failures are the outage's, the history is %+v", counted, h)
		}
	})
}

func TestADayOfOutageGivesNothingUp(t *testing.T) {
	open(t, broken, func(s *site) {
		s.target.GiveUpAfter = time.Minute
		s.target.MaxAttempts = 3
		s.start()
		s.publish(10)
		for n := range 24 * 4 {
			if n%2 == 0 {
				s.publish(10)
			}
			s.pass(15 * time.Minute)
		}
		s.inOutage(true)
		s.answerWith(ok)
		s.pass(time.Minute)
		s.counts(0, 490, 0)
		for k := range mustKept(s) {
			if k.History.Failures != 0 || k.History.Delayed != 0 {
				s.Fatalf("a history is %+v", k.History)
			}
		}
	})
}

func TestAFailedMessageIsGivenUpOnAfterTheOutageAsIfThereHadBeenNone(t *testing.T) {
	open(t, ok, func(s *site) {
		s.target.GiveUpAfter = time.Hour
		bad := s.publish(1)[0]
		app := func(healthy queue.Result) {
			s.respond(func(_ context.Context, m *queue.Message, _ int) queue.Result {
				if m.ID == bad {
					return broken
				}
				return healthy
			})
		}
		app(ok)
		s.start()
		operate := func(minutes int) {
			for range minutes {
				s.publish(1)
				s.pass(time.Minute)
			}
		}
		operate(30)
		app(broken)
		operate(10 * 60)
		s.inOutage(true)
		app(ok)
		operate(15)
		s.inOutage(false)
		if s.stats().Dead != 0 {
			s.Fatal("given up on after 45 minutes in health")
		}
		operate(60)
		if s.stats().Dead != 1 {
			s.Fatal("not given up on")
		}
	})
}

func TestAnOutageIsRememberedAcrossRestarts(t *testing.T) {
	for _, ended := range []string{"restart", "crash"} {
		t.Run(ended, func(t *testing.T) {
			open(t, broken, func(s *site) {
				s.publish(10)
				s.start()
				s.pass(62 * time.Second)
				before := s.inOutage(true)
				s.tried()
				if ended == "crash" {
					s.crash()
				} else {
					s.restart()
				}
				if got := s.inOutage(true); got != before {
					s.Errorf("the outage is %+v, was %+v", got, before)
				}
				if s.seen().resumed != 1 {
					s.Errorf("the observer was told %d times of an outage that goes on", s.seen().resumed)
				}
				s.pass(time.Minute)
				if got, want := s.times(), seconds(91, 121); !slices.Equal(got, want) {
					s.Errorf("probes at %v, want %v", got, want)
				}
				s.answerWith(ok)
				s.pass(time.Minute)
				s.inOutage(false)
				s.counts(0, 10, 0)
			})
		})
	}
}

func TestAClockThatWasSetBackDelaysAProbeByFiveMinutesAtMost(t *testing.T) {
	open(t, ok, func(s *site) {
		far := s.opened.Add(365 * 24 * time.Hour)
		if err := s.q.SetOutage(s.Context(), endpoint, &queue.Outage{Since: far, NextProbe: far, Route: "route 1"}); err != nil {
			s.Fatal(err)
		}
		s.publish(1)
		s.start()
		s.pass(10 * time.Minute)
		if got, want := s.times(), seconds(300); !slices.Equal(got, want) {
			s.Errorf("probes at %v, want %v", got, want)
		}
	})
}

func TestAChangedRouteIsProbedAtOnce(t *testing.T) {
	open(t, broken, func(s *site) {
		s.publish(10)
		s.start()
		s.pass(62 * time.Second)
		s.tried()

		s.target.AttemptTimeout = time.Minute
		s.d.SetTarget(s.target)
		if n := len(s.took()); n != 0 {
			s.Fatal("the same route is probed at once")
		}
		s.target.Route = "route 2"
		s.d.SetTarget(s.target)
		if n := len(s.took()); n != 1 {
			s.Fatal("a changed route is not probed at once")
		}
		if o := s.inOutage(true); o.Route != "route 2" {
			s.Errorf("the outage is %+v", o)
		}
		s.answerWith(ok)
		s.target.Route = "route 3"
		s.d.SetTarget(s.target)
		s.inOutage(false)
	})
}

func TestARouteThatChangedInARestartIsProbedAtOnce(t *testing.T) {
	open(t, broken, func(s *site) {
		s.publish(10)
		s.start()
		s.pass(62 * time.Second)
		s.tried()
		s.answerWith(ok)
		s.target.Route = "route 2"
		s.restart()
		s.inOutage(false)
		s.counts(0, 10, 0)
	})
}

// A changed route is probed at once, also while a probe hangs on the old one, which
// is not cancelled, and says nothing of the new one. Only if no more attempts may be
// under way does the new one wait for its end.
func TestAProbeThroughTheOldRouteDoesNotDelayTheNewOne(t *testing.T) {
	for concurrency, at := range map[int]time.Duration{2: 35 * time.Second, 1: 56 * time.Second} {
		t.Run(strconv.Itoa(concurrency), func(t *testing.T) {
			open(t, broken, func(s *site) {
				s.target.Concurrency = concurrency
				s.publish(10)
				s.start()
				s.pass(20 * time.Second)
				s.tried()
				s.respond(after(25*time.Second, broken))
				s.pass(15 * time.Second)
				hangs := s.tried() // since 31 s
				s.answerWith(broken)
				s.target.Route = "route 2"
				s.d.SetTarget(s.target)
				s.pass(27 * time.Second)
				s.inOutage(true)
				probed := s.took()
				if len(probed) != 1 || probed[0].at != at {
					s.Fatalf("the new route is probed as %v, want once, after %v", probed, at)
				}
				if probed[0].id == hangs[0] {
					s.Error("the message whose probe hung is the first again")
				}
				s.answerWith(ok)
				s.pass(time.Minute)
				s.inOutage(false)
				s.counts(0, 10, 0)
				if most := s.atOnce(); most > concurrency {
					s.Errorf("%d attempts at once", most)
				}
			})
		})
	}
}

func TestFailuresThroughAReplacedRouteAreNotCounted(t *testing.T) {
	open(t, ok, func(s *site) {
		s.respond(after(10*time.Second, broken))
		s.target.MaxAttempts = 1
		s.publish(10)
		s.start()
		s.pass(time.Second)
		s.answerWith(ok)
		s.target.Route = "route 2"
		s.d.SetTarget(s.target)
		s.pass(10 * time.Second)
		s.counts(0, 10, 0)
		if len(s.seen().began) > 0 {
			s.Error("an outage began")
		}
	})
}

func TestABacklogIsDeliveredInOrderAfterAnOutage(t *testing.T) {
	if testing.Short() {
		t.Skip("publishes 100,000 messages")
	}
	open(t, broken, func(s *site) {
		s.target.Concurrency = 1
		s.start()
		ids := s.publish(10)
		s.pass(55 * time.Minute) // with all that are to come it would take long
		ids = append(ids, s.publish(100_000-len(ids))...)
		s.pass(5 * time.Minute)
		s.inOutage(true)
		tried := s.tried()
		s.answerWith(ok)
		s.pass(time.Minute)
		s.counts(0, 100_000, 0)
		got := s.tried()
		s.equal(got[1:], afterOutage(ids, tried, got[0]))
	})
}

// afterOutage returns the order in which messages are delivered: oldest first,
// those that were tried before the others, and without the last probe.
func afterOutage(ids, tried []queue.ID, probe queue.ID) []queue.ID {
	before := make(map[queue.ID]bool)
	for _, id := range tried {
		before[id] = true
	}
	var first, then []queue.ID
	for _, id := range ids {
		switch {
		case id == probe:
		case before[id]:
			first = append(first, id)
		default:
			then = append(then, id)
		}
	}
	return append(first, then...)
}

// Whatever an application does, no message is lost, none is given up on for what
// was not its fault, and in the end everything is delivered.
func TestAnApplicationThatComesAndGoesGetsEverything(t *testing.T) {
	open(t, ok, func(s *site) {
		s.target.MaxAttempts = 40
		var mu sync.Mutex
		random := rand.New(rand.NewPCG(1, 2))
		pick := func(n int) int {
			mu.Lock()
			defer mu.Unlock()
			return random.IntN(n)
		}
		moods := []func(context.Context, *queue.Message, int) queue.Result{
			after(50*time.Millisecond, ok),
			after(time.Millisecond, broken),
			after(0, offline),
			after(31*time.Second, ok),
			after(10*time.Millisecond, queue.Result{Status: 429, RetryAfter: 2 * time.Second}),
			func(ctx context.Context, m *queue.Message, n int) queue.Result {
				return after(20*time.Millisecond, []queue.Result{ok, broken, timedOut}[pick(3)])(ctx, m, n)
			},
		}
		s.start()
		for range 400 {
			s.respond(moods[pick(len(moods))])
			s.publish(pick(20))
			s.pass(time.Duration(pick(120)) * time.Second)
			if pick(20) == 0 {
				s.restart()
			}
		}
		s.answerWith(ok)
		s.pass(2 * time.Hour)
		synctest.Wait()
		if st := s.stats(); st.Waiting != 0 || st.Dead != 0 {
			s.Errorf("statistics are %+v", st)
		}
		if most := s.atOnce(); most > s.target.Concurrency {
			s.Errorf("%d attempts at once", most)
		}
		if len(s.seen().began)-s.seen().resumed != len(s.seen().ended) {
			s.Errorf("%d outages began and %d ended", len(s.seen().began)-s.seen().resumed, len(s.seen().ended))
		}
	})
}
