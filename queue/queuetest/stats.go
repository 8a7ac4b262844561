// SPDX-License-Identifier: Apache-2.0

package queuetest

import (
	"github.com/caddy-webhook-inbox/inbox/queue"
)

func statsPromises() []promise {
	tried := queue.History{Attempts: 1}
	return []promise{
		{name: "counts are exact after every step and after reopening", test: func(f *fixture) {
			f.counts(here, queue.Stats{})
			all := f.giveAll(here, 4)
			f.counts(here, queue.Stats{Waiting: 4})
			taken := f.takeAll(all...)
			f.counts(here, queue.Stats{Waiting: 4, InFlight: 4})
			f.ok(taken[0].Lease.Ack(0))
			f.counts(here, queue.Stats{Waiting: 3, InFlight: 3})
			f.ok(taken[1].Lease.Ack(f.units(1000)))
			f.counts(here, queue.Stats{Waiting: 2, InFlight: 2, Kept: 1})
			f.ok(taken[2].Lease.Bury("gone", tried, f.units(1000)))
			f.counts(here, queue.Stats{Waiting: 1, InFlight: 1, Kept: 1, Dead: 1})
			f.ok(taken[3].Lease.Nack(f.units(1000), tried))
			f.counts(here, queue.Stats{Waiting: 1, Retrying: 1, Kept: 1, Dead: 1})
			f.reopen()
			f.counts(here, queue.Stats{Waiting: 1, Retrying: 1, Kept: 1, Dead: 1})
			f.ok(f.MakeReady(f.Context(), here, nil))
			f.counts(here, queue.Stats{Waiting: 1, Retrying: 1, Kept: 1, Dead: 1})
			d := f.takeThis(all[3])
			f.counts(here, queue.Stats{Waiting: 1, Retrying: 1, InFlight: 1, Kept: 1, Dead: 1})
			f.ok(d.Lease.Nack(0, tried))
			f.counts(here, queue.Stats{Waiting: 1, Retrying: 1, Kept: 1, Dead: 1})
			f.ok(f.takeThis(all[3]).Lease.Ack(0))
			f.counts(here, queue.Stats{Kept: 1, Dead: 1})
			f.ok(f.Redrive(f.Context(), here, all[2].ID))
			f.counts(here, queue.Stats{Waiting: 1, Kept: 1})
			f.ok(f.takeThis(all[2]).Lease.Bury("gone", tried, f.units(1000)))
			f.counts(here, queue.Stats{Dead: 1, Kept: 1})
			f.ok(f.Discard(f.Context(), here, all[2].ID))
			f.counts(here, queue.Stats{Kept: 1})
			f.reopen()
			f.counts(here, queue.Stats{Kept: 1})
		}},
		{name: "what was in flight is only waiting after reopening", test: func(f *fixture) {
			f.take(f.give(here).Endpoint)
			f.counts(here, queue.Stats{Waiting: 1, InFlight: 1})
			f.reopen()
			f.counts(here, queue.Stats{Waiting: 1})
		}},
		{name: "bytes are those of waiting, kept and dead messages", test: func(f *fixture) {
			const body = 1 << 20
			several := func(n int64) {
				f.Helper()
				if got := f.stats(here).Bytes; got < n*body || got > n*(body+body/8) {
					f.Fatalf("%d bytes for %d messages of 1 MiB", got, n)
				}
			}
			several(0)
			for range 3 {
				f.publish(queue.Accepted, f.big(here))
			}
			several(3)
			f.ok(f.take(here).Lease.Ack(f.units(1000)))
			several(3)
			d := f.take(here)
			f.ok(d.Lease.Bury("gone", tried, f.units(1000)))
			several(3)
			before := f.stats(here).Bytes
			f.reopen()
			if after := f.stats(here).Bytes; after != before {
				f.Fatalf("%d bytes, %d after reopening", before, after)
			}
			f.ok(f.take(here).Lease.Ack(0))
			several(2)
			f.ok(f.Discard(f.Context(), here, d.Message.ID))
			several(1)
		}},
		{name: "no bytes are left when everything was erased", test: func(f *fixture) {
			for range 20 {
				f.deliver(here, 0, Key("", 0))
			}
			f.bury(here)
			_, err := f.DiscardAll(f.Context(), here)
			f.ok(err)
			if s := f.stats(here); s.Bytes != 0 {
				f.Fatalf("%d bytes are left", s.Bytes)
			}
		}},
		{name: "the oldest is the waiting message that was received first", test: func(f *fixture) {
			oldest := func(want *queue.Message) {
				f.Helper()
				got := f.stats(here).Oldest
				if want == nil && !got.IsZero() || want != nil && !got.Equal(want.ReceivedAt) {
					f.Fatalf("the oldest was received at %v, want that of %v", got, want)
				}
			}
			oldest(nil)
			first := f.give(here)
			f.pass(0.1)
			second := f.give(here)
			oldest(first)
			d := f.takeThis(first)
			oldest(first)
			f.ok(d.Lease.Nack(f.units(1000), tried))
			oldest(first)
			f.reopen()
			oldest(first)
			f.ok(f.MakeReady(f.Context(), here, nil))
			f.ok(f.takeThis(first).Lease.Ack(f.units(1000)))
			oldest(second)
			f.ok(f.takeThis(second).Lease.Bury("gone", tried, f.units(1000)))
			oldest(nil)
		}},
		{name: "endpoints with messages or keys are listed", test: func(f *fixture) {
			f.give("waiting")
			f.bury("dead")
			f.deliver("kept", f.units(1000))
			f.deliver("keys", 0, Key("a", f.units(1000)))
			check := func() {
				f.Helper()
				all, err := f.Endpoints(f.Context())
				f.ok(err)
				for _, name := range []string{"waiting", "dead", "kept", "keys"} {
					if _, ok := all[name]; !ok {
						f.Fatalf("%q is not listed", name)
					}
				}
				if _, ok := all["never"]; ok {
					f.Fatal("an endpoint is listed that nobody used")
				}
			}
			check()
			f.reopen()
			check()
		}},
		{name: "duplicates and refusals are not counted", test: func(f *fixture) {
			f.keyed(queue.Accepted, here, Key("a", f.units(1000)))
			before := f.stats(here)
			f.keyed(queue.Duplicate, here, Key("a", f.units(1000)))
			_, err := f.Publish(f.Context(), queue.Publication{Message: f.big(here), MaxSize: 1 << 16})
			f.fails(err, queue.ErrFull)
			if after := f.stats(here); after.Waiting != before.Waiting || after.Bytes != before.Bytes {
				f.Fatalf("statistics were %+v and are %+v", before, after)
			}
		}},
	}
}
