// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
	"github.com/caddy-webhook-inbox/inbox/queue/queuetest"
)

// restart ends the process in good order, or kills it, and begins another.
func (w *twins) restart(kill bool) {
	if kill || w.q.Err() != nil {
		w.killed(nil)
		return
	}
	w.fuse.Store(0)
	must(w.t, w.q.Close())
	w.open()
	must(w.t, w.model.Close())
	w.resume(w.model.Reopen())
}

// killed goes on after a kill, with what could not be finished because of it. All that
// was durable is there, and a beginning of what was settled after that.
func (w *twins) killed(unfinished func(queue.Queue) (string, error)) {
	w.crashes++
	if unfinished != nil {
		w.known++
	}
	crash(w.t, w.q)
	w.fuse.Store(0)
	w.open()
	w.finish(w.ours, unfinished)
	got := w.everything(w.ours)
	crash(w.t, w.q)
	w.open()

	w.model.Crash()
	var all []string
	for n := range w.model.Forgettable() + 1 {
		m := w.model.ReopenWith(n)
		w.finish(m, unfinished)
		want := w.everything(m)
		if got == want {
			m = w.model.ReopenWith(n)
			w.finish(m, unfinished)
			must(w.t, m.Close())
			w.resume(m.Reopen())
			return
		}
		all = append(all, unlike(got, want))
	}
	w.differs("after a kill there is not what was durable\n%s", strings.Join(slices.Compact(all), "nor\n"))
}

// unlike returns the lines that only one of two texts has.
func unlike(got, want string) string {
	var b strings.Builder
	g, w := strings.SplitAfter(got, "\n"), strings.SplitAfter(want, "\n")
	for _, line := range g {
		if !slices.Contains(w, line) {
			b.WriteString("there is " + line)
		}
	}
	for _, line := range w {
		if !slices.Contains(g, line) {
			b.WriteString("not      " + line)
		}
	}
	return b.String()
}

// finish does again what a kill came between. It may have been done.
func (w *twins) finish(q queue.Queue, op func(queue.Queue) (string, error)) {
	if op == nil {
		return
	}
	if _, err := op(q); err != nil && !errors.Is(err, queue.ErrNotFound) && !errors.Is(err, queue.ErrFull) {
		w.differs("what could not be finished cannot be repeated: %v", err)
	}
}

// everything is what a queue has, of which it hands out all that waits.
func (w *twins) everything(q queue.Queue) string {
	var b strings.Builder
	b.WriteString(w.seen(q))
	for _, name := range slices.Concat(w.endpoints, w.spare) {
		for _, d := range w.drained(q, name) {
			fmt.Fprintf(&b, "  %s waits: %s\n", name, told(d))
		}
	}
	return b.String()
}

func (w *twins) drained(q queue.Queue, endpoint string) (all []queue.Delivery) {
	for {
		ctx, cancel := context.WithTimeout(w.t.Context(), time.Millisecond)
		d, err := q.Probe(ctx, endpoint, queue.Pick{}, time.Hour)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			return all
		}
		if err != nil {
			w.differs("probing: %v", err)
		}
		all = append(all, d)
	}
}

// resume goes on with a model that was opened again. What was in flight waits, and
// when what waits is due is not said: mostly all of it is made ready.
func (w *twins) resume(m *queuetest.Memory) {
	w.model = m
	w.held = nil
	before := w.waiting
	w.waiting = make(map[queue.ID]*standing)
	must(w.t, m.Close())
	look := m.Reopen()
	for _, name := range slices.Concat(w.endpoints, w.spare) {
		for _, d := range w.drained(look, name) {
			s := before[d.Message.ID]
			w.arrived(d.Message.ID, name) // the oldest is drained first
			now := w.waiting[d.Message.ID]
			now.unsure, now.tried = true, d.History.Attempts
			now.moved = s != nil && (s.moved || s.endpoint != name)
			now.retrying = now.tried > 0 || now.moved
			now.loose = now.tried == 0 && !now.moved && (s == nil || s.loose)
		}
	}
	w.model = m.Reopen()
	if w.random.IntN(3) > 0 {
		for _, name := range w.endpoints {
			w.ready(name, nil)
		}
	}
}
