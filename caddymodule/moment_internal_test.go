// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

type momentKey struct{}

// A request gets all the time that it was promised, and hardly more.
func TestAMomentComesAfterWhatItIsFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var m moments
		values := context.WithValue(t.Context(), momentKey{}, "a value")
		for range 20 {
			at := time.Now().Add(10 * time.Second)
			c := &untilMoment{values, m.after(at)}
			if got, ok := c.Deadline(); !ok || got.Before(at) || got.Sub(at) > momentsApart {
				t.Errorf("the deadline is %v after what was asked for", got.Sub(at))
			}
			if c.Value(momentKey{}) != "a value" {
				t.Error("the values are gone")
			}
			time.Sleep(77 * time.Millisecond)
		}
		time.Sleep(time.Minute)
	})
}

func TestAMomentEndsContexts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var m moments
		at := time.Now().Add(10 * time.Second)
		c := &untilMoment{t.Context(), m.after(at)}
		time.Sleep(time.Until(at))
		if err := c.Err(); err != nil {
			t.Errorf("too early: %v", err)
		}
		begun := time.Now()
		<-c.Done()
		if c.Err() != context.DeadlineExceeded || time.Since(begun) > momentsApart {
			t.Errorf("%v after %v more", c.Err(), time.Since(begun))
		}
	})
}

// What sends many requests makes few timers.
func TestRequestsShareMoments(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var m moments
		different := make(map[*moment]bool)
		for range 1000 {
			different[m.after(time.Now().Add(time.Second))] = true
			time.Sleep(time.Millisecond)
		}
		if n := len(different); n > 5 {
			t.Errorf("%d moments in a second", n)
		}
		// One that is too far away is of no use either.
		if far, near := m.after(time.Now().Add(time.Hour)), m.after(time.Now().Add(time.Second)); far == near {
			t.Error("a second has become an hour")
		}
		time.Sleep(2 * time.Hour)
	})
}
