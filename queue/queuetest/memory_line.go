// SPDX-License-Identifier: Apache-2.0

package queuetest

import (
	"container/heap"
	"maps"
	"slices"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// A line is the order in which the waiting messages of an endpoint are handed
// out. Entries of messages that do not wait any more are skipped when met.
type line struct {
	fresh    []uint64        // never nacked, in order of arrival
	retrying dueHeap         // nacked
	inFlight map[uint64]bool // handed out
	changed  chan struct{}   // closed when there may be something to hand out
}

func newLine(e *endpointState) *line {
	l := &line{inFlight: make(map[uint64]bool), changed: make(chan struct{})}
	l.reset(e)
	return l
}

// reset makes the line anew from what waits.
func (l *line) reset(e *endpointState) {
	l.fresh, l.retrying = nil, nil
	for _, seq := range slices.Sorted(maps.Keys(e.waiting)) {
		switch w := e.waiting[seq]; {
		case l.inFlight[seq]:
		case w.nacked:
			l.retrying = append(l.retrying, dueEntry{w.due, seq})
		default:
			l.fresh = append(l.fresh, seq)
		}
	}
	heap.Init(&l.retrying)
	l.wake()
}

// arrived appends a fresh message.
func (l *line) arrived(seq uint64) {
	l.fresh = append(l.fresh, seq)
	l.wake()
}

// returned ends a message's flight; w is nil if it does not wait any more.
func (l *line) returned(seq uint64, w *waiting) {
	delete(l.inFlight, seq)
	if w != nil {
		heap.Push(&l.retrying, dueEntry{w.due, seq})
		l.wake()
	}
}

// next returns the message to hand out, or zero and when to look again; zero
// again for: not before a change.
func (l *line) next(e *endpointState) (uint64, time.Duration) {
	var due time.Duration
	for len(l.retrying) > 0 {
		first := l.retrying[0]
		if w := e.waiting[first.seq]; w == nil || l.inFlight[first.seq] || !w.due.Equal(first.due) {
			heap.Pop(&l.retrying)
			continue
		}
		if due = time.Until(first.due); due <= 0 {
			heap.Pop(&l.retrying)
			return first.seq, 0
		}
		break
	}
	for len(l.fresh) > 0 {
		seq := l.fresh[0]
		l.fresh = l.fresh[1:]
		if w := e.waiting[seq]; w != nil && !w.nacked && !l.inFlight[seq] {
			return seq, 0
		}
	}
	return 0, due
}

// probe returns the message that pick means, or zero if nothing waits.
func (l *line) probe(e *endpointState, pick queue.Pick) uint64 {
	var chosen, excepted uint64
	for seq, w := range e.waiting {
		if l.inFlight[seq] {
			continue
		}
		best := &chosen
		if slices.Contains(pick.Except, w.message.ID) {
			best = &excepted
		}
		if *best == 0 || (seq > *best) == pick.Newest {
			*best = seq
		}
	}
	if chosen == 0 {
		return excepted
	}
	return chosen
}

func (l *line) wake() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// A dueHeap has the message that is due first on top, of several the oldest.
type dueHeap []dueEntry

type dueEntry struct {
	due time.Time
	seq uint64
}

func (h dueHeap) Len() int { return len(h) }

func (h dueHeap) Less(i, j int) bool {
	if c := h[i].due.Compare(h[j].due); c != 0 {
		return c < 0
	}
	return h[i].seq < h[j].seq
}

func (h dueHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

func (h *dueHeap) Push(x any) { *h = append(*h, x.(dueEntry)) }

func (h *dueHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
