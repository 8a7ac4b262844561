// SPDX-License-Identifier: Apache-2.0

package caddymodule

import "net/http"

// outcome is what became of a request. Its text is the label of the metric
// and the reason in the log.
type outcome int

const (
	accepted outcome = iota
	duplicate
	passedThrough
	handshake
	missing
	malformed
	mismatch
	expired
	badRequest
	broken
	tooSlow
	tooLarge
	earlyData
	looped
	overloaded
	full
	unavailable
	outcomes // how many there are
)

var outcomeTable = [outcomes]struct {
	text   string
	status int
}{
	accepted:      {"accepted", 0},
	duplicate:     {"duplicate", 0},
	passedThrough: {"passed_through", 0},
	handshake:     {"handshake", 0},
	missing:       {"missing", http.StatusUnauthorized},
	malformed:     {"malformed", http.StatusUnauthorized},
	mismatch:      {"mismatch", http.StatusUnauthorized},
	expired:       {"expired", http.StatusUnauthorized},
	badRequest:    {"bad_request", http.StatusBadRequest},
	broken:        {"broken_off", http.StatusBadRequest},
	tooSlow:       {"too_slow", http.StatusRequestTimeout},
	tooLarge:      {"too_large", http.StatusRequestEntityTooLarge},
	earlyData:     {"early_data", http.StatusTooEarly},
	looped:        {"loop", http.StatusLoopDetected},
	overloaded:    {"overloaded", http.StatusServiceUnavailable},
	full:          {"full", http.StatusServiceUnavailable},
	unavailable:   {"unavailable", http.StatusServiceUnavailable},
}

func (o outcome) String() string { return outcomeTable[o].text }

// status is what the sender is answered; those that are no refusals have their
// own.
func (o outcome) status() int { return outcomeTable[o].status }

// refusal says why a request was not taken. The zero value is no refusal.
type refusal struct {
	outcome outcome
	cause   error // for the log: nothing of the request, nothing secret
	unread  bool  // some of the body was not read
}
