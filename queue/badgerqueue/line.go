// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"container/heap"
	"math"
	"slices"
	"time"
)

// A line is the messages of one endpoint that wait, as far as memory knows them:
//
//	r:  ✕ ✕ F ✕ F │ F F F F F │ F F F F F F F F F
//	    in flight   buffer      on disk only
//	    ▲                       ▲                 ▲
//	    lowest                  cursor            last
//
//	w:  R R R R R R R R │ R R R R R R R R R R
//	    retries           on disk only
//	                      ▲
//	                      horizon
//
// All that is in memory of r is below the cursor, and all of r below it is in
// the buffer, in flight or settled. If the cursor is not past the last message,
// there is a gap: a message that arrives must not overtake those in it, so it
// stays on disk too. All of w that is due before the horizon is in memory or in
// flight.
//
// A line is guarded by scheduler.mu.
type line struct {
	s *scheduler
	e *endpoint

	buffer []*handle // loaded, in order of arrival
	bytes  int64     // of the buffer
	cursor uint64
	last   uint64

	retries []retry // by time
	more    bool    // on disk, from the horizon on
	horizon retry

	held     map[uint64]*handle // in flight, or not yet durably settled
	order    seqHeap            // of the fresh ones in held, and some that were
	soon     int                // those of held that will be ready once they are settled
	settling int                // those of held that are being settled

	loading bool
	stale   bool            // what is being loaded: the disk has changed
	left    map[uint64]bool // what was in held since the load began
	paused  int             // times; nothing is handed out while places change

	received uint64 // the value of scheduler.receives the last time
	waiters  []*waiter
	timer    *time.Timer // fires when the first of the retries is due
}

// A retry is a message that is in w.
type retry struct {
	at    time.Time // of the monotonic clock; zero: now, and before all others
	place duePlace
}

func (r retry) compare(o retry) int {
	if c := r.at.Compare(o.at); c != 0 {
		return c
	}
	if r.place.before(o.place) {
		return -1
	}
	return 1
}

// A waiter is a Receive or a Probe that waits. It is handed a message, or nil,
// which means that it should look again. A probe is handed nothing else.
type waiter struct {
	handed chan *handle // holds one
	probe  bool
}

func (l *line) init(s *scheduler, e *endpoint) {
	l.s, l.e = s, e
	l.cursor = 1
	l.held = make(map[uint64]*handle)
}

func (l *line) gap() bool { return l.cursor <= l.last }

func (l *line) fits(size int64) bool {
	return len(l.buffer) < l.s.budgets.count && l.bytes+size <= l.s.budgets.endpoint ||
		len(l.buffer) == 0 && len(l.waiters) > 0
}

// take returns the message to hand out next, and holds it; nil if there is none
// in memory. One that retries comes without its message.
func (l *line) take(now time.Time) *handle {
	if l.paused > 0 || l.s.err != nil || l.mustLoadRetries(now) {
		return nil
	}
	if len(l.retries) > 0 && !l.retries[0].at.After(now) {
		h := &handle{endpoint: l.e, seq: l.retries[0].place.seq}
		l.retries = l.retries[1:]
		l.hold(h)
		return h
	}
	if len(l.buffer) > 0 {
		h := l.pop()
		l.hold(h)
		return h
	}
	return nil
}

// mustLoadRetries reports whether what is on disk comes before what is in
// memory.
func (l *line) mustLoadRetries(now time.Time) bool {
	return l.more && !l.horizon.at.After(now) &&
		(len(l.retries) == 0 || l.horizon.compare(l.retries[0]) < 0)
}

// wantsLoad reports whether the caller should load. The buffer is filled up a
// little before it is empty, so that only the caller waits for it.
func (l *line) wantsLoad(now time.Time) bool {
	const low = 32
	return l.paused == 0 && !l.loading && l.s.err == nil &&
		(l.mustLoadRetries(now) || l.gap() && len(l.buffer) < low && l.bytes <= l.s.budgets.endpoint/4)
}

func (l *line) push(h *handle) {
	l.buffer = append(l.buffer, h)
	l.bytes += h.size
	l.s.buffered += h.size
}

func (l *line) pop() *handle {
	h := l.buffer[0]
	l.buffer[0] = nil
	l.buffer = l.buffer[1:]
	l.bytes -= h.size
	l.s.buffered -= h.size
	if len(l.buffer) == 0 {
		l.buffer = nil
	}
	return h
}

// unload leaves the buffer to the disk.
func (l *line) unload() {
	if len(l.buffer) > 0 {
		l.cursor = l.buffer[0].seq
	}
	l.s.buffered -= l.bytes
	l.buffer, l.bytes = nil, 0
}

// claim holds a message that a probe found on disk, and takes it from wherever
// else memory has it. It returns nil if the message is held already.
func (l *line) claim(seq uint64, fresh bool) *handle {
	if l.held[seq] != nil {
		return nil
	}
	h := &handle{endpoint: l.e, seq: seq, fresh: fresh}
	if i := slices.IndexFunc(l.buffer, func(b *handle) bool { return b.seq == seq }); i >= 0 {
		l.bytes -= l.buffer[i].size
		l.s.buffered -= l.buffer[i].size
		l.buffer = slices.Delete(l.buffer, i, i+1)
	}
	l.retries = slices.DeleteFunc(l.retries, func(r retry) bool { return r.place.seq == seq })
	l.hold(h)
	return h
}

