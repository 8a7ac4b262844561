// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"time"
	"unicode/utf8"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// A lease is the hold on a message in flight.
type lease struct {
	q *Queue
	h *handle
}

var _ queue.Lease = (*lease)(nil)

// Ack implements [queue.Lease].
func (l *lease) Ack(keep time.Duration) error {
	return l.settle(ack{keep: keep, at: l.q.opts.Now()})
}

// Nack implements [queue.Lease].
func (l *lease) Nack(delay time.Duration, h queue.History) error {
	delay = max(delay, 0)
	return l.settle(nack{
		delay:   delay,
		history: shorten(h),
		at:      time.Now().Add(delay),
		due:     millis(l.q.clock.now().Add(delay)),
	})
}

// Bury implements [queue.Lease].
func (l *lease) Bury(reason string, h queue.History, keep time.Duration) error {
	return l.settle(bury{reason: shortText(reason), history: shorten(h), keep: keep, at: l.q.opts.Now()})
}

// maxText is how much of an error or a reason is kept, in bytes, so that no
// settlement is too large for a transaction.
const maxText = 4 << 10

func shorten(h queue.History) queue.History {
	h.LastError = shortText(h.LastError)
	return h
}

// shortText cuts a text off between two characters.
func shortText(s string) string {
	if len(s) <= maxText {
		return s
	}
	end := maxText
	for end > maxText-utf8.UTFMax && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}

func (l *lease) settle(how settling) error {
	if err := l.q.gate.enter(); err != nil {
		return err
	}
	defer l.q.gate.leave()

	s := l.q.scheduler
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.h.settled {
		return queue.ErrLeaseLost
	}
	if err := l.q.committer.submitBehind(&settlement{q: l.q, handle: l.h, settle: how}); err != nil {
		return err
	}
	l.h.settled = true
	l.h.endpoint.line.settling++
	s.depart(l.h)
	how.taken(&l.h.endpoint.line)
	return nil
}

// A settlement is the operation that settles a message that is held.
type settlement struct {
	q      *Queue
	handle *handle
	settle settling
}

// settling is a way to settle a message.
type settling interface {
	// size bounds the text that it writes.
	size() int

	// taken is called with scheduler.mu once the committer has it.
	taken(l *line)

	// apply writes what becomes of a message that waits no longer where it was.
	apply(b *batch, h *handle)

	// done is called with scheduler.mu when that is durable.
	done(l *line, h *handle)
}

func (op *settlement) cost() (entries, bytes int) {
	return 8 + len(op.handle.body), 1024 + op.settle.size()
}

func (op *settlement) apply(b *batch) error {
	h := op.handle
	b.leaveLine(h.endpoint, h.seq, h.fresh, &h.waitingRecord)
	op.settle.apply(b, h)
	return nil
}

func (op *settlement) done(err error) {
	if err != nil {
		return // it stays held: the disk has it, for the next process
	}
	s := op.q.scheduler
	s.mu.Lock()
	defer s.mu.Unlock()
	l := &op.handle.endpoint.line
	l.release(op.handle)
	op.settle.done(l, op.handle)
}

// leaveLine takes a message out of r, or b and w.
func (b *batch) leaveLine(e *endpoint, seq uint64, fresh bool, w *waitingRecord) {
	tally := b.tally(e)
	n := e.number.Load()
	tally.waiting--
	if fresh {
		b.delete(freshKey(n, seq))
		return
	}
	b.delete(retryKey(n, seq))
	b.delete(dueKey(n, duePlace{w.due, seq}))
	if w.nacked {
		tally.retrying--
	}
}

// enterRetrying puts a message into b and w.
func (b *batch) enterRetrying(e *endpoint, seq uint64, w *waitingRecord) {
	tally := b.tally(e)
	n := e.number.Load()
	place := duePlace{w.due, seq}
	tally.waiting++
	if w.nacked {
		tally.retrying++
	}
	b.set(retryKey(n, seq), w.encode())
	b.set(dueKey(n, place), nil)
	if !e.entered {
		e.entered, e.enteredRetry, e.enteredDue = true, seq, place
	}
	e.enteredRetry, e.enteredDue = min(e.enteredRetry, seq), e.enteredDue.or(place)
}

// erase deletes a message itself.
func (b *batch) erase(e *endpoint, l *located) {
	b.unwant(l)
	b.account(e, -l.size)
	b.q.reclaimer.erased.Add(indexSize)
}

type ack struct {
	keep time.Duration
	at   time.Time
}

func (a ack) size() int { return 0 }

func (a ack) apply(b *batch, h *handle) {
	if a.keep <= 0 {
		b.erase(h.endpoint, &h.located)
		return
	}
	r := settledRecord{located: h.located, history: h.history, at: a.at, until: a.at.Add(a.keep)}
	b.keep(h.endpoint, duePlace{millis(r.until), h.seq}, r.encode())
}

func (ack) taken(*line)         {}
func (ack) done(*line, *handle) {}

type nack struct {
	delay   time.Duration
	history queue.History
	at      time.Time // of the monotonic clock
	due     uint64
}

func (n nack) size() int { return len(n.history.LastError) }

func (n nack) apply(b *batch, h *handle) {
	w := waitingRecord{located: h.located, nacked: true, due: n.due, delay: n.delay, history: n.history}
	b.enterRetrying(h.endpoint, h.seq, &w)
}

func (n nack) taken(l *line) {
	if n.delay == 0 {
		l.soon++
	}
}

func (n nack) done(l *line, h *handle) {
	if n.delay == 0 {
		l.soon--
	}
	l.addRetry(retry{at: n.at, place: duePlace{n.due, h.seq}})
	l.changed()
}

type bury struct {
	reason  string
	history queue.History
	keep    time.Duration
	at      time.Time
}

func (d bury) size() int { return len(d.history.LastError) + len(d.reason) }

func (d bury) apply(b *batch, h *handle) {
	r := settledRecord{located: h.located, history: d.history, reason: d.reason, at: d.at}
	if d.keep > 0 {
		r.until = d.at.Add(d.keep)
	}
	b.tally(h.endpoint).dead++
	b.set(deadKey(h.endpoint.number.Load(), h.id), r.encode())
}

func (bury) taken(*line)         {}
func (bury) done(*line, *handle) {}
