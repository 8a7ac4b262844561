// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// An Invariant is one of I1 to I8.
type Invariant int

// The invariants. The package says what they are.
const (
	Loss Invariant = iota + 1
	Invention
	Sameness
	Repetition
	Intrusion
	Haste
	Grudge
	Growth
)

// String returns "I1 loss" and the like.
func (i Invariant) String() string {
	names := [...]string{"loss", "invention", "sameness", "repetition", "intrusion", "haste", "grudge", "growth"}
	if i < 1 || int(i) > len(names) {
		return fmt.Sprintf("I%d", int(i))
	}
	return fmt.Sprintf("I%d %s", int(i), names[i-1])
}

// A Violation is a promise that was not kept.
type Violation struct {
	Invariant Invariant
	Key       string // of the message; empty if it is about none
	What      string
}

func (v Violation) String() string {
	if v.Key == "" {
		return fmt.Sprintf("%v: %s", v.Invariant, v.What)
	}
	return fmt.Sprintf("%v: %s: %s", v.Invariant, v.Key, v.What)
}

// An End is what the inbox says that it still has when it is at rest.
type End struct {
	Waiting map[string]bool // keys of messages
	Dead    map[string]bool
}

// Check returns what broke an invariant, by invariant and key. The inbox must be at
// rest: what is accepted or delivered meanwhile may be missing from end.
func (l *Ledger) Check(end End) []Violation {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := checker{ledger: l, end: end, noted: l.Noted}
	if c.noted == 0 {
		c.noted = 2 * time.Second
	}
	for key, m := range l.messages {
		c.key = key
		slices.SortStableFunc(m.attempts, func(a, b Attempt) int { return a.Began.Compare(b.Began) })
		c.loss(m)
		c.invention(m)
		c.sameness(m)
		c.repetition(m)
		c.intrusion(m)
		c.haste(m)
		c.grudge(m)
	}
	c.key = ""
	c.strangers()
	for _, m := range l.measures {
		if !(m.got <= m.bound) { // which is true of a quotient of nothing too
			c.violated(Growth, "%s: %g, at most %g are allowed", m.what, m.got, m.bound)
		}
	}
	slices.SortFunc(c.found, func(a, b Violation) int {
		if a.Invariant != b.Invariant {
			return int(a.Invariant - b.Invariant)
		}
		return strings.Compare(a.Key, b.Key)
	})
	return c.found
}

type checker struct {
	ledger *Ledger
	end    End
	noted  time.Duration
	key    string
	found  []Violation
}

func (c *checker) violated(i Invariant, format string, args ...any) {
	c.found = append(c.found, Violation{i, c.key, fmt.Sprintf(format, args...)})
}

func (c *checker) loss(m *message) {
	if c.end.Waiting[c.key] && c.end.Dead[c.key] {
		c.violated(Loss, "it is waiting and dead at the same time")
	}
	if m.accepted() && m.successes() == 0 && !c.end.Waiting[c.key] && !c.end.Dead[c.key] {
		c.violated(Loss, "accepted, tried %d times, not delivered, and neither waiting nor dead", len(m.attempts))
	}
}

func (c *checker) invention(m *message) {
	for _, a := range m.attempts {
		if a.Message == inventedBody {
			c.violated(Invention, "attempt %d has a body that was never sent", a.Number)
		}
	}
}

// strangers are what the inbox has in the end and nobody sent.
func (c *checker) strangers() {
	for what, keys := range map[string]map[string]bool{"waiting": c.end.Waiting, "dead": c.end.Dead} {
		for key := range keys {
			if c.ledger.messages[key] == nil {
				c.found = append(c.found, Violation{Invention, key, "it is " + what + " and was never sent"})
			}
		}
	}
}

// sameness: two messages of one key are there only if the inbox accepted twice.
func (c *checker) sameness(m *message) {
	ids := make(map[string]bool)
	for _, a := range m.attempts {
		if a.Message != "" && a.Message != inventedBody {
			ids[a.Message] = true
		}
	}
	if len(ids) > 1 {
		c.violated(Sameness, "it was delivered as %d messages", len(ids))
	}
}

// repetition: each further attempt after a success needs a fault of its own, which
// came while the success was under way or not yet noted. So does a success that is
// forgotten in the end.
func (c *checker) repetition(m *message) {
	var before *Attempt
	for i := range m.attempts {
		a := &m.attempts[i]
		if before != nil && !c.excused(*before, a.Began) {
			c.violated(Repetition, "delivered in attempt %d, and tried again %v later, with no fault between",
				before.Number, a.Began.Sub(before.Ended).Round(time.Millisecond))
		}
		if a.Succeeded() {
			before = a
		}
	}
	if before == nil {
		return
	}
	for what, keys := range map[string]map[string]bool{"waits": c.end.Waiting, "is dead": c.end.Dead} {
		if keys[c.key] && !slices.ContainsFunc(c.ledger.faults, func(f fault) bool { return c.forgets(f, *before) }) {
			c.violated(Repetition, "delivered in attempt %d, and %s in the end, with no fault between", before.Number, what)
		}
	}
}

// excused reports whether a fault explains that another attempt began after one.
func (c *checker) excused(first Attempt, next time.Time) bool {
	return slices.ContainsFunc(c.ledger.faults, func(f fault) bool { return c.forgets(f, first) && !next.Before(f.began) })
}

// forgets reports whether the inbox may know nothing of the attempt after the fault.
func (c *checker) forgets(f fault, a Attempt) bool {
	return f.ended.After(a.Began) && f.began.Before(a.Ended.Add(c.noted))
}

func (c *checker) intrusion(m *message) {
	if !m.refused() {
		return
	}
	if len(m.attempts) > 0 {
		c.violated(Intrusion, "refused with %d, and delivered", m.last)
	}
	if c.end.Waiting[c.key] || c.end.Dead[c.key] {
		c.violated(Intrusion, "refused with %d, and in the queue", m.last)
	}
}

// haste: attempts that a fault came between need not know of each other, nor need
// those of different messages, which are sameness's concern.
func (c *checker) haste(m *message) {
	for i := 1; i < len(m.attempts); i++ {
		a, b := m.attempts[i-1], m.attempts[i]
		if a.Succeeded() || a.Message != b.Message || c.excused(a, b.Began) {
			continue
		}
		if a.Number > 0 && b.Number > 0 && b.Number <= a.Number {
			c.violated(Haste, "attempt %d came after attempt %d", b.Number, a.Number)
		}
		if gap, least := b.Began.Sub(a.Ended), max(c.ledger.Backoff, a.RetryAfter); gap < least {
			c.violated(Haste, "attempt %d came %v after the one before, and not before %v is allowed",
				b.Number, gap.Round(time.Millisecond), least)
		}
	}
}

// grudge: who gets a 503 sends again until it is accepted, unless it is abandoned.
// That what is accepted then is also there is I1.
func (c *checker) grudge(m *message) {
	if m.answers[http.StatusServiceUnavailable] == 0 {
		return
	}
	if m.last >= 400 || m.last == 0 && !m.accepted() && !m.abandoned {
		c.violated(Grudge, "answered 503 before, and in the end %d", m.last)
	}
}
