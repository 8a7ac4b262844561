// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// drainCap is how much of an answer's body is read. Some answers never end. It
// is large because reverse_proxy, when it is stopped, logs the whole request.
const drainCap = 1 << 20

var (
	errAnswerLong  = errors.New("the answer is longer than is read of it")
	errAnswerLater = errors.New("the application sends informational answers without end")
)

// recorder is the http.ResponseWriter of a delivery. It keeps of the
// answer what counts, its status and when to try again, and drops its body. It is no http.Hijacker:
// a delivery cannot become another protocol.
type recorder struct {
	header   http.Header
	answered bool // with any status: an application may send 000
	status   int
	after    string // the Retry-After that came with the status
	read     int
	full     bool // the body was longer than drainCap
	informed int  // how long the informational answers were so far
	stop     context.CancelCauseFunc
}

// newRecorder returns a recorder that stops the attempt when the application sends
// informational answers without end: they are counted by nobody else.
func newRecorder(stop context.CancelCauseFunc) *recorder {
	return &recorder{header: make(http.Header), stop: stop}
}

func (rec *recorder) Header() http.Header { return rec.header }

func (rec *recorder) WriteHeader(status int) {
	if status >= 100 && status < 200 && status != http.StatusSwitchingProtocols {
		rec.inform()
		return
	}
	if rec.answered {
		return
	}
	rec.answered, rec.status = true, status
	rec.after = rec.header.Get("Retry-After")
}

// inform notes an informational answer, in which a line counts for a few bytes
// more than there are in it.
func (rec *recorder) inform() {
	rec.informed += 32
	for name, values := range rec.header {
		for _, value := range values {
			rec.informed += 32 + len(name) + len(value)
		}
	}
	if rec.informed > drainCap {
		rec.stop(errAnswerLater)
	}
}

func (rec *recorder) Write(p []byte) (int, error) {
	rec.WriteHeader(http.StatusOK)
	if rec.read+len(p) > drainCap {
		rec.full = true
		return 0, errAnswerLong
	}
	rec.read += len(p)
	return len(p), nil
}

// These are what handlers ask of a connection, through http.ResponseController.

func (rec *recorder) FlushError() error                { return nil }
func (rec *recorder) SetReadDeadline(time.Time) error  { return nil }
func (rec *recorder) SetWriteDeadline(time.Time) error { return nil }
func (rec *recorder) EnableFullDuplex() error          { return nil }

// retryAfter returns how long the application asks to be left alone: a number
// of seconds or a date (RFC 9110, section 10.2.3), zero for anything else.
func (rec *recorder) retryAfter() time.Duration {
	text := rec.after
	if text == "" {
		return 0
	}
	if strings.Trim(text, "0123456789") == "" {
		seconds, _ := strconv.ParseInt(text, 10, 32) // the most that there is, if it is more
		return time.Duration(seconds) * time.Second
	}
	if date, err := http.ParseTime(text); err == nil {
		return max(0, time.Until(date))
	}
	return 0
}
