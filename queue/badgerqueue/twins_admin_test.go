// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
	"github.com/caddy-webhook-inbox/inbox/queue/queuetest"
)

// settle settles one of the messages in flight.
func (w *twins) settle() {
	if len(w.held) == 0 {
		return
	}
	i := w.random.IntN(len(w.held))
	s := w.held[i]
	h := s.ours.History
	h.Attempts++
	h.Failures += w.random.IntN(2)
	h.Delayed += time.Duration(w.random.IntN(1000)) * time.Second
	h.LastError = fmt.Sprint("status ", 400+w.random.IntN(200))
	long := time.Duration(w.random.Int64N(int64(200 * time.Hour)))
	kind := w.random.IntN(6)
	do := func(l queue.Lease) error {
		switch kind {
		case 0:
			return l.Ack(0)
		case 1:
			return l.Ack(long)
		case 2:
			return l.Bury("gone", h, long)
		case 3:
			return l.Nack(0, h)
		default:
			return l.Nack(long/1000, h)
		}
	}
	due := time.Now()
	err := do(s.ours.Lease)
	if errors.Is(err, queue.ErrUnavailable) {
		w.killed(nil)
		return
	}
	if other := do(s.theirs.Lease); err != nil || other != nil {
		w.differs("settling: %v, want %v", err, other)
	}
	if err := do(s.ours.Lease); !errors.Is(err, queue.ErrLeaseLost) && !errors.Is(err, queue.ErrUnavailable) {
		w.differs("settling twice: %v", err)
	}
	w.held = slices.Delete(w.held, i, i+1)
	s.flying = false
	if kind < 3 {
		delete(w.waiting, s.id)
		return
	}
	s.retrying, s.loose, s.unsure, s.due, s.tried = true, false, false, due, h.Attempts
	if kind > 3 {
		s.due = due.Add(long / 1000)
	}
}

func (w *twins) makeReady() {
	endpoint := w.endpoint()
	var refunds []queue.Refund
	if all := w.of(endpoint); len(all) > 0 && w.fuse.Load() == 0 && w.random.IntN(2) == 0 {
		s := all[w.random.IntN(len(all))]
		if s.tried > 0 {
			refunds = append(refunds, queue.Refund{ID: s.id, Failures: 1, Delayed: time.Second})
		}
	}
	w.ready(endpoint, refunds)
}

func (w *twins) ready(endpoint string, refunds []queue.Refund) {
	w.do("making ready", func(q queue.Queue) (string, error) {
		return "", q.MakeReady(w.t.Context(), endpoint, refunds)
	})
	for _, s := range w.of(endpoint) {
		s.due, s.unsure = time.Time{}, false
	}
}

// admin does what an operator may, mostly with a dead letter.
func (w *twins) admin() {
	endpoint, ctx := w.endpoint(), w.t.Context()
	dead := w.list(w.model.DeadLetters(ctx, endpoint, queue.ID{}))
	id := sender.Message(endpoint).ID
	if len(dead) > 0 {
		id = dead[w.random.IntN(len(dead))].Message.ID
	}
	switch w.random.IntN(7) {
	case 0, 1:
		w.do("redriving", func(q queue.Queue) (string, error) { return "", q.Redrive(ctx, endpoint, id) })
		dead = slices.DeleteFunc(dead, func(d queue.Settled) bool { return d.Message.ID != id })
		w.redriven(endpoint, dead)
	case 2:
		w.do("redriving all", func(q queue.Queue) (string, error) {
			n, err := q.RedriveAll(ctx, endpoint)
			return fmt.Sprint(n), err
		})
		w.redriven(endpoint, dead)
	case 3:
		w.do("discarding", func(q queue.Queue) (string, error) { return "", q.Discard(ctx, endpoint, id) })
	case 4:
		if w.random.IntN(4) == 0 {
			w.do("discarding all", func(q queue.Queue) (string, error) {
				n, err := q.DiscardAll(ctx, endpoint)
				return fmt.Sprint(n), err
			})
		}
	case 5:
		var o *queue.Outage
		if w.random.IntN(2) == 0 {
			o = &queue.Outage{Since: w.clock.now().Round(0), Probes: w.random.IntN(9), LastError: "status 500"}
		}
		w.do("noting an outage", func(q queue.Queue) (string, error) { return "", q.SetOutage(ctx, endpoint, o) })
	default:
		w.forget(endpoint, dead)
	}
}

// redriven notes that dead letters have arrived again, unless they did before.
func (w *twins) redriven(endpoint string, dead []queue.Settled) {
	for _, d := range dead {
		if w.waiting[d.Message.ID] == nil {
			w.arrived(d.Message.ID, endpoint)
		}
	}
}

