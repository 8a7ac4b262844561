// SPDX-License-Identifier: Apache-2.0

package queuetest

import "time"

// writeBehind is how long a settlement may stay forgettable.
const writeBehind = 20 * time.Millisecond

// Crash ends the queue as a crash of the process would: what is not durable is
// lost. For those who still use it, it is closed.
func (q *Memory) Crash() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.isClosed() {
		return
	}
	q.stopFlush()
	close(q.closed)
}

// Forgettable returns how many changes a crash would lose now, or the crash that
// was has lost.
func (q *Memory) Forgettable() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.behind)
}

// Reopen returns a new queue with what q left, which must be closed or crashed.
// The faults, the limit and the clock are those of q.
func (q *Memory) Reopen() *Memory { return q.ReopenWith(0) }

// ReopenWith is Reopen after a crash that came a little later: the first n of the
// changes that were forgettable had become durable. It can be called again, with
// another n, for another way that the crash could have been.
func (q *Memory) ReopenWith(n int) *Memory {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.isClosed() {
		panic("queuetest: Reopen of a queue that is open")
	}
	disk := q.disk.clone()
	for _, change := range q.behind[:n] {
		change(disk)
	}
	r := openMemory(disk)
	r.Fault, r.MaxSize, r.Now, r.Forgets = q.Fault, q.MaxSize, q.Now, q.Forgets
	return r
}

// commit makes a change durable, and all before it.
func (q *Memory) commit(change func(*state)) {
	q.writeOut()
	change(q.live)
	change(q.disk)
}

// settle makes a change that is durable a little later.
func (q *Memory) settle(change func(*state)) {
	change(q.live)
	q.behind = append(q.behind, change)
	if q.flush == nil && !q.Forgets {
		q.flush = time.AfterFunc(writeBehind, func() {
			q.mu.Lock()
			defer q.mu.Unlock()
			if !q.isClosed() {
				q.writeOut()
			}
		})
	}
}

func (q *Memory) writeOut() {
	for _, change := range q.behind {
		change(q.disk)
	}
	q.behind = nil
	q.stopFlush()
}

func (q *Memory) stopFlush() {
	if q.flush != nil {
		q.flush.Stop()
		q.flush = nil
	}
}
