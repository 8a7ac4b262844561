// SPDX-License-Identifier: Apache-2.0

package queuetest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

func reopenPromises() []promise {
	tried := queue.History{Attempts: 4, Failures: 2, Delayed: time.Minute, LastError: "status 500"}
	return []promise{
		{name: "a queue that nobody used opens again", test: func(f *fixture) {
			f.reopen()
			f.reopen()
			f.takeThis(f.give(here))
		}},
		{name: "the order of arrival survives", test: func(f *fixture) {
			all := f.giveAll(here, 10)
			f.ok(f.takeThis(all[0]).Lease.Ack(0))
			f.reopen()
			all = append(all, f.giveAll(here, 5)...)
			f.takeAll(all[1:]...)
		}},
		{name: "what backs off is due as it was", test: func(f *fixture) {
			m := f.give(here)
			f.ok(f.takeThis(m).Lease.Nack(f.units(3), tried))
			f.pass(1)
			f.reopen()
			f.nothing(here)
			f.pass(1)
			f.nothing(here)
			f.pass(1.5)
			if h := f.takeThis(m).History; h != tried {
				f.Fatalf("history is %+v, want %+v", h, tried)
			}
		}},
		{name: "what was due in the meantime is ready", test: func(f *fixture) {
			m := f.give(here)
			f.ok(f.takeThis(m).Lease.Nack(f.units(1), tried))
			f.close()
			f.pass(1.5)
			f.Queue = f.engine.Open(f.T, f.dir)
			f.open = true
			f.takeThis(m)
		}},
		{name: "what was buried stays dead", test: func(f *fixture) {
			m := f.give(here)
			f.ok(f.takeThis(m).Lease.Bury("status 410", tried, f.units(1000)))
			f.reopen()
			f.nothing(here)
			list := f.dead(here)
			f.these(list, m)
			if d := list[0]; d.Reason != "status 410" || d.History != tried || d.Until.Sub(d.At) != f.units(1000) {
				f.Fatalf("the dead letter is %+v", d)
			}
		}},
		{name: "nothing comes back, however often", test: func(f *fixture) {
			for range 5 {
				f.deliver(here, 0)
				f.bury(here)
				f.deliver(here, f.units(1000))
				f.reopen()
				f.nothing(here)
			}
			f.counts(here, queue.Stats{Dead: 5, Kept: 5})
		}},
	}
}

func crashPromises() []promise {
	return []promise{
		{name: "what was accepted survives, and its keys", crashes: true, test: func(f *fixture) {
			all := f.giveAll(here, 10)
			all = append(all, f.keyed(queue.Accepted, here, Key("a", f.units(1000))))
			large := f.Message(here)
			large.Request.Body = noise(3 << 20)
			f.publish(queue.Accepted, large)
			f.crash()
			f.keyed(queue.Duplicate, here, Key("a", f.units(1000)))
			f.takeAll(all...)
			f.identical(f.takeThis(large).Message, large)
		}},
		{name: "what was in flight is handed out again", crashes: true, test: func(f *fixture) {
			all := f.giveAll(here, 3)
			f.takeAll(all...)
			f.crash()
			f.takeAll(all...)
		}},
		{name: "a settlement is durable a moment later", crashes: true, test: func(f *fixture) {
			all := f.giveAll(here, 4)
			taken := f.takeAll(all...)
			f.ok(taken[0].Lease.Ack(0))
			f.ok(taken[1].Lease.Ack(f.units(1000)))
			f.ok(taken[2].Lease.Bury("gone", queue.History{}, f.units(1000)))
			f.ok(taken[3].Lease.Nack(0, queue.History{Attempts: 7}))
			f.flushed()
			f.crash()
			f.counts(here, queue.Stats{Waiting: 1, Retrying: 1, Kept: 1, Dead: 1})
			if h := f.takeThis(all[3]).History; h.Attempts != 7 {
				f.Fatalf("history is %+v", h)
			}
			f.nothing(here)
		}},
		{name: "a settlement is durable with the next commit", crashes: true, test: func(f *fixture) {
			f.deliver(here, 0)
			next := f.give(here)
			f.crash()
			f.takeThis(next)
			f.nothing(here)
		}},
		{name: "a settlement is whole or not there", crashes: true, test: func(f *fixture) {
			for n := range 20 {
				endpoint := fmt.Sprint("endpoint-", n)
				f.keyed(queue.Accepted, endpoint, Key("a", f.units(1000)))
				f.ok(f.take(endpoint).Lease.Ack(f.units(1000)))
				f.crash()
				s := f.stats(endpoint)
				if s.Waiting+s.Kept != 1 || len(f.kept(endpoint)) != int(s.Kept) {
					f.Fatalf("statistics are %+v", s)
				}
				f.keyed(queue.Duplicate, endpoint, Key("a", f.units(1000)))
			}
		}},
		{name: "what an operator did is durable", crashes: true, test: func(f *fixture) {
			key := Key("a", f.units(1000))
			redriven, discarded := f.bury(here), f.bury(here)
			f.deliver(here, 0, key)
			f.give("old")
			f.flushed()
			f.ok(f.Redrive(f.Context(), here, redriven.ID))
			f.ok(f.Discard(f.Context(), here, discarded.ID))
			f.ok(f.Forget(f.Context(), here, key.Kind, key.Hash))
			f.ok(f.SetOutage(f.Context(), here, &queue.Outage{Route: "1"}))
			f.moves(1, "old", there)
			f.crash()
			f.counts(here, queue.Stats{Waiting: 1})
			f.counts(there, queue.Stats{Waiting: 1})
			f.outageIs(here, &queue.Outage{Route: "1"})
			f.keyed(queue.Accepted, here, key)
		}},
		{name: "what was made ready is ready", crashes: true, test: func(f *fixture) {
			all := f.giveAll(here, 10)
			for _, d := range f.takeAll(all...) {
				f.ok(d.Lease.Nack(f.units(1000), queue.History{Attempts: 1, Failures: 1}))
			}
			f.ok(f.MakeReady(f.Context(), here, []queue.Refund{{ID: all[0].ID, Failures: 1}}))
			f.crash()
			taken := f.takeAll(all...)
			if h := taken[0].History; h.Failures != 0 || h.Attempts != 1 {
				f.Fatalf("history is %+v", h)
			}
		}},
	}
}

