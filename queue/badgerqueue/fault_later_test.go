// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// goOn uses a queue that was damaged: messages come, are settled and wait, dead
// letters are discarded, checkpoints drop what nothing is wanted of; and then it is
// opened again. All of that is in the ledger. What came before is all settled.
func (d *damaging) goOn(j *judging) {
	j.t.Helper()
	j.later = make(map[string]*queue.Message)
	for range 2 {
		for range 6 {
			j.publishLater(d.random.IntN(2000))
		}
		for range 3 {
			j.settleLater(d.random.IntN(4))
		}
		j.discardSome(func() bool { return d.random.IntN(2) == 0 })
		must(j.t, j.q.change(j.t.Context(), &change{write: func(b *batch) error { b.q.journal.Rotate(); return nil }}))
		must(j.t, j.q.change(j.t.Context(), &change{write: (*batch).force}))
		must(j.t, j.q.checkpointer.make(j.t.Context()))
	}
	wantedAreThere(j.t, j.q)
	must(j.t, j.q.Close())
	q, err := Open(j.q.opts)
	must(j.t, err)
	j.q = q
	j.discardSome(func() bool { return d.random.IntN(2) == 0 })
	must(j.t, j.q.checkpointer.make(j.t.Context()))
}

func (j *judging) publishLater(size int) {
	j.t.Helper()
	m := sender.Message("here")
	m.Request.Body = make([]byte, size)
	key := m.ID.String()
	j.later[key], j.keys[m.ID] = m, key
	j.ledger.Sent(key, content(j.t, m))
	publish(j.t, j.q, queue.Accepted, queue.Publication{Message: m, Keys: keyOf(m.ID)})
	j.ledger.Answered(key, 202)
}

// settleLater delivers a message, hands it back, keeps it or buries it.
func (j *judging) settleLater(how int) {
	j.t.Helper()
	d := receive(j.t, j.q, "here")
	h := queue.History{Attempts: d.History.Attempts + 1}
	a := attempt(d, 204)
	switch how {
	case 0:
		a.Status = 500
		must(j.t, d.Lease.Nack(0, h))
	case 1:
		a.Status = 410
		must(j.t, d.Lease.Bury("gone", h, 0))
	case 2:
		must(j.t, d.Lease.Ack(0))
	default:
		must(j.t, d.Lease.Ack(1000*time.Hour))
	}
	j.ledger.Tried(j.keyOf(d.Message.ID), content(j.t, d.Message), a)
}

// discardSome discards dead letters, which are dead in the end of the ledger.
func (j *judging) discardSome(which func() bool) {
	j.t.Helper()
	var ids []queue.ID
	for s, err := range j.q.DeadLetters(j.t.Context(), "here", queue.ID{}) {
		must(j.t, err)
		if which() {
			ids = append(ids, s.Message.ID)
		}
	}
	for _, id := range ids {
		must(j.t, j.q.Discard(j.t.Context(), "here", id))
		j.end.Dead[j.keyOf(id)] = true
	}
}
