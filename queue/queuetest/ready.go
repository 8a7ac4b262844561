// SPDX-License-Identifier: Apache-2.0

package queuetest

import (
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

func makeReadyPromises() []promise {
	tried := queue.History{Attempts: 1, Failures: 1, Delayed: time.Minute, LastError: "status 500"}
	return []promise{
		{name: "every message that backs off is ready at once, oldest first", test: func(f *fixture) {
			all := f.giveAll(here, 30)
			for i, d := range f.takeAll(all...) {
				f.ok(d.Lease.Nack(f.units(float64(1000-i)), tried))
			}
			f.nothing(here)
			f.ok(f.MakeReady(f.Context(), here, nil))
			f.takeAll(all...)
		}},
		{name: "messages made ready come before fresh ones", test: func(f *fixture) {
			all := f.giveAll(here, 4)
			for _, d := range f.takeAll(all[:2]...) {
				f.ok(d.Lease.Nack(f.units(1000), tried))
			}
			f.ok(f.MakeReady(f.Context(), here, nil))
			f.takeAll(all...)
		}},
		{name: "a Receive that waits gets a message made ready", test: func(f *fixture) {
			m := f.give(here)
			f.ok(f.takeThis(m).Lease.Nack(f.units(1000), tried))
			got := f.receiveLater(here)
			time.Sleep(f.brief)
			f.ok(f.MakeReady(f.Context(), here, nil))
			f.same(<-got, m)
		}},
		{name: "refunds are taken back from the histories", test: func(f *fixture) {
			h := queue.History{Attempts: 9, Failures: 5, Delayed: 10 * time.Minute, LastError: "status 500"}
			all := f.giveAll(here, 3)
			for _, d := range f.takeAll(all...) {
				f.ok(d.Lease.Nack(f.units(1000), h))
			}
			f.ok(f.MakeReady(f.Context(), here, []queue.Refund{
				{ID: all[0].ID, Failures: 2, Delayed: 3 * time.Minute},
				{ID: all[2].ID, Failures: 1, Delayed: time.Minute},
				{ID: f.Message(here).ID, Failures: 1, Delayed: time.Minute},
			}))
			want := []queue.History{h, h, h}
			want[0].Failures, want[0].Delayed = 3, 7*time.Minute
			want[2].Failures, want[2].Delayed = 4, 9*time.Minute
			for i, d := range f.takeAll(all...) {
				if d.History != want[i] {
					f.Fatalf("history of number %d is %+v, want %+v", i, d.History, want[i])
				}
			}
		}},
		{name: "messages in flight are not changed", test: func(f *fixture) {
			m := f.give(here)
			f.ok(f.takeThis(m).Lease.Nack(0, tried))
			d := f.takeThis(m)
			f.ok(f.MakeReady(f.Context(), here, []queue.Refund{{ID: m.ID, Failures: 1, Delayed: time.Minute}}))
			f.nothing(here)
			f.ok(d.Lease.Nack(f.units(1), tried))
			f.nothing(here)
			f.pass(1.5)
			if h := f.takeThis(m).History; h != tried {
				f.Fatalf("history is %+v, want %+v", h, tried)
			}
		}},
		{name: "a refund does not reach a message in flight", test: func(f *fixture) {
			m := f.give(here)
			f.ok(f.takeThis(m).Lease.Nack(0, tried))
			f.takeThis(m)
			f.ok(f.MakeReady(f.Context(), here, []queue.Refund{{ID: m.ID, Failures: 1, Delayed: time.Minute}}))
			f.reopen()
			if h := f.takeThis(m).History; h != tried {
				f.Fatalf("history is %+v, want %+v", h, tried)
			}
		}},
		{name: "a message made ready can back off again", test: func(f *fixture) {
			m := f.give(here)
			f.ok(f.takeThis(m).Lease.Nack(f.units(1000), tried))
			f.ok(f.MakeReady(f.Context(), here, nil))
			f.ok(f.takeThis(m).Lease.Nack(f.units(2), tried))
			f.nothing(here)
			f.pass(2.5)
			f.takeThis(m)
			f.nothing(here)
		}},
		{name: "other endpoints are not changed", test: func(f *fixture) {
			f.ok(f.takeThis(f.give(there)).Lease.Nack(f.units(1000), tried))
			f.ok(f.MakeReady(f.Context(), here, nil))
			f.nothing(there)
		}},
		{name: "messages made ready are ready after reopening", test: func(f *fixture) {
			all := f.giveAll(here, 5)
			for _, d := range f.takeAll(all...) {
				f.ok(d.Lease.Nack(f.units(1000), tried))
			}
			f.ok(f.MakeReady(f.Context(), here, []queue.Refund{{ID: all[0].ID, Failures: 1, Delayed: time.Minute}}))
			f.reopen()
			for i, d := range f.takeAll(all...) {
				if refunded := d.History.Failures == 0; refunded != (i == 0) {
					f.Fatalf("history of number %d is %+v", i, d.History)
				}
			}
		}},
		{name: "a large backlog is ready at once", test: func(f *fixture) {
			all := f.giveAll(here, 3000)
			for _, d := range f.takeAll(all...) {
				f.ok(d.Lease.Nack(f.units(1000), tried))
			}
			f.ok(f.MakeReady(f.Context(), here, nil))
			for _, d := range f.takeAll(all...) {
				f.ok(d.Lease.Ack(0))
			}
			f.counts(here, queue.Stats{})
		}},
	}
}

func probePromises() []promise {
	tried := queue.History{Attempts: 1}
	return []promise{
		{name: "a probe is the oldest or the newest that waits", test: func(f *fixture) {
			all := f.giveAll(here, 4)
			f.probe(queue.Pick{}, all[0])
			f.probe(queue.Pick{Newest: true}, all[3])
			f.probe(queue.Pick{}, all[1])
			f.probe(queue.Pick{Newest: true}, all[2])
		}},
		{name: "a probe may be a message that backs off", test: func(f *fixture) {
			all := f.giveAll(here, 4)
			for _, d := range f.takeAll(all[0], all[1]) {
				f.ok(d.Lease.Nack(f.units(1000), tried))
			}
			if h := f.probe(queue.Pick{}, all[0]).History; h != tried {
				f.Fatalf("history is %+v, want %+v", h, tried)
			}
			taken := f.takeAll(all[2], all[3])
			f.ok(taken[1].Lease.Nack(f.units(1000), tried))
			f.probe(queue.Pick{Newest: true}, all[3])
			f.probe(queue.Pick{Newest: true}, all[1])
		}},
		{name: "a probe passes the excepted over while there is another", test: func(f *fixture) {
			all := f.giveAll(here, 4)
			f.probe(queue.Pick{Except: []queue.ID{all[0].ID, all[1].ID}}, all[2])
			f.probe(queue.Pick{Newest: true, Except: []queue.ID{all[3].ID, all[0].ID}}, all[1])
		}},
		{name: "if all are excepted, a probe is one of them", test: func(f *fixture) {
			all := f.giveAll(here, 2)
			except := []queue.ID{all[0].ID, all[1].ID}
			f.probe(queue.Pick{Except: except}, all[0])
			f.probe(queue.Pick{Newest: true, Except: except}, all[1])
		}},
		{name: "a probe is not a message in flight", test: func(f *fixture) {
			all := f.giveAll(here, 3)
			f.takeThis(all[0])
			f.probe(queue.Pick{}, all[1])
			f.probe(queue.Pick{Except: []queue.ID{all[2].ID}}, all[2])
			f.nothing(here)
		}},
		{name: "a probe is in flight", test: func(f *fixture) {
			m := f.give(here)
			d := f.probe(queue.Pick{}, m)
			f.nothing(here)
			f.counts(here, queue.Stats{Waiting: 1, InFlight: 1})
			f.ok(d.Lease.Ack(0))
			f.counts(here, queue.Stats{})
		}},
		{name: "Probe waits for a message", test: func(f *fixture) {
			got := make(chan queue.Delivery, 1)
			go func() {
				d, err := f.Probe(f.Context(), here, queue.Pick{Newest: true}, lease1h)
				if err != nil {
					f.Errorf("probing: %v", err)
					d.Message = &queue.Message{}
				}
				got <- d
			}()
			time.Sleep(f.brief)
			m := f.give(here)
			f.same(<-got, m)
		}},
		{name: "a probe is of its endpoint", test: func(f *fixture) {
			f.give(there)
			m := f.give(here)
			f.give(there)
			f.probe(queue.Pick{Newest: true}, m)
		}},
		{name: "a probe that failed can be probed again", test: func(f *fixture) {
			m := f.give(here)
			for n := range 3 {
				d := f.probe(queue.Pick{Newest: n%2 == 1, Except: []queue.ID{m.ID}}, m)
				f.ok(d.Lease.Nack(f.units(1000), tried))
			}
			f.nothing(here)
		}},
		{name: "messages can be probed after reopening", test: func(f *fixture) {
			all := f.giveAll(here, 3)
			f.ok(f.takeThis(all[0]).Lease.Nack(f.units(1000), tried))
			f.reopen()
			f.probe(queue.Pick{}, all[0])
			f.probe(queue.Pick{Newest: true}, all[2])
		}},
	}
}
