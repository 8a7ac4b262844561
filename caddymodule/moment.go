// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"context"
	"sync/atomic"
	"time"
)

// moments are points of time that many requests wait for. Those that begin
// together share one, and with it a timer and a channel, which would cost each
// of them more than the rest of its way to the queue.
type moments struct {
	next atomic.Pointer[moment]
}

type moment struct {
	at     time.Time
	passed chan struct{}
}

// momentsApart is how far moments are from each other at least.
const momentsApart = 250 * time.Millisecond

// after returns a moment that comes after at, by momentsApart at most.
func (m *moments) after(at time.Time) *moment {
	if next := m.next.Load(); next != nil && !next.at.Before(at) && next.at.Sub(at) <= momentsApart {
		return next
	}
	next := &moment{at: at.Add(momentsApart), passed: make(chan struct{})}
	time.AfterFunc(time.Until(next.at), func() { close(next.passed) })
	m.next.Store(next)
	return next
}

// untilMoment is a context that has the values of another one, and ends at a
// moment.
type untilMoment struct {
	values context.Context
	*moment
}

func (c *untilMoment) Deadline() (time.Time, bool) { return c.at, true }
func (c *untilMoment) Done() <-chan struct{}       { return c.passed }
func (c *untilMoment) Value(key any) any           { return c.values.Value(key) }

func (c *untilMoment) Err() error {
	select {
	case <-c.passed:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

var _ context.Context = (*untilMoment)(nil)
