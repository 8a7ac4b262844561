// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"errors"
	"net/http"
	"strconv"
	"time"
)

// drainCap is how much of an answer's body is read. Some answers never end. It
// is large because reverse_proxy, when it is stopped, logs the whole request.
const drainCap = 1 << 20

var errAnswerLong = errors.New("the answer is longer than is read of it")

// recorder is the http.ResponseWriter of a delivery. It keeps of the
// answer what counts, its status and when to try again, and drops its body. It is no http.Hijacker:
// a delivery cannot become another protocol.
type recorder struct {
	header http.Header
	status int
	after  string // the Retry-After that came with the status
	read   int
	full   bool // the body was longer than drainCap
}

func newRecorder() *recorder { return &recorder{header: make(http.Header)} }

func (rec *recorder) Header() http.Header { return rec.header }

func (rec *recorder) WriteHeader(status int) {
	informational := status >= 100 && status < 200 && status != http.StatusSwitchingProtocols
	if rec.status != 0 || informational {
		return
	}
	rec.status = status
	rec.after = rec.header.Get("Retry-After")
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
	if seconds, err := strconv.ParseInt(text, 10, 32); err == nil || errors.Is(err, strconv.ErrRange) {
		return max(0, time.Duration(seconds)*time.Second)
	}
	if date, err := http.ParseTime(text); err == nil {
		return max(0, time.Until(date))
	}
	return 0
}
