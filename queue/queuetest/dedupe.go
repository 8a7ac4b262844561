// SPDX-License-Identifier: Apache-2.0

package queuetest

import (
	"github.com/caddy-webhook-inbox/inbox/queue"
)

func dedupePromises() []promise {
	return []promise{
		{name: "a duplicate's receipt names the first message", test: func(f *fixture) {
			first := f.keyed(queue.Accepted, here, Key("a", f.units(100)))
			for range 3 {
				if id := f.publish(queue.Duplicate, f.Message(here), Key("a", f.units(100))); id != first.ID {
					f.Fatalf("the receipt names %s, want %s", id, first.ID)
				}
			}
			f.takeThis(first)
			f.nothing(here)
		}},
		{name: "any key that is known makes a duplicate", test: func(f *fixture) {
			f.keyed(queue.Accepted, here, Key("a", f.units(100)), Key("b", f.units(100)))
			f.keyed(queue.Duplicate, here, Key("x", f.units(100)), Key("b", f.units(100)))
			f.keyed(queue.Duplicate, here, Key("a", f.units(100)), Key("y", f.units(100)))
		}},
		{name: "a duplicate records none of its keys", test: func(f *fixture) {
			f.keyed(queue.Accepted, here, Key("a", f.units(100)))
			f.keyed(queue.Duplicate, here, Key("a", f.units(100)), Key("b", f.units(100)))
			f.keyed(queue.Accepted, here, Key("b", f.units(100)))
		}},
		{name: "a duplicate does not lengthen the window", test: func(f *fixture) {
			f.deliver(here, 0, Key("a", f.units(4)))
			f.pass(2.5)
			f.keyed(queue.Duplicate, here, Key("a", f.units(4)))
			f.pass(2.5)
			f.keyed(queue.Accepted, here, Key("a", f.units(4)))
		}},
		{name: "a key is known to its endpoint only", test: func(f *fixture) {
			f.keyed(queue.Accepted, here, Key("a", f.units(100)))
			f.keyed(queue.Accepted, there, Key("a", f.units(100)))
			f.keyed(queue.Duplicate, there, Key("a", f.units(100)))
		}},
		{name: "keys of different kinds differ", test: func(f *fixture) {
			id := Key("a", f.units(100))
			content := id
			content.Kind = queue.KeyContent
			f.keyed(queue.Accepted, here, id)
			f.keyed(queue.Accepted, here, content)
			f.keyed(queue.Duplicate, here, content)
		}},
		{name: "a key is known for its window after delivery, and no longer", test: func(f *fixture) {
			first := f.deliver(here, 0, Key("a", f.units(4)))
			f.pass(2.5)
			if id := f.publish(queue.Duplicate, f.Message(here), Key("a", f.units(4))); id != first.ID {
				f.Fatalf("the receipt names %s, want %s", id, first.ID)
			}
			f.pass(2.5)
			f.keyed(queue.Accepted, here, Key("a", f.units(4)))
			f.keyed(queue.Duplicate, here, Key("a", f.units(4)))
		}},
		{name: "each key has its own window", test: func(f *fixture) {
			f.deliver(here, 0, Key("short", f.units(2)), Key("long", f.units(100)))
			f.pass(3)
			f.keyed(queue.Duplicate, here, Key("long", f.units(100)))
			f.keyed(queue.Accepted, here, Key("short", f.units(100)))
		}},
		{name: "a key lives while its message waits", test: func(f *fixture) {
			m := f.keyed(queue.Accepted, here, Key("a", f.units(1)))
			f.pass(3)
			f.keyed(queue.Duplicate, here, Key("a", f.units(1)))

			d := f.takeThis(m)
			f.keyed(queue.Duplicate, here, Key("a", f.units(1)))
			f.ok(d.Lease.Nack(f.units(2), queue.History{Attempts: 1}))
			f.keyed(queue.Duplicate, here, Key("a", f.units(1)))
			f.reopen()
			f.keyed(queue.Duplicate, here, Key("a", f.units(1)))

			f.pass(3)
			f.ok(f.takeThis(m).Lease.Ack(0))
			f.keyed(queue.Accepted, here, Key("a", f.units(1)))
		}},
		{name: "a key whose message is kept is known for its window only", test: func(f *fixture) {
			f.deliver(here, f.units(100), Key("a", f.units(2)))
			f.keyed(queue.Duplicate, here, Key("a", f.units(2)))
			f.pass(3)
			f.keyed(queue.Accepted, here, Key("a", f.units(2)))
		}},
		{name: "a message takes the place of a dead letter with its key", test: func(f *fixture) {
			f.bury(here, Key("a", f.units(100)))
			m := f.keyed(queue.Revived, here, Key("a", f.units(100)))
			f.these(f.dead(here))
			f.counts(here, queue.Stats{Waiting: 1})
			f.keyed(queue.Duplicate, here, Key("a", f.units(100)))
			f.takeThis(m)
		}},
		{name: "a message that revives frees the other keys of the dead letter", test: func(f *fixture) {
			f.bury(here, Key("a", f.units(100)), Key("b", f.units(100)))
			f.keyed(queue.Revived, here, Key("a", f.units(100)))
			f.keyed(queue.Accepted, here, Key("b", f.units(100)))
		}},
		{name: "a message may take the place of several dead letters", test: func(f *fixture) {
			f.bury(here, Key("a", f.units(100)))
			f.bury(here, Key("b", f.units(100)))
			other := f.bury(here, Key("c", f.units(100)))
			f.keyed(queue.Revived, here, Key("a", f.units(100)), Key("b", f.units(100)))
			f.these(f.dead(here), other)
		}},
		{name: "a known key outweighs that of a dead letter", test: func(f *fixture) {
			dead := f.bury(here, Key("a", f.units(100)))
			first := f.keyed(queue.Accepted, here, Key("b", f.units(100)))
			if id := f.publish(queue.Duplicate, f.Message(here), Key("a", f.units(100)), Key("b", f.units(100))); id != first.ID {
				f.Fatalf("the receipt names %s, want %s", id, first.ID)
			}
			f.these(f.dead(here), dead)
		}},
		{name: "a dead letter that is kept no longer does not block its key", test: func(f *fixture) {
			m := f.keyed(queue.Accepted, here, Key("a", f.units(1000)))
			f.ok(f.takeThis(m).Lease.Bury("gone", queue.History{}, f.units(1)))
			f.soon("the dead letter is erased", func() bool { return len(f.dead(here)) == 0 })
			r, err := f.Publish(f.Context(), queue.Publication{Message: f.Message(here), Keys: []queue.Key{Key("a", f.units(1000))}})
			f.ok(err)
			if r.Outcome == queue.Duplicate {
				f.Fatal("a message that was never delivered makes a duplicate")
			}
		}},
		{name: "keys survive reopening", test: func(f *fixture) {
			waiting := f.keyed(queue.Accepted, here, Key("waiting", f.units(100)))
			f.takeThis(waiting)
			f.deliver(here, 0, Key("delivered", f.units(100)))
			f.deliver(here, f.units(100), Key("kept", f.units(100)))
			f.bury(here, Key("dead", f.units(100)))
			f.reopen()
			f.keyed(queue.Duplicate, here, Key("waiting", f.units(100)))
			f.keyed(queue.Duplicate, here, Key("delivered", f.units(100)))
			f.keyed(queue.Duplicate, here, Key("kept", f.units(100)))
			f.keyed(queue.Revived, here, Key("dead", f.units(100)))
		}},
		{name: "a window does not start anew when the queue is reopened", test: func(f *fixture) {
			f.deliver(here, 0, Key("a", f.units(4)))
			f.pass(2.5)
			f.reopen()
			f.keyed(queue.Duplicate, here, Key("a", f.units(4)))
			f.pass(2.5)
			f.keyed(queue.Accepted, here, Key("a", f.units(4)))
		}},
	}
}
