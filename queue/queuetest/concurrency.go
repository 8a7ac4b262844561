// SPDX-License-Identifier: Apache-2.0

package queuetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

func concurrencyPromises() []promise {
	return []promise{
		{name: "of 100 identical messages at once one is accepted", test: func(f *fixture) {
			ids := newLedger()
			var wg sync.WaitGroup
			for range 100 {
				m := f.Message(here)
				wg.Go(func() {
					r, err := f.Publish(f.Context(), queue.Publication{Message: m, Keys: []queue.Key{Key("a", f.units(1000))}})
					if err != nil {
						f.Errorf("publishing: %v", err)
						return
					}
					ids.note(fmt.Sprint(r.Outcome))
					ids.note(r.ID.String())
				})
			}
			wg.Wait()
			d := f.take(here)
			if ids.count("1") != 1 || ids.count("2") != 99 || ids.count(d.Message.ID.String()) != 100 {
				f.Fatalf("outcomes and ids: %v", ids.counts)
			}
			f.nothing(here)
		}},
		{name: "every message is handed out once while many publish and receive", test: func(f *fixture) {
			const publishers, each, receivers = 8, 50, 8
			got := newLedger()
			var wg sync.WaitGroup
			ctx, cancel := context.WithCancel(f.Context())
			for range receivers {
				wg.Go(func() { f.drain(ctx, here, got, func() { cancel() }, publishers*each) })
			}
			for range publishers {
				wg.Go(func() {
					for range each {
						if _, err := f.Publish(f.Context(), queue.Publication{Message: f.Message(here)}); err != nil {
							f.Errorf("publishing: %v", err)
						}
					}
				})
			}
			wg.Wait()
			cancel()
			got.onceEach(f, publishers*each)
			f.counts(here, queue.Stats{})
		}},
		{name: "a Receive that is cancelled while a message arrives loses nothing", test: func(f *fixture) {
			const rounds = 300
			got := newLedger()
			for range rounds {
				ctx, cancel := context.WithCancel(f.Context())
				var wg sync.WaitGroup
				wg.Go(func() {
					d, err := f.Receive(ctx, here, lease1h)
					if err == nil {
						got.note(d.Message.ID.String())
						err = d.Lease.Ack(0)
					}
					if err != nil && !errors.Is(err, context.Canceled) {
						f.Errorf("receiving: %v", err)
					}
				})
				wg.Go(func() {
					if _, err := f.Publish(f.Context(), queue.Publication{Message: f.Message(here)}); err != nil {
						f.Errorf("publishing: %v", err)
					}
				})
				wg.Go(cancel)
				wg.Wait()
			}
			for f.stats(here).Waiting > 0 {
				d := f.take(here)
				got.note(d.Message.ID.String())
				f.ok(d.Lease.Ack(0))
			}
			got.onceEach(f, rounds)
		}},
		{name: "a message in flight is never handed out twice, whatever else goes on", test: func(f *fixture) {
			const messages, workers = 200, 6
			f.giveAll(here, messages)
			held := newLedger()
			acked := newLedger()
			ctx, cancel := context.WithCancel(f.Context())
			var wg sync.WaitGroup
			work := func(receive func() (queue.Delivery, error)) {
				for {
					d, err := receive()
					if err != nil {
						if !errors.Is(err, context.Canceled) {
							f.Errorf("receiving: %v", err)
						}
						return
					}
					id := d.Message.ID.String()
					if held.note(id) != 1 {
						f.Errorf("%s is handed out to two at once", id)
					}
					time.Sleep(time.Duration(rand.IntN(3)) * f.brief / 100)
					// Released before it is settled: another may have it at once.
					held.erase(id)
					if rand.IntN(2) == 0 {
						err = d.Lease.Ack(0)
						if acked.note(id) != 1 {
							f.Errorf("%s is acked twice", id)
						}
					} else {
						err = d.Lease.Nack(f.brief*time.Duration(rand.IntN(2)), queue.History{Attempts: 1})
					}
					if err != nil {
						f.Errorf("settling: %v", err)
					}
					if acked.size() == messages {
						cancel()
					}
				}
			}
			for range workers {
				wg.Go(func() {
					work(func() (queue.Delivery, error) { return f.Receive(ctx, here, lease1h) })
				})
			}
			wg.Go(func() {
				newest := false
				work(func() (queue.Delivery, error) {
					newest = !newest
					return f.Probe(ctx, here, queue.Pick{Newest: newest}, lease1h)
				})
			})
			wg.Go(func() {
				for ctx.Err() == nil {
					if err := f.MakeReady(f.Context(), here, nil); err != nil {
						f.Errorf("making ready: %v", err)
					}
					time.Sleep(f.brief / 50)
				}
			})
			wg.Wait()
			cancel()
			acked.onceEach(f, messages)
			f.counts(here, queue.Stats{})
			f.nothing(here)
		}},
		{name: "a lease is settled once though several try at once", test: func(f *fixture) {
			for range 20 {
				d := f.takeThis(f.give(here))
				outcomes := newLedger()
				var wg sync.WaitGroup
				for n := range 6 {
					wg.Go(func() {
						var err error
						switch n % 3 {
						case 0:
							err = d.Lease.Ack(0)
						case 1:
							err = d.Lease.Nack(f.units(1000), queue.History{})
						case 2:
							err = d.Lease.Bury("gone", queue.History{}, f.units(1000))
						}
						switch {
						case err == nil:
							outcomes.note("settled")
						case errors.Is(err, queue.ErrLeaseLost):
							outcomes.note("lost")
						default:
							f.Errorf("settling: %v", err)
						}
					})
				}
				wg.Wait()
				if outcomes.count("settled") != 1 || outcomes.count("lost") != 5 {
					f.Fatalf("outcomes: %v", outcomes.counts)
				}
			}
		}},
		{name: "endpoints do not hold each other up", test: func(f *fixture) {
			f.giveAll(here, 500)
			f.takeThis(f.give(there))
		}},
	}
}

// drain receives and acks until n messages were noted, and then calls done.
func (f *fixture) drain(ctx context.Context, endpoint string, got *ledger, done func(), n int) {
	for {
		d, err := f.Receive(ctx, endpoint, lease1h)
		if err != nil {
			if !errors.Is(err, context.Canceled) {
				f.Errorf("receiving: %v", err)
			}
			return
		}
		if err := d.Lease.Ack(0); err != nil {
			f.Errorf("acking: %v", err)
		}
		got.note(d.Message.ID.String())
		if got.size() == n {
			done()
		}
	}
}

// A ledger counts what several goroutines note.
type ledger struct {
	mu     sync.Mutex
	counts map[string]int
}

func newLedger() *ledger { return &ledger{counts: make(map[string]int)} }

func (l *ledger) note(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts[what]++
	return l.counts[what]
}

func (l *ledger) erase(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.counts, what)
}

func (l *ledger) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts[what]
}

func (l *ledger) size() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.counts)
}

// onceEach checks that n things were noted, each once.
func (l *ledger) onceEach(f *fixture, n int) {
	f.Helper()
	if l.size() != n {
		f.Fatalf("%d messages, want %d", l.size(), n)
	}
	for what, count := range l.counts {
		if count != 1 {
			f.Fatalf("%s %d times", what, count)
		}
	}
}
