// SPDX-License-Identifier: Apache-2.0

package queuetest

import (
	"context"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

func receivePromises() []promise {
	return []promise{
		{name: "messages are handed out in order of arrival", test: func(f *fixture) {
			f.takeAll(f.giveAll(here, 20)...)
			f.nothing(here)
		}},
		{name: "a message in flight is not handed out again", test: func(f *fixture) {
			f.takeThis(f.give(here))
			f.nothing(here)
		}},
		{name: "Receive waits for a message", test: func(f *fixture) {
			got := f.receiveLater(here)
			time.Sleep(f.brief)
			m := f.give(here)
			f.same(<-got, m)
		}},
		{name: "Receive waits for a message that backs off", test: func(f *fixture) {
			m := f.give(here)
			begun := time.Now()
			f.ok(f.takeThis(m).Lease.Nack(f.units(2), queue.History{Attempts: 1}))
			f.same(<-f.receiveLater(here), m)
			if took := time.Since(begun); took < f.units(2) || took > f.units(3) {
				f.Fatalf("handed out after %v, want %v", took, f.units(2))
			}
		}},
		{name: "messages that are due come before fresh ones", test: func(f *fixture) {
			old := f.give(here)
			f.ok(f.takeThis(old).Lease.Nack(f.units(1), queue.History{Attempts: 1}))
			fresh := f.giveAll(here, 2)
			f.takeThis(fresh[0])
			f.pass(1.5)
			f.takeAll(old, fresh[1])
		}},
		{name: "a message nacked without a delay is next", test: func(f *fixture) {
			all := f.giveAll(here, 3)
			f.ok(f.takeThis(all[0]).Lease.Nack(0, queue.History{Attempts: 1}))
			f.takeAll(all...)
		}},
		{name: "a done context ends Receive and Probe", test: func(f *fixture) {
			ctx, cancel := context.WithCancel(f.Context())
			cancel()
			_, err := f.Receive(ctx, here, lease1h)
			f.fails(err, context.Canceled)
			_, err = f.Probe(ctx, here, queue.Pick{}, lease1h)
			f.fails(err, context.Canceled)
		}},
		{name: "several who wait get a message each", test: func(f *fixture) {
			first, second := f.receiveLater(here), f.receiveLater(here)
			time.Sleep(f.brief)
			f.giveAll(here, 2)
			if a, b := <-first, <-second; a.Message.ID == b.Message.ID {
				f.Fatal("the same message was handed out twice")
			}
		}},
		{name: "who waits for one endpoint is not woken for another", test: func(f *fixture) {
			got := f.receiveLater(here)
			f.takeThis(f.give(there))
			m := f.give(here)
			f.same(<-got, m)
		}},
		{name: "a long backlog is handed out in order", test: func(f *fixture) {
			all := f.giveAll(here, 2000)
			f.reopen()
			for i, m := range all {
				f.ok(f.takeThis(m).Lease.Ack(0))
				if i%100 == 0 {
					all = append(all[:len(all):len(all)], f.give(here))
				}
			}
			for _, m := range all[2000:] {
				f.ok(f.takeThis(m).Lease.Ack(0))
			}
			f.nothing(here)
			f.counts(here, queue.Stats{})
		}},
		{name: "a message larger than others does not lose its place", test: func(f *fixture) {
			var all []*queue.Message
			for i := range 12 {
				m := f.Message(here)
				if i%3 == 1 {
					m.Request.Body = noise(2 << 20)
				}
				f.publish(queue.Accepted, m)
				all = append(all, m)
			}
			f.takeAll(all...)
		}},
	}
}

// receiveLater receives in the background.
func (f *fixture) receiveLater(endpoint string) <-chan queue.Delivery {
	got := make(chan queue.Delivery, 1)
	ctx, cancel := context.WithTimeout(f.Context(), f.units(100))
	go func() {
		defer cancel()
		d, err := f.Receive(ctx, endpoint, lease1h)
		if err != nil {
			f.Errorf("receiving from %q: %v", endpoint, err)
			d.Message = &queue.Message{}
		}
		got <- d
	}()
	return got
}
