// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"fmt"
	"time"
)

// An Observer is told what a [Dispatcher] does, to log and count it. Its methods
// are called by several goroutines at once and hold deliveries up until they
// return.
type Observer interface {
	// Attempted is called after each attempt, when its message is settled.
	Attempted(a Attempt)

	// OutageBegan is called when an outage begins. It is resumed if it was
	// remembered from before a restart.
	OutageBegan(o Outage, resumed bool)

	// OutageEnded is called when an outage is over: how it was at last.
	OutageEnded(o Outage)

	// StaleTimestamp is called once for a target when the application refused a
	// message with 401 or 403 after the sender's own timestamp had left its
	// tolerance: the application probably checks that timestamp itself.
	StaleTimestamp(m *Message, status int)

	// EngineFailed is called when the engine does not do its part, once until
	// the error changes, and with nil when it works again. The dispatcher keeps
	// trying.
	EngineFailed(err error)
}

// An Attempt is an attempt that ended.
type Attempt struct {
	Message *Message
	Number  int // counted from 1, over all restarts
	Result  Result
	Outcome AttemptOutcome
	Took    time.Duration

	// Delay is how long the message waits before the next attempt, at least.
	Delay time.Duration

	// Reason says why the message was buried.
	Reason string

	// SettleErr says why the engine could not note the outcome: the message
	// will be delivered again.
	SettleErr error
}

// AttemptOutcome is a word for what became of a message after an attempt. It is
// fit for a metric's label.
type AttemptOutcome string

// The outcomes of an attempt.
const (
	Delivered   AttemptOutcome = "delivered"
	Retried     AttemptOutcome = "retried"     // failed, which was counted
	Held        AttemptOutcome = "held"        // failed in an outage, or through a replaced route, which was not
	Throttled   AttemptOutcome = "throttled"   // answered 429
	Buried      AttemptOutcome = "buried"      // given up on
	Interrupted AttemptOutcome = "interrupted" // not delivered because of a shutdown
)

// A PanicError is the Err of a [Result] when Deliver panicked. Its text leaves
// the value out, which may quote the message.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("delivery panicked with a %T", e.Value) }
