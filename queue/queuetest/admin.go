// SPDX-License-Identifier: Apache-2.0

package queuetest

import (
	"github.com/caddy-webhook-inbox/inbox/queue"
)

func deadLetterPromises() []promise {
	return []promise{
		{name: "dead letters are listed in order of arrival, without header and body", test: func(f *fixture) {
			all := f.giveAll(here, 5)
			taken := f.takeAll(all...)
			for _, i := range []int{3, 0, 4, 1, 2} {
				f.ok(taken[i].Lease.Bury("gone", queue.History{Attempts: i}, f.units(1000)))
			}
			list := f.dead(here)
			f.these(list, all...)
			for i, d := range list {
				m := d.Message
				if len(m.Request.Header) != 0 || len(m.Request.Body) != 0 {
					f.Fatal("a listed message comes with header or body")
				}
				if m.Request.URI != all[i].Request.URI || !m.ReceivedAt.Equal(all[i].ReceivedAt) || d.History.Attempts != i {
					f.Fatalf("listed as %+v with %+v", m, d.History)
				}
			}
		}},
		{name: "a list goes on after an id", test: func(f *fixture) {
			var all []*queue.Message
			for range 5 {
				all = append(all, f.bury(here))
			}
			f.these(f.collect(f.DeadLetters(f.Context(), here, all[1].ID)), all[2:]...)
			f.these(f.collect(f.DeadLetters(f.Context(), here, all[4].ID)))
			f.ok(f.Discard(f.Context(), here, all[2].ID))
			f.these(f.collect(f.DeadLetters(f.Context(), here, all[2].ID)), all[3:]...)
		}},
		{name: "a list may be left early", test: func(f *fixture) {
			f.bury(here)
			f.bury(here)
			for range f.DeadLetters(f.Context(), here, queue.ID{}) {
				break
			}
			f.ok(f.takeThis(f.give(here)).Lease.Ack(0))
		}},
		{name: "dead letters can be discarded while they are listed", test: func(f *fixture) {
			for range 5 {
				f.bury(here)
			}
			for d, err := range f.DeadLetters(f.Context(), here, queue.ID{}) {
				f.ok(err)
				f.ok(f.Discard(f.Context(), here, d.Message.ID))
			}
			f.these(f.dead(here))
		}},
		{name: "dead letters are those of their endpoint", test: func(f *fixture) {
			m := f.bury(here)
			f.these(f.dead(there))
			_, err := f.DeadLetter(f.Context(), there, m.ID)
			f.fails(err, queue.ErrNotFound)
			f.fails(f.Redrive(f.Context(), there, m.ID), queue.ErrNotFound)
			f.fails(f.Discard(f.Context(), there, m.ID), queue.ErrNotFound)
			f.these(f.dead(here), m)
		}},
		{name: "what is not dead is not found", test: func(f *fixture) {
			waits := f.give(here)
			f.ok(f.takeThis(waits).Lease.Nack(f.units(1000), queue.History{}))
			for _, m := range []*queue.Message{waits, f.deliver(here, f.units(100)), f.Message(here)} {
				_, err := f.DeadLetter(f.Context(), here, m.ID)
				f.fails(err, queue.ErrNotFound)
				f.fails(f.Redrive(f.Context(), here, m.ID), queue.ErrNotFound)
				f.fails(f.Discard(f.Context(), here, m.ID), queue.ErrNotFound)
			}
		}},
		{name: "a redriven message is ready as if it had just arrived", test: func(f *fixture) {
			m := f.bury(here)
			other := f.give(here)
			f.ok(f.Redrive(f.Context(), here, m.ID))
			f.these(f.dead(here))
			f.counts(here, queue.Stats{Waiting: 2})
			f.takeThis(other)
			d := f.takeThis(m)
			f.identical(d.Message, m)
			if d.History != (queue.History{}) {
				f.Fatalf("history is %+v", d.History)
			}
			f.fails(f.Redrive(f.Context(), here, m.ID), queue.ErrNotFound)
		}},
		{name: "a redriven message is handed to a Receive that waits", test: func(f *fixture) {
			m := f.bury(here)
			got := f.receiveLater(here)
			f.ok(f.Redrive(f.Context(), here, m.ID))
			f.same(<-got, m)
		}},
		{name: "the keys of a redriven message are known anew", test: func(f *fixture) {
			m := f.bury(here, Key("a", f.units(4)))
			f.pass(3)
			f.ok(f.Redrive(f.Context(), here, m.ID))
			f.keyed(queue.Duplicate, here, Key("a", f.units(4)))
			f.ok(f.takeThis(m).Lease.Ack(0))
			f.pass(3)
			f.keyed(queue.Duplicate, here, Key("a", f.units(4)))
			f.pass(2)
			f.keyed(queue.Accepted, here, Key("a", f.units(4)))
		}},
		{name: "a redriven message leaves its key to a newer message", test: func(f *fixture) {
			key := Key("a", f.units(1000))
			old := f.keyed(queue.Accepted, here, key)
			d := f.takeThis(old)
			f.ok(f.Forget(f.Context(), here, key.Kind, key.Hash))
			newer := f.keyed(queue.Accepted, here, key)
			f.ok(d.Lease.Bury("gone", queue.History{}, f.units(1000)))
			if id := f.publish(queue.Duplicate, f.Message(here), key); id != newer.ID {
				f.Fatalf("the receipt names %s, want %s", id, newer.ID)
			}
			f.ok(f.Redrive(f.Context(), here, old.ID))
			if id := f.publish(queue.Duplicate, f.Message(here), key); id != newer.ID {
				f.Fatalf("after Redrive the receipt names %s, want %s", id, newer.ID)
			}
			f.takeAll(newer, old)
		}},
		{name: "a redriven message can be buried again", test: func(f *fixture) {
			m := f.bury(here)
			f.ok(f.Redrive(f.Context(), here, m.ID))
			f.ok(f.takeThis(m).Lease.Bury("again", queue.History{Attempts: 2}, f.units(100)))
			d, err := f.DeadLetter(f.Context(), here, m.ID)
			f.ok(err)
			if d.Reason != "again" || d.History.Attempts != 2 {
				f.Fatalf("the dead letter has reason %q and history %+v", d.Reason, d.History)
			}
		}},
		{name: "Redrive survives reopening", test: func(f *fixture) {
			m := f.bury(here)
			f.ok(f.Redrive(f.Context(), here, m.ID))
			f.reopen()
			f.these(f.dead(here))
			f.takeThis(m)
		}},
		{name: "RedriveAll makes all ready, oldest first, and counts them", test: func(f *fixture) {
			var all []*queue.Message
			for range 40 {
				all = append(all, f.bury(here))
			}
			apart := f.bury(there)
			n, err := f.RedriveAll(f.Context(), here)
			f.ok(err)
			if n != len(all) {
				f.Fatalf("%d were made ready, want %d", n, len(all))
			}
			f.takeAll(all...)
			f.these(f.dead(there), apart)
			n, err = f.RedriveAll(f.Context(), here)
			f.ok(err)
			if n != 0 {
				f.Fatalf("%d were made ready, want none", n)
			}
		}},
		{name: "a discarded dead letter is gone and its keys are free", test: func(f *fixture) {
			m := f.bury(here, Key("a", f.units(1000)))
			f.ok(f.Discard(f.Context(), here, m.ID))
			f.fails(f.Discard(f.Context(), here, m.ID), queue.ErrNotFound)
			f.these(f.dead(here))
			f.reopen()
			f.these(f.dead(here))
			f.nothing(here)
			f.keyed(queue.Accepted, here, Key("a", f.units(1000)))
		}},
		{name: "discarding leaves a key to a newer message", test: func(f *fixture) {
			key := Key("a", f.units(1000))
			old := f.keyed(queue.Accepted, here, key)
			d := f.takeThis(old)
			f.ok(f.Forget(f.Context(), here, key.Kind, key.Hash))
			f.keyed(queue.Accepted, here, key)
			f.ok(d.Lease.Bury("gone", queue.History{}, f.units(1000)))
			f.ok(f.Discard(f.Context(), here, old.ID))
			f.keyed(queue.Duplicate, here, key)
		}},
		{name: "DiscardAll erases all and counts them", test: func(f *fixture) {
			for range 40 {
				f.bury(here)
			}
			apart := f.bury(there)
			n, err := f.DiscardAll(f.Context(), here)
			f.ok(err)
			if n != 40 {
				f.Fatalf("%d were erased, want 40", n)
			}
			f.these(f.dead(here))
			f.these(f.dead(there), apart)
			f.nothing(here)
		}},
		{name: "a dead letter is erased after its time", test: func(f *fixture) {
			m := f.give(here)
			f.ok(f.takeThis(m).Lease.Bury("gone", queue.History{}, f.units(3)))
			f.pass(2)
			f.these(f.dead(here), m)
			f.pass(2)
			f.soon("the dead letter is erased", func() bool {
				_, err := f.DeadLetter(f.Context(), here, m.ID)
				return len(f.dead(here)) == 0 && err != nil && f.stats(here).Dead == 0 && f.stats(here).Bytes == 0
			})
		}},
	}
}

