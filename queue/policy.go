// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// A Policy says how the messages of an endpoint are delivered, when they are
// given up on and how long they are kept. [DefaultPolicy] is a good one; the
// zero Policy is not valid.
type Policy struct {
	// Concurrency is how many attempts may be under way at once, at least 1. Of
	// those that are quick, fewer are while goroutines wait long for a CPU.
	Concurrency int

	// AttemptTimeout ends an attempt, which then has failed.
	AttemptTimeout time.Duration

	// Backoff is the delay between the attempts of a message.
	Backoff Backoff

	// GiveUpAfter is for how long a message is retried before it is buried: the
	// sum of the delays that it was given after counted failures. Zero is for
	// ever.
	GiveUpAfter time.Duration

	// MaxAttempts is how many counted failures a message may have before it is
	// buried. Zero is any number.
	MaxAttempts int

	// GiveUpOn are the answers after which a message is buried at once: a
	// status, or a class of them by its first digit (4 is 4xx). A class does not
	// include 429, which says that the endpoint is busy, not that the message is
	// wrong; 429 itself does.
	GiveUpOn []int

	// Retain is how long delivered messages are kept. Zero erases them.
	Retain time.Duration

	// RetainDead is how long dead letters are kept.
	RetainDead time.Duration
}

// DefaultPolicy is the policy of those who said nothing.
func DefaultPolicy() Policy {
	return Policy{
		Concurrency:    32,
		AttemptTimeout: 30 * time.Second,
		Backoff:        Backoff{First: time.Second, Longest: 10 * time.Minute},
		GiveUpAfter:    72 * time.Hour,
		GiveUpOn:       []int{410},
		Retain:         24 * time.Hour,
		RetainDead:     30 * 24 * time.Hour,
	}
}

// Validate says what is wrong with the policy, in all places, or returns nil.
func (p Policy) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(p.Concurrency >= 1, "concurrency is %d, must be at least 1", p.Concurrency)
	check(p.AttemptTimeout > 0, "attempt timeout is %v, must be positive", p.AttemptTimeout)
	check(p.Backoff.First > 0, "first backoff is %v, must be positive", p.Backoff.First)
	check(p.Backoff.Longest >= p.Backoff.First, "longest backoff is %v, must not be less than the first, %v",
		p.Backoff.Longest, p.Backoff.First)
	check(p.GiveUpAfter >= 0, "giving up after %v, must not be negative", p.GiveUpAfter)
	check(p.MaxAttempts >= 0, "max attempts is %d, must not be negative", p.MaxAttempts)
	for _, status := range p.GiveUpOn {
		class := status >= 3 && status <= 5
		check(class || status >= 300 && status <= 599, "giving up on %d, must be a status of 300 to 599 or 3, 4 or 5 for all that begin so", status)
	}
	check(p.Retain >= 0, "retaining for %v, must not be negative", p.Retain)
	check(p.RetainDead > 0, "retaining dead letters for %v, must be positive", p.RetainDead)
	return errors.Join(errs...)
}

// A Target is where the messages of an endpoint go.
type Target struct {
	// Policy must be valid.
	Policy

	// Route identifies what Deliver does: another Route is another chance for an
	// endpoint in an outage.
	Route string

	// Deliver makes one attempt, the one with the given number, counted from 1.
	// It is called by several goroutines at once, and must return soon after ctx
	// is done: on shutdown the dispatcher waits for it. A panic is a failure.
	Deliver func(ctx context.Context, m *Message, attempt int) Result
}

// A Result is how an attempt ended. The status alone decides what becomes of the
// message: with 2xx it is delivered, even if there is an error, such as that
// the rest of the answer was not read.
type Result struct {
	// Status is that of the endpoint's answer. It is zero if there was no
	// answer, and also if one was broken off so that it must not count.
	Status int

	// RetryAfter is how long the answer asked to wait; zero if it did not.
	RetryAfter time.Duration

	// NoConnection: the endpoint was not reached at all.
	NoConnection bool

	// Err says why there is no answer. Its text is stored with the message and
	// shown to operators: it holds nothing of the message and nothing secret.
	Err error
}

func (r Result) delivered() bool { return r.Status >= 200 && r.Status <= 299 }

// text describes the failure for the message's history.
func (r Result) text() string {
	const longest = 250
	switch {
	case r.Status != 0:
		return fmt.Sprintf("status %d", r.Status)
	case r.Err == nil:
		return "no answer"
	case len(r.Err.Error()) > longest:
		return strings.ToValidUTF8(r.Err.Error()[:longest], "") + "…"
	default:
		return r.Err.Error()
	}
}
