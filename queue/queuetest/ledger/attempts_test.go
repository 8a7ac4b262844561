// SPDX-License-Identifier: Apache-2.0

package ledger_test

import (
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/caddy-webhook-inbox/inbox/queue/queuetest/ledger"
)

// A message that was delivered is tried again only because of a fault that came
// while the delivery was under way, or in the moment that it takes to note it.
func TestRepetition(t *testing.T) {
	waits, dead := End{Waiting: key("key")}, End{Dead: key("key")}
	// Each attempt takes 10 ms, and a delivery is noted after 200 ms.
	twice := tried(try{at: 0, number: 1, status: 200}, try{at: 500, number: 1, status: 200})
	for _, c := range []struct {
		name   string
		steps  []step
		end    End
		broken bool
	}{
		{"twice", []step{twice}, End{}, true},
		{"twice, in another order", []step{tried(try{at: 500, number: 1, status: 200}, try{at: 0, number: 1, status: 200})}, End{}, true},
		{"delivered, and tried in vain", []step{tried(try{number: 1, status: 200}, try{at: 500, number: 2, status: 500})}, End{}, true},
		{"at the same time", []step{tried(try{number: 1, status: 200}, try{at: 5, number: 1, status: 200})}, End{}, true},
		{"a kill before the first", []step{fault(-20, -10), twice}, End{}, true},
		{"a kill when the first was noted", []step{fault(210, 220), twice}, End{}, true},
		{"a kill after the second", []step{fault(520, 530), twice}, End{}, true},
		{"a kill soon, but after the second", []step{fault(100, 110), tried(try{number: 1, status: 200}, try{at: 50, number: 2, status: 200})}, End{}, true},
		{"a kill after the first, and three deliveries", []step{fault(20, 30), twice, tried(try{at: 1000, number: 2, status: 200})}, End{}, true},
		{"delivered, and still waiting", []step{tried(try{number: 1, status: 200})}, waits, true},
		{"delivered, and dead", []step{tried(try{number: 1, status: 200})}, dead, true},
		{"delivered, a kill too late, and still waiting", []step{tried(try{number: 1, status: 200}), fault(210, 220)}, waits, true},

		{"a kill within the first", []step{fault(5, 6), twice}, End{}, false},
		{"a kill before it is noted", []step{fault(209, 220), twice}, End{}, false},
		{"a kill that the second falls into", []step{fault(200, 600), twice}, End{}, false},
		{"two kills, and three deliveries", []step{fault(20, 30), fault(520, 530), twice, tried(try{at: 1000, number: 1, status: 200})}, End{}, false},
		{"one long fault, and three deliveries", []step{fault(0, 2000), twice, tried(try{at: 1000, number: 1, status: 200})}, End{}, false},
		{"delivered, killed, and still waiting", []step{tried(try{number: 1, status: 200}), fault(5, 20)}, waits, false},
		{"delivered, killed, refused, and dead", []step{tried(try{number: 1, status: 200}, try{at: 500, number: 1, status: 410}), fault(5, 20)}, dead, false},
		{"failed, and then delivered", []step{tried(try{number: 1, status: 500}, try{at: 500, number: 2, status: 200})}, End{}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var breaks []Invariant
			if c.broken {
				breaks = []Invariant{Repetition}
			}
			expect(t, append([]step{accepted}, c.steps...), c.end, breaks)
		})
	}
}