// forget forgets a key. Whether that of a dead letter is known is not said.
func (w *twins) forget(endpoint string, dead []queue.Settled) {
	name := fmt.Sprint(w.random.IntN(12))
	for _, d := range dead {
		if slices.Contains(strings.Split(d.Message.Scheme, ","), name) {
			return
		}
	}
	w.do("forgetting", func(q queue.Queue) (string, error) {
		return "", q.Forget(w.t.Context(), endpoint, queue.KeyID, queuetest.Key(name, 0).Hash)
	})
}

// move gives all of an endpoint to one of which there is nothing.
func (w *twins) move() {
	i, j := w.random.IntN(len(w.endpoints)), w.random.IntN(len(w.spare))
	from, to := w.endpoints[i], w.spare[j]
	busy := slices.ContainsFunc(w.held, func(s *standing) bool { return s.endpoint == from })
	moved, crashes := 0, w.crashes
	w.do("moving", func(q queue.Queue) (string, error) {
		n, err := q.Move(w.t.Context(), from, to)
		if _, model := q.(*queuetest.Memory); model && n > moved && w.crashes == crashes {
			w.differs("%d messages were moved, want %d", moved, n)
		}
		moved = n // dead letters that are to be erased may be counted
		return "", err
	})
	if busy && len(w.held) > 0 {
		return
	}
	w.endpoints[i], w.spare[j] = to, from
	for _, s := range w.waiting {
		if s.endpoint == from {
			s.endpoint, s.moved, s.retrying, s.loose, s.due, s.unsure = to, true, true, false, time.Time{}, false
		}
	}
}

// setClock sets the clock. What is kept no longer, by the clock before or after that,
// is erased by both.
func (w *twins) setClock() {
	if w.q.Err() != nil {
		return
	}
	w.fuse.Store(0)
	w.sweep()
	step := time.Hour
	if w.random.IntN(2) == 0 {
		step = 365 * 24 * time.Hour
	}
	if w.random.IntN(2) == 0 {
		step = -step
	}
	w.clock.set(step)
	w.sweep()
}

func (w *twins) sweep() {
	ctx := w.t.Context()
	must(w.t, w.q.flush(ctx))
	w.written()
	must(w.t, newSweeper(w.q).sweep(ctx))
	w.seen(w.model)
}

// pass lets time pass. Then what was settled before is durable.
func (w *twins) pass(d time.Duration) {
	time.Sleep(d)
	if d > 5*writeBehind && w.q.Err() == nil {
		w.written()
	}
}

// written makes the model's settlements durable.
func (w *twins) written() {
	must(w.t, w.model.SetOutage(w.t.Context(), "of nobody", nil))
}

func (w *twins) list(all iter.Seq2[queue.Settled, error]) (list []queue.Settled) {
	for s, err := range all {
		if err != nil {
			w.differs("listing: %v", err)
		}
		list = append(list, s)
	}
	return list
}

// compare compares what can be seen without a change.
func (w *twins) compare() {
	if w.fuse.Load() != 0 || w.q.Err() != nil {
		return
	}
	if got, want := w.seen(w.ours), w.seen(w.model); got != want {
		w.differs("\n%s", unlike(got, want))
	}
}

// seen is what a queue says that it has. What is kept no longer may be counted for a
// while, so only the lists are compared.
func (w *twins) seen(q queue.Queue) string {
	var b strings.Builder
	ctx := context.WithoutCancel(w.t.Context())
	all, err := q.Endpoints(ctx)
	if err != nil {
		w.differs("statistics: %v", err)
	}
	for _, name := range slices.Concat(w.endpoints, w.spare) {
		s := all[name]
		fmt.Fprintf(&b, "%s: %d wait, %d retry, %d in flight\n", name, s.Waiting, s.Retrying, s.InFlight)
		for _, d := range w.list(q.DeadLetters(ctx, name, queue.ID{})) {
			fmt.Fprintf(&b, "  dead %s %+v %s %s\n", d.Message.ID, d.History, d.Reason, d.Message.Scheme)
		}
		kept := w.list(q.Kept(ctx, name))
		slices.SortFunc(kept, func(a, b queue.Settled) int { return strings.Compare(a.Message.ID.String(), b.Message.ID.String()) })
		for _, k := range kept {
			fmt.Fprintf(&b, "  kept %s %+v\n", k.Message.ID, k.History)
		}
		o, err := q.Outage(ctx, name)
		if err != nil {
			w.differs("outage: %v", err)
		}
		if o != nil {
			fmt.Fprintf(&b, "  outage %+v\n", *o)
		}
	}
	return b.String()
}
