// SPDX-License-Identifier: Apache-2.0

// Package ledger tells whether an inbox kept its promises.
//
// Whoever tries to break one writes down what happened, from outside: what was
// sent, what was answered, what the application got, when the process was killed,
// and, in the end, what still waits and what is dead. [Ledger.Check] then holds
// that against the invariants, and says what broke which:
//
//	I1 loss        what was accepted is delivered, or either dead or waiting
//	I2 invention   what is delivered was sent, byte for byte
//	I3 sameness    what was sent twice with one key is one message
//	I4 repetition  it is delivered twice only if a fault came between
//	I5 intrusion   what was refused is not delivered
//	I6 haste       no attempt comes before its time, and its number is higher
//	I7 grudge      what was answered 503 is accepted when it is sent again
//	I8 growth      what is bounded stays within its bound
//
// A message is known by its key, which is what makes two of them the same for the
// inbox; in most tests that is the id that the sender gives it.
package ledger

import (
	"crypto/sha256"
	"net/http"
	"sync"
	"time"
)

// A Ledger is what happened. The zero Ledger is empty and ready. Its methods are
// safe for concurrent use.
type Ledger struct {
	// Backoff is the shortest time that may pass between the end of a failed
	// attempt and the begin of the next one of the same message. The first step of
	// a backoff is the longest that always holds: a probe comes early. Default: 0.
	Backoff time.Duration

	// Noted is how long after its end a successful attempt may be forgotten by a
	// fault, because it was not durable yet. Default: 2 s, which is 20 ms for the
	// inbox and the rest for a machine that is busy.
	Noted time.Duration

	mu       sync.Mutex
	messages map[string]*message
	faults   []fault
	measures []measure
}

// A message is all that is known of one key.
type message struct {
	sums     map[[sha256.Size]byte]bool // of the bodies that were sent
	answers  map[int]int                // by status; 0 is none
	last     int                        // the last answer
	attempts []Attempt

	abandoned bool // by its sender
}

func (m *message) accepted() bool { return m.answers[http.StatusAccepted] > 0 }

// An Attempt is one try to deliver a message, as the application saw it.
type Attempt struct {
	Number       int           // that it was said to be, counted from 1; 0 if nothing was said
	Message      string        // the id that the inbox gave the message; empty if nothing was said
	Began, Ended time.Time     // it ends with the answer, or when the inbox hangs up
	Status       int           // that it was answered with; 0 if it was not
	RetryAfter   time.Duration // that it was answered with
}

// Succeeded reports whether the inbox was told that the message is delivered.
func (a Attempt) Succeeded() bool { return a.Status >= 200 && a.Status < 300 }

// A fault excuses what is delivered again because of it.
type fault struct{ began, ended time.Time }

type measure struct {
	what       string
	got, bound float64
}

// Sent notes that a request with a message goes out. It comes before the request,
// so that no delivery is ahead of it.
func (l *Ledger) Sent(key string, body []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.message(key).sums[sha256.Sum256(body)] = true
}

// Answered notes the status that a request was answered with: 0 if it was not.
func (l *Ledger) Answered(key string, status int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := l.message(key)
	m.answers[status]++
	m.last = status
}

// Abandoned notes that the sender of a message, which got no answer the last time,
// does not send it again.
func (l *Ledger) Abandoned(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.message(key).abandoned = true
}

// Tried notes an attempt, with the body that the application got. The inbox may
// only know of its end what the application knew before it answered, so it is
// noted before the answer.
func (l *Ledger) Tried(key string, body []byte, a Attempt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := l.message(key)
	if !m.sums[sha256.Sum256(body)] {
		a.Message = inventedBody
	}
	m.attempts = append(m.attempts, a)
}

// inventedBody stands for the message of an attempt whose body was never sent.
const inventedBody = "\x00invented"

// Fault notes that something was done to the inbox, from when until when: a kill,
// a power cut, a failing disk. What was under way, or not yet noted, may be
// delivered again. It ends when the application has seen all that was begun before.
func (l *Ledger) Fault(began, ended time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faults = append(l.faults, fault{began, ended})
}

// Measured notes how much there is of something that is bounded: bytes, file
// descriptors, goroutines.
func (l *Ledger) Measured(what string, got, bound float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.measures = append(l.measures, measure{what, got, bound})
}

// Undelivered returns how many accepted messages had no successful attempt yet.
func (l *Ledger) Undelivered() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range l.messages {
		if m.accepted() && m.successes() == 0 {
			n++
		}
	}
	return n
}

// Counts is what a ledger is about. A test holds it against what it meant to do:
// a load that was never accepted proves nothing.
type Counts struct {
	Sent, Accepted, Refused, Unavailable, Unanswered int // messages
	Attempts, Delivered, Repeated                    int // Repeated: successful attempts beyond the first
	Faults                                           int
}

// Counts counts.
func (l *Ledger) Counts() (c Counts) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.Faults = len(l.faults)
	for _, m := range l.messages {
		if len(m.sums) > 0 {
			c.Sent++
		}
		c.Attempts += len(m.attempts)
		if m.accepted() {
			c.Accepted++
		}
		if m.answers[http.StatusServiceUnavailable] > 0 {
			c.Unavailable++
		}
		if m.answers[0] > 0 {
			c.Unanswered++
		}
		if m.refused() {
			c.Refused++
		}
		if n := m.successes(); n > 0 {
			c.Delivered++
			c.Repeated += n - 1
		}
	}
	return c
}

func (m *message) successes() (n int) {
	for _, a := range m.attempts {
		if a.Succeeded() {
			n++
		}
	}
	return n
}

// refused reports whether every request was answered that it is not taken.
func (m *message) refused() bool {
	refusals := 0
	for status, n := range m.answers {
		if status < 400 || status >= 500 {
			return false
		}
		refusals += n
	}
	return refusals > 0
}

func (l *Ledger) message(key string) *message {
	m := l.messages[key]
	if m == nil {
		if l.messages == nil {
			l.messages = make(map[string]*message)
		}
		m = &message{sums: make(map[[sha256.Size]byte]bool, 1), answers: make(map[int]int, 1)}
		l.messages[key] = m
	}
	return m
}
