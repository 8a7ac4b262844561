// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"container/heap"
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
	large    int64              // bytes of the large ones in flight

	loading bool
	stale   bool            // what is being loaded: the disk has changed
	left    map[uint64]bool // what was in held since the load began
	paused  int             // times; nothing is handed out while places change
	short   int             // times in a row that messages were missing

	received uint64 // the value of scheduler.receives the last time
	waiters  []*waiter
	timer    *time.Timer // fires when the first of the retries is due
}

func (l *line) init(s *scheduler, e *endpoint) {
	l.s, l.e = s, e
	l.cursor = 1
	l.held = make(map[uint64]*handle)
}

func (l *line) gap() bool { return l.cursor <= l.last }

func (l *line) fits(size int64) bool {
	return len(l.buffer) < l.s.budgets.count && l.bytes+size <= l.s.budgets.endpoint ||
		len(l.buffer) == 0 && l.receivers() > 0
}

// halted reports whether nothing is handed out for now.
func (l *line) halted() bool { return l.paused > 0 || l.s.suspended }

// take returns the message to hand out next, and holds it; nil if there is none
// in memory. One that retries comes without its message.
func (l *line) take(now time.Time) *handle {
	if l.halted() || l.s.err != nil || l.mustLoadRetries(now) {
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

// wantsLoad reports whether the caller should load.
func (l *line) wantsLoad(now time.Time) bool {
	return !l.halted() && !l.loading && l.s.err == nil && (l.mustLoadRetries(now) || l.wantsFresh())
}

// wantsFresh reports whether the buffer should be filled up. That is a little
// before it is empty, so that only the one who does it waits.
func (l *line) wantsFresh() bool {
	const low = 32
	return l.gap() && len(l.buffer) < low && l.bytes <= l.s.budgets.endpoint/4
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
	l.s.depart(h)
	if h.settled {
		l.settling--
	}
	if l.loading {
		l.left[h.seq] = true
	}
}

// inFlight returns how many messages are handed out.
func (l *line) inFlight() int { return len(l.held) - l.settling }

// giveBack lets a message wait again that was not handed out. One that retries waits
// for so long.
func (l *line) giveBack(h *handle, delay time.Duration) {
	l.release(h)
	l.stale = l.loading // it was held when that began
	if h.fresh {
		l.unload()
		l.cursor = min(l.cursor, h.seq)
	} else {
		at := time.Now().Add(delay)
		if l.more && l.horizon.at.Before(at) {
			at = l.horizon.at
		}
		l.more, l.horizon = true, retry{at: at}
	}
	l.changed()
}

// reload forgets what memory knows of w and r, because the disk changed.
func (l *line) reload() {
	l.unload()
	l.retries, l.more, l.horizon = nil, true, retry{}
	l.stale = l.loading
}