func keptPromises() []promise {
	return []promise{
		{name: "a delivered message is kept for its time", test: func(f *fixture) {
			m := f.deliver(here, f.units(3))
			list := f.kept(here)
			f.these(list, m)
			k := list[0]
			if k.Reason != "" || k.Until.Sub(k.At) != f.units(3) {
				f.Fatalf("kept from %v until %v with reason %q", k.At, k.Until, k.Reason)
			}
			if len(k.Message.Request.Header) != 0 || len(k.Message.Request.Body) != 0 {
				f.Fatal("a listed message comes with header or body")
			}
			f.pass(2)
			f.these(f.kept(here), m)
			f.pass(2)
			f.soon("the message is erased", func() bool {
				return len(f.kept(here)) == 0 && f.stats(here).Kept == 0 && f.stats(here).Bytes == 0
			})
		}},
		{name: "a message acked without a time is erased", test: func(f *fixture) {
			f.deliver(here, 0)
			f.these(f.kept(here))
			if s := f.stats(here); s.Bytes != 0 || s.Kept != 0 {
				f.Fatalf("statistics are %+v", s)
			}
		}},
		{name: "those kept for the shortest time come first", test: func(f *fixture) {
			c := f.deliver(here, f.units(300))
			a := f.deliver(here, f.units(100))
			b := f.deliver(here, f.units(200))
			f.these(f.kept(here), a, b, c)
			f.reopen()
			f.these(f.kept(here), a, b, c)
			f.these(f.kept(there))
		}},
		{name: "the history of a kept message is that of its last delivery", test: func(f *fixture) {
			h := queue.History{Attempts: 2, Failures: 1, LastError: "status 500"}
			m := f.give(here)
			f.ok(f.takeThis(m).Lease.Nack(0, h))
			f.ok(f.takeThis(m).Lease.Ack(f.units(100)))
			if got := f.kept(here)[0].History; got != h {
				f.Fatalf("history is %+v, want %+v", got, h)
			}
		}},
	}
}

