// SPDX-License-Identifier: Apache-2.0

package queuetest

import (
	"slices"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

func movePromises() []promise {
	tried := queue.History{Attempts: 1, Failures: 1, LastError: "status 500"}
	return []promise{
		{name: "everything of an endpoint moves to a new name", test: func(f *fixture) {
			dead := f.bury(here, Key("dead", f.units(1000)))
			kept := f.deliver(here, f.units(1000), Key("kept", f.units(1000)))
			retrying := f.keyed(queue.Accepted, here, Key("waiting", f.units(1000)))
			f.ok(f.takeThis(retrying).Lease.Nack(f.units(1000), tried))
			fresh := f.giveAll(here, 3)

			f.moves(5, here, there)
			check := func() {
				f.Helper()
				f.counts(here, queue.Stats{})
				f.counts(there, queue.Stats{Waiting: 4, Retrying: 1, Dead: 1, Kept: 1})
				f.these(f.dead(there), dead)
				f.these(f.kept(there), kept)
				f.nothing(here)
			}
			check()
			f.reopen()
			check()
			for _, key := range []string{"kept", "waiting"} {
				f.keyed(queue.Duplicate, there, Key(key, f.units(1000)))
				f.keyed(queue.Accepted, here, Key(key, f.units(1000)))
			}
			f.keyed(queue.Revived, there, Key("dead", f.units(1000)))
			d := f.take(there)
			f.same(d, retrying)
			if d.History != tried {
				f.Fatalf("history is %+v, want %+v", d.History, tried)
			}
			for _, m := range fresh {
				f.same(f.take(there), m)
			}
		}},
		{name: "a moved message is handed to a Receive that waits", test: func(f *fixture) {
			m := f.give(here)
			got := f.receiveLater(there)
			f.moves(1, here, there)
			f.same(<-got, m)
		}},
		{name: "moving to an endpoint that has messages merges them", test: func(f *fixture) {
			theirs := f.giveAll(there, 2)
			theirDead, ourDead := f.bury2(there), f.bury2(here)
			theirKept := f.deliver2(there)
			f.pass(0.1)
			ourKept := f.deliver2(here)
			retrying := f.give(here)
			f.ok(f.takeThis(retrying).Lease.Nack(f.units(1000), tried))
			ours := f.giveAll(here, 2)

			f.moves(4, here, there)
			f.counts(here, queue.Stats{})
			f.counts(there, queue.Stats{Waiting: 5, Retrying: 1, Dead: 2, Kept: 2})
			f.reopen()
			f.counts(there, queue.Stats{Waiting: 5, Retrying: 1, Dead: 2, Kept: 2})
			f.these(f.dead(there), theirDead, ourDead)
			f.these(f.kept(there), theirKept, ourKept)

			var got []queue.ID
			for range 5 {
				d := f.take(there)
				got = append(got, d.Message.ID)
				f.ok(d.Lease.Ack(0))
			}
			for _, ordered := range [][]*queue.Message{theirs, ours} {
				if a, b := slices.Index(got, ordered[0].ID), slices.Index(got, ordered[1].ID); a < 0 || b < a {
					f.Fatal("messages of one endpoint changed their order")
				}
			}
			if !slices.Contains(got, retrying.ID) {
				f.Fatal("the message that was backing off is not ready")
			}
			f.nothing(there)
		}},
		{name: "messages with the same key both move", test: func(f *fixture) {
			key := Key("a", f.units(1000))
			f.keyed(queue.Accepted, there, key)
			f.keyed(queue.Accepted, here, key)
			f.moves(1, here, there)
			f.keyed(queue.Duplicate, there, key)
			f.take(there)
			f.take(there)
			f.nothing(there)
		}},
		{name: "merged keys are known", test: func(f *fixture) {
			f.give(there)
			f.deliver(here, 0, Key("delivered", f.units(1000)))
			f.keyed(queue.Accepted, here, Key("waiting", f.units(1000)))
			f.moves(1, here, there)
			f.keyed(queue.Duplicate, there, Key("delivered", f.units(1000)))
			f.keyed(queue.Duplicate, there, Key("waiting", f.units(1000)))
			f.keyed(queue.Accepted, here, Key("delivered", f.units(1000)))
			f.keyed(queue.Accepted, here, Key("waiting", f.units(1000)))
		}},
		{name: "moved dead letters can be redriven", test: func(f *fixture) {
			f.give(there)
			m := f.bury(here)
			f.moves(1, here, there)
			f.ok(f.Redrive(f.Context(), there, m.ID))
			f.take(there)
			f.same(f.take(there), m)
		}},
		{name: "an endpoint is used again after it was moved", test: func(f *fixture) {
			f.give(here)
			f.moves(1, here, there)
			m := f.give(here)
			f.counts(here, queue.Stats{Waiting: 1})
			f.takeThis(m)
			f.take(there)
			f.nothing(there)
		}},
		{name: "an endpoint that is not known is not found", test: func(f *fixture) {
			_, err := f.Move(f.Context(), here, there)
			f.fails(err, queue.ErrNotFound)
		}},
		{name: "an endpoint with deliveries in flight is busy", test: func(f *fixture) {
			m := f.give(here)
			d := f.takeThis(m)
			_, err := f.Move(f.Context(), here, there)
			f.fails(err, queue.ErrBusy)
			f.counts(here, queue.Stats{Waiting: 1, InFlight: 1})
			f.ok(d.Lease.Nack(0, tried))
			f.moves(1, here, there)
			f.same(f.take(there), m)
		}},
	}
}

func (f *fixture) moves(want int, from, to string) {
	f.Helper()
	n, err := f.Move(f.Context(), from, to)
	f.ok(err)
	if n != want {
		f.Fatalf("%d messages moved, want %d", n, want)
	}
}

// bury2 is bury for an endpoint that has other messages: it takes the newest.
func (f *fixture) bury2(endpoint string) *queue.Message {
	f.Helper()
	m := f.give(endpoint)
	f.ok(f.probe(queue.Pick{Newest: true}, m).Lease.Bury("gone", queue.History{}, f.units(1000)))
	return m
}

// deliver2 is deliver in the manner of bury2.
func (f *fixture) deliver2(endpoint string) *queue.Message {
	f.Helper()
	m := f.give(endpoint)
	f.ok(f.probe(queue.Pick{Newest: true}, m).Lease.Ack(f.units(1000)))
	return m
}
