// SPDX-License-Identifier: Apache-2.0

package ledger_test

import (
	"math"
	"slices"
	"testing"
	"time"

	. "github.com/caddy-webhook-inbox/inbox/queue/queuetest/ledger"
)

// A step is something that happens to the message "key", unless it says otherwise.
type step func(*Ledger)

func sent(key, body string) step {
	return func(l *Ledger) { l.Sent(key, []byte(body)) }
}

func answered(status int) step {
	return func(l *Ledger) { l.Answered("key", status) }
}

// accepted is a message that was sent once.
func accepted(l *Ledger) {
	sent("key", "body")(l)
	answered(202)(l)
}

func abandoned(l *Ledger) { l.Abandoned("key") }

// try is an attempt that begins at a time, takes 10 ms, and gets the body "body".
type try struct {
	at, number, status int
	id                 string
	takes              int
	retryAfter         int // in milliseconds, as all times
}

func (a try) attempt() Attempt {
	if a.takes == 0 {
		a.takes = 10
	}
	return Attempt{
		Number: a.number, Message: a.id, Status: a.status,
		Began: ms(a.at), Ended: ms(a.at + a.takes),
		RetryAfter: time.Duration(a.retryAfter) * time.Millisecond,
	}
}

func tried(tries ...try) step {
	return func(l *Ledger) {
		for _, a := range tries {
			l.Tried("key", []byte("body"), a.attempt())
		}
	}
}

func got(key, body string) step {
	return func(l *Ledger) { l.Tried(key, []byte(body), try{number: 1, status: 204}.attempt()) }
}

func fault(from, until int) step {
	return func(l *Ledger) { l.Fault(ms(from), ms(until)) }
}

func ms(n int) time.Time { return time.UnixMilli(1e12 + int64(n)) }

func key(names ...string) map[string]bool {
	keys := make(map[string]bool)
	for _, name := range names {
		keys[name] = true
	}
	return keys
}