func closePromises() []promise {
	return []promise{
		{name: "every method of a closed queue returns ErrClosed", test: func(f *fixture) {
			dead := f.bury(here)
			f.giveAll(here, 3)
			leases := []queue.Lease{f.take(here).Lease, f.take(here).Lease, f.take(here).Lease}
			f.close()

			ctx := f.Context()
			errs := map[string]error{}
			_, errs["Publish"] = f.Publish(ctx, queue.Publication{Message: f.Message(here)})
			_, errs["Receive"] = f.Receive(ctx, here, lease1h)
			_, errs["Probe"] = f.Probe(ctx, here, queue.Pick{}, lease1h)
			errs["MakeReady"] = f.MakeReady(ctx, here, nil)
			_, errs["Outage"] = f.Outage(ctx, here)
			errs["SetOutage"] = f.SetOutage(ctx, here, nil)
			_, errs["Endpoints"] = f.Endpoints(ctx)
			errs["DeadLetters"] = lastError(f.DeadLetters(ctx, here, queue.ID{}))
			_, errs["DeadLetter"] = f.DeadLetter(ctx, here, dead.ID)
			errs["Redrive"] = f.Redrive(ctx, here, dead.ID)
			_, errs["RedriveAll"] = f.RedriveAll(ctx, here)
			errs["Discard"] = f.Discard(ctx, here, dead.ID)
			_, errs["DiscardAll"] = f.DiscardAll(ctx, here)
			errs["Kept"] = lastError(f.Kept(ctx, here))
			errs["Forget"] = f.Forget(ctx, here, queue.KeyID, [32]byte{})
			_, errs["Move"] = f.Move(ctx, here, there)
			errs["Ack"] = leases[0].Ack(0)
			errs["Nack"] = leases[1].Nack(0, queue.History{})
			errs["Bury"] = leases[2].Bury("gone", queue.History{}, f.units(1))
			for method, err := range errs {
				if !errors.Is(err, queue.ErrClosed) {
					f.Errorf("%s: error is %v", method, err)
				}
			}
		}},
		{name: "Close ends those who wait", test: func(f *fixture) {
			errs := make(chan error, 2)
			go func() {
				_, err := f.Receive(f.Context(), here, lease1h)
				errs <- err
			}()
			go func() {
				_, err := f.Probe(f.Context(), here, queue.Pick{}, lease1h)
				errs <- err
			}()
			time.Sleep(f.brief)
			f.close()
			for range 2 {
				f.fails(<-errs, queue.ErrClosed)
			}
		}},
		{name: "Close makes every settlement durable", test: func(f *fixture) {
			for _, d := range f.takeAll(f.giveAll(here, 300)...) {
				f.ok(d.Lease.Ack(0))
			}
			f.reopen()
			f.counts(here, queue.Stats{})
			f.nothing(here)
		}},
		{name: "who publishes while the queue is closed knows what became of it", test: func(f *fixture) {
			accepted := make(chan queue.ID, 10_000)
			go func() {
				defer close(accepted)
				for {
					r, err := f.Publish(context.WithoutCancel(f.Context()), queue.Publication{Message: f.Message(here)})
					if errors.Is(err, queue.ErrClosed) || len(accepted) == cap(accepted) {
						return
					}
					if err == nil {
						accepted <- r.ID
					}
				}
			}()
			old := f.Queue
			for len(accepted) < 20 {
				time.Sleep(time.Millisecond)
			}
			f.open = false
			f.ok(old.Close())
			want := make(map[queue.ID]bool)
			for id := range accepted {
				want[id] = true
			}
			f.Queue = f.engine.Open(f.T, f.dir)
			f.open = true
			for range f.stats(here).Waiting {
				delete(want, f.take(here).Message.ID)
			}
			if len(want) > 0 {
				f.Fatalf("%d messages were accepted and lost", len(want))
			}
		}},
	}
}

func lastError(all iter.Seq2[queue.Settled, error]) error {
	var last error
	for _, err := range all {
		last = err
	}
	return last
}
