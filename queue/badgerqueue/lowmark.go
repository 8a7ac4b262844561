// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"container/heap"
	"math"
)

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
