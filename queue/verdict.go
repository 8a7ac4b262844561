// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"fmt"
	"net/http"
	"slices"
	"time"
)

const (
	// longestRetryAfter bounds how far an answer can postpone its message.
	longestRetryAfter = time.Hour

	// longestPause bounds how far an answer can postpone all other messages.
	longestPause = 5 * time.Minute
)

// A verdict is what is to be done after an attempt.
//
//	answer              | ordinary               | in an outage     | while stopping
//	--------------------+------------------------+------------------+----------------
//	2xx                 | Delivered: ack         | the same         | the same
//	in Policy.GiveUpOn  | Buried: bury           | the same         | Interrupted: as
//	429                 | Throttled: nack, pause | Held: nack,      | Held
//	any other, or none  | Retried: nack, counted | ready at once,   |
//	                    | or Buried: had enough  | not counted      |
type verdict struct {
	outcome AttemptOutcome
	history History
	delay   time.Duration // of the message
	reason  string        // if buried
}

// circumstances are those of the attempt's end.
type circumstances int

const (
	ordinary circumstances = iota
	inOutage               // the failure is the endpoint's own, or that of a replaced route
	stopping               // the failure may be the shutdown's
)

// judge decides what becomes of a message with the history h after an attempt.
// It depends on nothing else, but for the randomness of backoff.
//
// A 429 is not counted: it says that the endpoint is busy, and nothing of the
// message. Its delay grows all the same, with the number of attempts, so that a
// single message that is always answered 429 rarely pauses the others.
func judge(p Policy, r Result, h History, c circumstances) verdict {
	h.Attempts++
	if r.delivered() {
		return verdict{outcome: Delivered, history: h}
	}
	h.LastError = r.text()
	switch {
	case c == stopping:
		return verdict{outcome: Interrupted, history: h}
	case p.final(r.Status):
		h.Failures++
		return verdict{outcome: Buried, history: h, reason: h.LastError}
	case c == inOutage:
		return verdict{outcome: Held, history: h}
	case r.Status == http.StatusTooManyRequests:
		return verdict{outcome: Throttled, history: h, delay: lengthen(p.Backoff.Delay(h.Attempts), r.RetryAfter)}
	}

	h.Failures++
	switch {
	case p.MaxAttempts > 0 && h.Failures >= p.MaxAttempts:
		return verdict{outcome: Buried, history: h, reason: fmt.Sprintf("given up after %d failures: %s", h.Failures, h.LastError)}
	case p.GiveUpAfter > 0 && h.Delayed >= p.GiveUpAfter:
		return verdict{outcome: Buried, history: h, reason: fmt.Sprintf("given up after %v: %s", p.GiveUpAfter, h.LastError)}
	}
	delay := lengthen(p.Backoff.Delay(h.Failures), r.RetryAfter)
	h.Delayed += delay
	return verdict{outcome: Retried, history: h, delay: delay}
}

// lengthen returns the delay, or longer if the answer asked for it.
func lengthen(delay, retryAfter time.Duration) time.Duration {
	return max(delay, min(retryAfter, longestRetryAfter))
}

// final says whether the policy gives up on a status at once.
func (p Policy) final(status int) bool {
	class := status / 100
	if status == http.StatusTooManyRequests {
		class = -1
	}
	return slices.Contains(p.GiveUpOn, status) || slices.Contains(p.GiveUpOn, class)
}

// blames says whether a failed attempt speaks against the health of the endpoint.
// An answer that is final is one to the message, and a busy endpoint is alive.
func (p Policy) blames(r Result) bool {
	return !r.delivered() && !p.final(r.Status) && r.Status != http.StatusTooManyRequests
}
