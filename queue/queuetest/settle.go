// SPDX-License-Identifier: Apache-2.0

package queuetest

import (
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

func settlePromises() []promise {
	history := queue.History{Attempts: 3, Failures: 2, Delayed: 90 * time.Second, LastError: "status 500 \xff"}
	return []promise{
		{name: "a new message has no history", test: func(f *fixture) {
			if h := f.takeThis(f.give(here)).History; h != (queue.History{}) {
				f.Fatalf("history is %+v", h)
			}
		}},
		{name: "an acked message is not handed out again", test: func(f *fixture) {
			f.deliver(here, 0)
			f.deliver(here, f.units(100))
			f.nothing(here)
			f.reopen()
			f.nothing(here)
		}},
		{name: "Nack stores the history", test: func(f *fixture) {
			m := f.give(here)
			f.ok(f.takeThis(m).Lease.Nack(0, history))
			if h := f.takeThis(m).History; h != history {
				f.Fatalf("history is %+v, want %+v", h, history)
			}
			f.reopen()
			if h := f.takeThis(m).History; h != history {
				f.Fatalf("history after reopening is %+v, want %+v", h, history)
			}
		}},
		{name: "a nacked message is ready after its delay and not before", test: func(f *fixture) {
			m := f.give(here)
			f.ok(f.takeThis(m).Lease.Nack(f.units(3), history))
			f.pass(2)
			f.nothing(here)
			f.pass(1.5)
			f.takeThis(m)
		}},
		{name: "messages become ready in the order in which they are due", test: func(f *fixture) {
			all := f.giveAll(here, 4)
			for i, d := range f.takeAll(all...) {
				f.ok(d.Lease.Nack(f.units(float64(4-i)), history))
			}
			for i := len(all) - 1; i >= 0; i-- {
				f.same(<-f.receiveLater(here), all[i])
			}
		}},
		{name: "a long delay does not keep a short one waiting", test: func(f *fixture) {
			all := f.giveAll(here, 2)
			taken := f.takeAll(all...)
			f.ok(taken[0].Lease.Nack(72*time.Hour, history))
			got := f.receiveLater(here)
			time.Sleep(f.brief)
			f.ok(taken[1].Lease.Nack(f.units(1), history))
			f.same(<-got, all[1])
		}},
		{name: "a delivery is settled once", test: func(f *fixture) {
			settle := []func(queue.Lease) error{
				func(l queue.Lease) error { return l.Ack(f.units(100)) },
				func(l queue.Lease) error { return l.Nack(f.units(100), history) },
				func(l queue.Lease) error { return l.Bury("gone", history, f.units(100)) },
			}
			for _, first := range settle {
				d := f.takeThis(f.give(here))
				f.ok(first(d.Lease))
				for _, second := range settle {
					f.fails(second(d.Lease), queue.ErrLeaseLost)
				}
			}
			f.counts(here, queue.Stats{Kept: 1, Waiting: 1, Retrying: 1, Dead: 1})
		}},
		{name: "an old lease does not hold the next delivery of the message", test: func(f *fixture) {
			m := f.give(here)
			old := f.takeThis(m)
			f.ok(old.Lease.Nack(0, history))
			f.takeThis(m)
			f.fails(old.Lease.Ack(0), queue.ErrLeaseLost)
			f.counts(here, queue.Stats{Waiting: 1, Retrying: 1, InFlight: 1})
		}},
		{name: "a buried message is dead and not handed out", test: func(f *fixture) {
			m := f.give(here)
			begun := time.Now()
			f.ok(f.takeThis(m).Lease.Bury("status 410", history, f.units(100)))
			f.nothing(here)
			dead := f.dead(here)
			f.these(dead, m)
			d := dead[0]
			if d.Reason != "status 410" || d.History != history {
				f.Fatalf("the dead letter has reason %q and history %+v", d.Reason, d.History)
			}
			if d.At.Before(begun.Add(-time.Second)) || d.At.After(time.Now().Add(time.Second)) {
				f.Fatalf("buried at %v, want %v", d.At, begun)
			}
			if kept := d.Until.Sub(d.At); kept != f.units(100) {
				f.Fatalf("the dead letter is kept for %v, want %v", kept, f.units(100))
			}
		}},
		{name: "unsettled deliveries are waiting again after reopening", test: func(f *fixture) {
			all := f.giveAll(here, 5)
			taken := f.takeAll(all[:4]...)
			f.ok(taken[0].Lease.Ack(0))
			f.ok(taken[1].Lease.Nack(0, history))
			f.reopen()
			f.counts(here, queue.Stats{Waiting: 4, Retrying: 1})
			f.takeAll(all[1], all[2], all[3], all[4])
			f.nothing(here)
		}},
		{name: "a lease of a queue that was closed settles nothing", test: func(f *fixture) {
			m := f.give(here)
			d := f.takeThis(m)
			f.reopen()
			f.fails(d.Lease.Ack(0), queue.ErrClosed)
			f.takeThis(m)
		}},
		{name: "a message nacked twice is handed out once", test: func(f *fixture) {
			m := f.give(here)
			for range 3 {
				f.ok(f.takeThis(m).Lease.Nack(0, history))
			}
			f.takeThis(m)
			f.nothing(here)
		}},
	}
}
