// SPDX-License-Identifier: Apache-2.0

// Package queuetest is the contract of package queue as a test suite, and a
// model of it.
//
// [Run] holds an engine to every promise that [queue.Queue] makes; each of its
// tests is named after one. An engine's own tests call it:
//
//	func TestContract(t *testing.T) {
//		queuetest.Run(t, queuetest.Engine{
//			Open:   func(t *testing.T, dir string) queue.Queue { … },
//			Bubble: true,
//		})
//	}
//
// [Memory] is an engine for the tests of those who use one: it fails on demand,
// and forgets in a crash what was not durable. [Sender] makes messages.
package queuetest

import (
	"testing"
	"testing/synctest"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// An Engine is what Run needs to know about one.
type Engine struct {
	// Open opens the queue that is kept in dir, which is an empty directory the
	// first time. Later calls with the same dir open what the queue before left;
	// that one is closed, or was crashed. An engine that keeps nothing in a
	// directory may take dir for a name.
	Open func(t *testing.T, dir string) queue.Queue

	// OpenLimited is Open with room for maxSize bytes of messages, some MiB in
	// the tests. If nil, the tests of a full queue are skipped, but for those of
	// an endpoint's share.
	OpenLimited func(t *testing.T, dir string, maxSize int64) queue.Queue

	// Crash ends q as a kill of the process would. What it had made durable is
	// found by the next Open of the same directory. If nil, the tests of what a
	// crash leaves are skipped.
	Crash func(t *testing.T, q queue.Queue)

	// Bubble says that the engine runs under testing/synctest: it never waits
	// for anything but its own goroutines, channels and timers. Its tests take no
	// time then. Otherwise those that need time to pass use short delays.
	Bubble bool
}

// Run tests that the engine keeps the contract. Its tests run in parallel.
func Run(t *testing.T, e Engine) {
	for _, c := range contract() {
		c.run(t, e)
	}
}

// contract returns all promises, by what they are about.
func contract() []chapter {
	return []chapter{
		{"Publish", publishPromises()},
		{"Dedupe", dedupePromises()},
		{"Full", fullPromises()},
		{"Receive", receivePromises()},
		{"Settle", settlePromises()},
		{"MakeReady", makeReadyPromises()},
		{"Probe", probePromises()},
		{"Outage", outagePromises()},
		{"DeadLetters", deadLetterPromises()},
		{"Kept", keptPromises()},
		{"Forget", forgetPromises()},
		{"Move", movePromises()},
		{"Stats", statsPromises()},
		{"Concurrency", concurrencyPromises()},
		{"Reopen", reopenPromises()},
		{"Crash", crashPromises()},
		{"Close", closePromises()},
		{"Random", randomPromises()},
	}
}

// A chapter is the promises about one thing.
type chapter struct {
	name     string
	promises []promise
}

func (c chapter) run(t *testing.T, e Engine) {
	t.Run(c.name, func(t *testing.T) {
		t.Parallel()
		for _, p := range c.promises {
			t.Run(p.name, func(t *testing.T) {
				t.Parallel()
				p.run(t, e)
			})
		}
	})
}

// A promise is one sentence of the contract with its test.
type promise struct {
	name string
	test func(f *fixture)

	crashes bool  // needs Engine.Crash
	maxSize int64 // needs Engine.OpenLimited, with this limit
}

func (p promise) run(t *testing.T, e Engine) {
	switch {
	case p.crashes && e.Crash == nil:
		t.Skip("the engine offers no crash")
	case p.maxSize > 0 && e.OpenLimited == nil:
		t.Skip("the engine offers no limit")
	}
	dir := t.TempDir()
	if !e.Bubble {
		p.test(newFixture(t, e, dir, p.maxSize))
		return
	}
	synctest.Test(t, func(t *testing.T) {
		p.test(newFixture(t, e, dir, p.maxSize))
	})
}