func (l *line) hold(h *handle) {
	l.held[h.seq] = h
	if h.fresh {
		heap.Push(&l.order, h.seq)
	}
}

// release forgets a message that was held: it is settled on disk, or was given
// back.
func (l *line) release(h *handle) {
	delete(l.held, h.seq)
	if h.settled {
		l.settling--
	}
	if l.loading {
		l.left[h.seq] = true
	}
}

// inFlight returns how many messages are handed out.
func (l *line) inFlight() int { return len(l.held) - l.settling }

// giveBack lets a message wait again that could not be read.
func (l *line) giveBack(h *handle) {
	l.release(h)
	if h.fresh {
		l.unload()
		l.cursor = min(l.cursor, h.seq)
		l.stale = l.loading
		return
	}
	l.more = true
	l.horizon = retry{at: time.Now().Add(time.Second)}
}

// addRetry takes in a message that is in w now.
func (l *line) addRetry(r retry) {
	if l.held[r.place.seq] != nil {
		return // a probe was faster
	}
	i, _ := slices.BinarySearchFunc(l.retries, r, retry.compare)
	l.retries = slices.Insert(l.retries, i, r)
	if !l.loading {
		l.trim()
	}
}

// trim leaves the last of the retries to the disk.
func (l *line) trim() {
	for len(l.retries) > l.s.budgets.retries {
		dropped := l.retries[len(l.retries)-1]
		l.retries = l.retries[:len(l.retries)-1]
		if !l.more {
			l.more, l.horizon = true, dropped
			continue
		}
		if dropped.place.before(l.horizon.place) {
			l.horizon.place = dropped.place
		}
		if dropped.at.Before(l.horizon.at) {
			l.horizon.at = dropped.at
		}
	}
}

// reload forgets what memory knows of w and r, because the disk changed.
func (l *line) reload() {
	l.unload()
	l.retries, l.more, l.horizon = nil, true, retry{}
	l.stale = l.loading
}

// lowestRetry returns what is not after anything of b, and of w. It knows
// nothing better than known of b if a part of it is on disk only.
func (l *line) lowestRetry(known uint64) (seq uint64, due duePlace) {
	seq, due = math.MaxUint64, duePlace{math.MaxUint64, math.MaxUint64}
	for _, h := range l.held {
		if !h.fresh {
			seq, due = min(seq, h.seq), due.or(duePlace{h.due, h.seq})
		}
	}
	for _, r := range l.retries {
		seq, due = min(seq, r.place.seq), due.or(r.place)
	}
	if l.more {
		seq, due = min(seq, known), due.or(l.horizon.place)
	}
	return seq, due
}

// lowest returns a number below which nothing of r waits.
func (l *line) lowest() uint64 {
	for len(l.order) > 0 {
		if h := l.held[l.order[0]]; h != nil && h.fresh {
			break
		}
		heap.Pop(&l.order)
	}
	low := l.last + 1
	if l.gap() {
		low = l.cursor
	}
	if len(l.buffer) > 0 {
		low = min(low, l.buffer[0].seq)
	}
	if len(l.order) > 0 {
		low = min(low, l.order[0])
	}
	return low
}

// changed hands out what there is to those who wait. If something must be loaded
// first, one of them is woken to do that. Probes choose for themselves.
func (l *line) changed() {
	l.wakeProbes()
	now := time.Now()
	for len(l.waiters) > 0 {
		h := l.take(now)
		if h == nil {
			if l.wantsLoad(now) {
				l.wake(nil)
			} else {
				l.setTimer(now)
			}
			return
		}
		l.wake(h)
	}
}

// wake hands h to the one who waits longest.
func (l *line) wake(h *handle) {
	l.waiters[0].handed <- h
	l.waiters[0] = nil
	l.waiters = l.waiters[1:]
}

func (l *line) wakeProbes() {
	l.waiters = slices.DeleteFunc(l.waiters, func(w *waiter) bool {
		if w.probe {
			w.handed <- nil
		}
		return w.probe
	})
}

func (l *line) wakeAll() {
	for len(l.waiters) > 0 {
		l.wake(nil)
	}
}

func (l *line) setTimer(now time.Time) {
	var at time.Time
	if len(l.retries) > 0 {
		at = l.retries[0].at
	}
	if l.more && (len(l.retries) == 0 || l.horizon.at.Before(at)) {
		at = l.horizon.at
	}
	if l.paused > 0 || l.loading || !at.After(now) {
		return
	}
	if l.timer == nil {
		l.timer = time.AfterFunc(at.Sub(now), l.due)
		return
	}
	l.timer.Reset(at.Sub(now))
}

func (l *line) due() {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	l.changed()
}

// A seqHeap has the smallest number on top.
type seqHeap []uint64

func (h seqHeap) Len() int           { return len(h) }
func (h seqHeap) Less(i, j int) bool { return h[i] < h[j] }
func (h seqHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *seqHeap) Push(x any)        { *h = append(*h, x.(uint64)) }

func (h *seqHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