// Each invariant is broken by some histories, and not by those nearest to them.
func TestCheck(t *testing.T) {
	waits, dead := End{Waiting: key("key")}, End{Dead: key("key")}
	// Backoff is 100 ms, and a delivery is noted after 200 ms.
	for _, c := range []struct {
		name   string
		steps  []step
		end    End
		breaks []Invariant
	}{
		{"nothing", nil, End{}, nil},
		{"an ordinary message", []step{accepted, tried(try{number: 1, status: 200})}, End{}, nil},

		{"accepted and gone", []step{accepted}, End{}, []Invariant{Loss}},
		{"accepted, failed and gone", []step{accepted, tried(try{number: 1, status: 500})}, End{}, []Invariant{Loss}},
		{"accepted in the second try and gone", []step{sent("key", "body"), answered(0), answered(503), answered(202)}, End{}, []Invariant{Loss}},
		{"accepted, then unanswered, and gone", []step{accepted, answered(0)}, End{}, []Invariant{Loss}},
		{"a redirect is no delivery", []step{accepted, tried(try{number: 1, status: 302})}, End{}, []Invariant{Loss}},
		{"no answer is no delivery", []step{accepted, tried(try{number: 1})}, End{}, []Invariant{Loss}},
		{"accepted and waiting", []step{accepted}, waits, nil},
		{"accepted and dead", []step{accepted, tried(try{number: 1, status: 410})}, dead, nil},
		{"unanswered and gone", []step{sent("key", "body"), answered(0)}, End{}, nil},
		{"waiting and dead", []step{accepted}, End{Waiting: key("key"), Dead: key("key")}, []Invariant{Loss}},
		{"another one is there", []step{accepted, sent("other", "body")}, End{Waiting: key("other")}, []Invariant{Loss}},

		{"another body", []step{accepted, got("key", "bodx")}, End{}, []Invariant{Invention}},
		{"a part of the body", []step{accepted, got("key", "bod")}, End{}, []Invariant{Invention}},
		{"the body of another", []step{accepted, sent("other", "else"), got("key", "else")}, End{}, []Invariant{Invention}},
		{"a key that nobody sent", []step{got("key", "body")}, End{}, []Invariant{Invention}},
		{"a stranger waits", nil, waits, []Invariant{Invention}},
		{"a stranger is dead", nil, dead, []Invariant{Invention}},
		{"another body in an attempt that failed", []step{accepted, tried(try{number: 1, status: 200}),
			func(l *Ledger) { l.Tried("key", nil, try{at: -500}.attempt()) }}, End{}, []Invariant{Invention}},
		{"an empty body", []step{sent("key", ""), answered(202), got("key", "")}, End{}, nil},
		{"either of two bodies that were sent", []step{accepted, sent("key", "else"), got("key", "else")}, End{}, nil},

		{"two messages of one key", []step{accepted, tried(try{0, 1, 500, "a", 0, 0}, try{500, 1, 200, "b", 0, 0})}, End{}, []Invariant{Sameness}},
		{"two deliveries of one key", []step{accepted, tried(try{0, 1, 200, "a", 0, 0}, try{500, 1, 200, "b", 0, 0})}, End{}, []Invariant{Sameness, Repetition}},
		{"a kill does not excuse two messages", []step{accepted, fault(0, 10), tried(try{0, 1, 200, "a", 0, 0}, try{500, 1, 200, "b", 0, 0})}, End{}, []Invariant{Sameness}},
		{"two attempts of one message", []step{accepted, tried(try{0, 1, 500, "a", 0, 0}, try{500, 2, 200, "a", 0, 0})}, End{}, nil},
		{"another message with a body that was not sent", []step{accepted, tried(try{0, 1, 500, "a", 0, 0}),
			func(l *Ledger) { l.Tried("key", nil, try{500, 2, 200, "b", 0, 0}.attempt()) }}, End{}, []Invariant{Invention}},
		{"an attempt that does not say its message", []step{accepted, tried(try{0, 1, 500, "", 0, 0}, try{500, 2, 200, "a", 0, 0})}, End{}, nil},

		{"refused and delivered", []step{sent("key", "body"), answered(401), tried(try{status: 200})}, End{}, []Invariant{Intrusion}},
		{"refused and tried", []step{sent("key", "body"), answered(401), tried(try{status: 500})}, End{}, []Invariant{Intrusion}},
		{"refused and waiting", []step{sent("key", "body"), answered(413)}, waits, []Invariant{Intrusion}},
		{"refused and dead", []step{sent("key", "body"), answered(400), answered(401)}, dead, []Invariant{Intrusion}},
		{"refused and gone", []step{sent("key", "body"), answered(401)}, End{}, nil},
		{"refused once and accepted once", []step{accepted, answered(401), tried(try{status: 200})}, End{}, nil},
		{"unanswered and delivered", []step{sent("key", "body"), answered(0), tried(try{status: 200})}, End{}, nil},
		{"broken and delivered", []step{sent("key", "body"), answered(500), tried(try{status: 200})}, End{}, nil},
		{"refused once and unanswered once", []step{sent("key", "body"), answered(401), answered(0), tried(try{status: 200})}, End{}, nil},

		{"unavailable for ever", []step{sent("key", "body"), answered(503), answered(503)}, End{}, []Invariant{Grudge}},
		{"unavailable, and then refused", []step{sent("key", "body"), answered(503), answered(401)}, End{}, []Invariant{Grudge}},
		{"unavailable, and then broken", []step{sent("key", "body"), answered(503), answered(500)}, End{}, []Invariant{Grudge}},
		{"accepted, and then unavailable for ever", []step{accepted, answered(503)}, waits, []Invariant{Grudge}},
		{"unavailable, and then without an answer for ever", []step{sent("key", "body"), answered(503), answered(0)}, End{}, []Invariant{Grudge}},
		{"unavailable, then without an answer, and abandoned", []step{sent("key", "body"), answered(503), answered(0), abandoned}, End{}, nil},
		{"unavailable, and abandoned with an answer", []step{sent("key", "body"), answered(503), abandoned}, End{}, []Invariant{Grudge}},
		{"unavailable, accepted, and then without an answer", []step{sent("key", "body"), answered(503), answered(202), answered(0)}, waits, nil},
		{"unavailable, and then accepted", []step{sent("key", "body"), answered(503), answered(202)}, waits, nil},
		{"unavailable, accepted and gone", []step{sent("key", "body"), answered(503), answered(202)}, End{}, []Invariant{Loss}},

		{"too much", []step{func(l *Ledger) { l.Measured("bytes", 2, 1) }}, End{}, []Invariant{Growth}},
		{"a quotient of nothing", []step{func(l *Ledger) { l.Measured("seconds", math.NaN(), 1) }}, End{}, []Invariant{Growth}},
		{"a bound that is none", []step{func(l *Ledger) { l.Measured("seconds", 1, math.NaN()) }}, End{}, []Invariant{Growth}},
		{"just enough", []step{func(l *Ledger) { l.Measured("bytes", 1, 1) }}, End{}, nil},
	} {
		t.Run(c.name, func(t *testing.T) { expect(t, c.steps, c.end, c.breaks) })
	}
}

// expect checks which invariants a history breaks.
func expect(t *testing.T, steps []step, end End, breaks []Invariant) {
	t.Helper()
	l := &Ledger{Backoff: 100 * time.Millisecond, Noted: 200 * time.Millisecond}
	for _, do := range steps {
		do(l)
	}
	var broken []Invariant
	for _, v := range l.Check(end) {
		t.Log(v)
		if !slices.Contains(broken, v.Invariant) {
			broken = append(broken, v.Invariant)
		}
	}
	if !slices.Equal(broken, breaks) {
		t.Errorf("it breaks %v, want %v", broken, breaks)
	}
}