func forgetPromises() []promise {
	return []promise{
		{name: "a forgotten key is accepted again", test: func(f *fixture) {
			a, b := Key("a", f.units(1000)), Key("b", f.units(1000))
			f.deliver(here, 0, a, b)
			f.ok(f.Forget(f.Context(), here, a.Kind, a.Hash))
			f.reopen()
			f.keyed(queue.Duplicate, here, b)
			f.keyed(queue.Accepted, here, a)
			f.keyed(queue.Duplicate, here, a)
		}},
		{name: "the key of a waiting message can be forgotten", test: func(f *fixture) {
			a := Key("a", f.units(1000))
			first := f.keyed(queue.Accepted, here, a)
			f.ok(f.Forget(f.Context(), here, a.Kind, a.Hash))
			second := f.keyed(queue.Accepted, here, a)
			f.takeAll(first, second)
		}},
		{name: "a key that is not known is not found", test: func(f *fixture) {
			a := Key("a", f.units(1))
			f.fails(f.Forget(f.Context(), here, a.Kind, a.Hash), queue.ErrNotFound)
			f.deliver(here, 0, a)
			f.fails(f.Forget(f.Context(), there, a.Kind, a.Hash), queue.ErrNotFound)
			f.fails(f.Forget(f.Context(), here, queue.KeyContent, a.Hash), queue.ErrNotFound)
			f.ok(f.Forget(f.Context(), here, a.Kind, a.Hash))
			f.fails(f.Forget(f.Context(), here, a.Kind, a.Hash), queue.ErrNotFound)
		}},
	}
}