// An attempt that follows a failure comes after the backoff, after what the answer
// asked for, and with a higher number, unless a fault made the inbox forget.
func TestHaste(t *testing.T) {
	end := try{at: 100_000, number: 100, status: 200}
	// Backoff is 100 ms, and each attempt takes 10 ms.
	for _, c := range []struct {
		name   string
		steps  []step
		broken bool
	}{
		{"before the backoff", []step{tried(try{number: 1, status: 500}, try{at: 109, number: 2})}, true},
		{"before the backoff, in another order", []step{tried(try{at: 109, number: 2}, try{number: 1, status: 500})}, true},
		{"before the backoff of an attempt without an answer", []step{tried(try{number: 1}, try{at: 109, number: 2})}, true},
		{"while the one before is under way", []step{tried(try{number: 1, takes: 300}, try{at: 299, number: 2})}, true},
		{"before Retry-After", []step{tried(try{number: 1, status: 429, retryAfter: 1000}, try{at: 1009, number: 2})}, true},
		{"with the same number", []step{tried(try{number: 1}, try{at: 110, number: 1})}, true},
		{"with a lower number", []step{tried(try{number: 3}, try{at: 110, number: 2})}, true},
		{"a kill before the failure", []step{fault(-20, -10), tried(try{number: 1}, try{at: 50, number: 2})}, true},
		{"a kill after the next attempt began", []step{fault(51, 60), tried(try{number: 1}, try{at: 50, number: 2})}, true},

		{"at the end of the backoff", []step{tried(try{number: 1}, try{at: 110, number: 2})}, false},
		{"after Retry-After", []step{tried(try{number: 1, status: 429, retryAfter: 1000}, try{at: 1010, number: 2})}, false},
		{"a Retry-After that is shorter than the backoff", []step{tried(try{number: 1, retryAfter: 10}, try{at: 110, number: 2})}, false},
		{"a number is left out", []step{tried(try{number: 1}, try{at: 110, number: 3})}, false},
		{"no numbers", []step{tried(try{}, try{at: 110})}, false},
		{"a kill between", []step{fault(20, 30), tried(try{number: 1, retryAfter: 1000}, try{at: 50, number: 1})}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var breaks []Invariant
			if c.broken {
				breaks = []Invariant{Haste}
			}
			expect(t, append([]step{accepted, tried(end)}, c.steps...), End{}, breaks)
		})
	}
}

// Without a word on it, any time between attempts is right, and a delivery is noted
// within two seconds.
func TestDefaults(t *testing.T) {
	l := new(Ledger)
	accepted(l)
	tried(try{number: 1, status: 500}, try{at: 10, number: 2, status: 200}, try{at: 5000, number: 2, status: 200})(l)
	fault(2019, 2020)(l)
	if v := l.Check(End{}); len(v) > 0 {
		t.Errorf("it breaks %v, want nothing", v)
	}
}

// A violation says what it is about, and the order is that of the invariants.
func TestViolations(t *testing.T) {
	l := new(Ledger)
	l.Measured("bytes", math.Inf(1), 1)
	for _, key := range []string{"b", "a"} {
		l.Sent(key, nil)
		l.Answered(key, 202)
	}
	var got []string
	for _, v := range l.Check(End{}) {
		got = append(got, v.String())
	}
	const lost = ": accepted, tried 0 times, not delivered, and neither waiting nor dead"
	want := "I1 loss: a" + lost + "; I1 loss: b" + lost + "; I8 growth: bytes: +Inf, at most 1 are allowed"
	if got := strings.Join(got, "; "); got != want {
		t.Errorf("the violations are\n%s\nwant\n%s", got, want)
	}
	if s := Invariant(9).String(); s != "I9" {
		t.Errorf("an unknown invariant is %q", s)
	}
}

func TestCounts(t *testing.T) {
	l := new(Ledger)
	var all sync.WaitGroup // it is safe for concurrent use
	for _, do := range []step{
		accepted, answered(503), answered(0), fault(0, 1),
		tried(try{status: 500}, try{status: 200}, try{status: 200}),
		sent("refused", ""), func(l *Ledger) { l.Answered("refused", 401) },
		sent("accepted", ""), func(l *Ledger) { l.Answered("accepted", 202) },
		func(l *Ledger) { l.Tried("never sent", nil, Attempt{Ended: time.Now()}) },
	} {
		all.Go(func() { do(l) })
	}
	all.Wait()
	want := Counts{
		Sent: 3, Accepted: 2, Refused: 1, Unavailable: 1, Unanswered: 1,
		Attempts: 4, Delivered: 1, Repeated: 1, Faults: 1,
	}
	if got := l.Counts(); got != want {
		t.Errorf("the counts are %+v, want %+v", got, want)
	}
	if n := l.Undelivered(); n != 1 {
		t.Errorf("%d are undelivered, want 1", n)
	}
}
