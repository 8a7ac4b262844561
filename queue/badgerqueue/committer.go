// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"errors"
	"runtime"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-webhook-inbox/inbox/queue/badgerqueue/journal"
)

// A committer is the only writer. What waits when it looks becomes one
// batch with one sync; while that runs, the next batch gathers. So a lone
// publish is committed at once, and a hundred cost little more than one.
//
// Settlements are written behind: they ride along, or are committed on their
// own after 20 ms or when 256 wait.
type committer struct {
	q *Queue

	mu       sync.Mutex
	waiting  []operation
	behind   int  // of those waiting, the ones that nobody waits for
	pressing bool // somebody waits, or it is time
	busy     bool // with what it cut
	troubled bool // it could not write the last time, and said so
	closing  bool
	err      error // why nothing is written any more

	records []byte // memory for records, of whoever makes a batch

	wake  chan struct{} // holds one token
	timer *time.Timer   // for what is behind
	ended chan struct{}
}

const (
	writeBehind = 20 * time.Millisecond
	maxBehind   = 256
)

func newCommitter(q *Queue) *committer {
	c := &committer{q: q, wake: make(chan struct{}, 1), ended: make(chan struct{})}
	c.timer = time.AfterFunc(time.Hour, c.press)
	c.timer.Stop()
	return c
}

// submit appends an operation that somebody waits for. With an error, op will
// not be called.
func (c *committer) submit(op operation) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	c.waiting = append(c.waiting, op)
	c.pressNow()
	return nil
}

// withdraw takes an operation back that nobody waits for any more, unless it has begun:
// while the disk hangs, only those are in memory that somebody waits for.
func (c *committer) withdraw(op operation) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.Index(c.waiting, op)
	if i < 0 {
		return false
	}
	c.waiting = slices.Delete(c.waiting, i, i+1)
	return true
}

// submitBehind appends an operation that nobody waits for.
func (c *committer) submitBehind(op operation) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	c.waiting = append(c.waiting, op)
	c.behind++
	switch c.behind {
	case 1:
		c.timer.Reset(writeBehind)
	case maxBehind:
		c.pressNow()
	}
	return nil
}

// idle reports whether everything is committed.
func (c *committer) idle() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.busy && len(c.waiting) == 0
}

func (c *committer) press() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pressNow()
}

func (c *committer) pressNow() {
	c.pressing = true
	select {
	case c.wake <- struct{}{}:
	default: // it has not looked since the last time
	}
}

// close commits what waits, refuses what comes later with err, and returns when
// that is done.
func (c *committer) close(err error) {
	c.mu.Lock()
	if c.err == nil {
		c.err = err
	}
	c.closing = true
	c.pressNow()
	c.mu.Unlock()
	<-c.ended
}

// run commits until close.
func (c *committer) run() {
	defer close(c.ended)
	defer c.timer.Stop()
	for range c.wake {
		for {
			// Let those go first who are about to submit: batches get larger,
			// and where nobody is it costs nothing.
			runtime.Gosched()
			ops := c.cut()
			if len(ops) == 0 {
				break
			}
			if !c.q.space.mayWrite() || c.q.index.isFull() {
				c.postpone(ops, errDiskLow)
				continue
			}
			c.commit(ops)
		}
		c.mu.Lock()
		over := c.closing && len(c.waiting) == 0
		c.mu.Unlock()
		if over {
			return
		}
	}
}

// cut takes the operations of the next batch: all that wait, if anything
// presses, as far as they fit into a frame.
func (c *committer) cut() []operation {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy = c.pressing && len(c.waiting) > 0
	if !c.pressing {
		return nil
	}
	n, entries, bytes := 0, 0, 0
	for _, op := range c.waiting {
		e, b := op.cost()
		entries, bytes = entries+e, bytes+b
		if n > 0 && (entries > c.q.limits.entries || bytes > c.q.limits.bytes) {
			break
		}
		n++
	}
	ops := c.waiting[:n:n]
	c.waiting = c.waiting[n:]
	if len(c.waiting) == 0 {
		c.waiting = nil
		c.behind = 0
		c.pressing = false
		c.timer.Stop()
	}
	return ops
}

// putBack puts operations that were cut before all that wait.
func (c *committer) putBack(ops []operation) {
	if len(ops) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = append(ops[:len(ops):len(ops)], c.waiting...)
	for _, op := range ops {
		if behind(op) {
			c.behind++
		}
	}
	c.pressNow()
}

// behind reports whether nobody waits for the operation.
func behind(op operation) bool {
	switch op.(type) {
	case *settlement:
		return true
	default:
		return false
	}
}

// commit applies the operations and makes them durable, or poisons the queue.
// Those that the frame has no more room for are put back.
func (c *committer) commit(ops []operation) {
	if err := c.q.Err(); err != nil {
		for _, op := range ops {
			op.done(err)
		}
		return
	}

	b, err := c.q.newBatch(len(ops), sizeOf(ops))
	if err != nil {
		// Nothing was written. It may be for want of space, or of open files.
		if !c.troubled {
			c.q.log.Error("the journal cannot be written for now", zap.Error(err))
		}
		c.troubled = true
		if errors.Is(err, journal.ErrNoSpace) {
			err = errDiskLow
		}
		c.postpone(ops, err)
		return
	}
	c.troubled = false
	defer b.close()
	refused := make([]error, 0, len(ops))
	for _, op := range ops {
		// What an operation erases to make room is not in its cost.
		if len(refused) > 0 && (b.entries > c.q.limits.entries || b.bytes > int64(c.q.limits.bytes)) {
			break
		}
		refused = append(refused, op.apply(b))
	}
	c.putBack(ops[len(refused):])
	ops = ops[:len(refused)]
	touched := b.touched
	begun := time.Now()
	if err := b.finish(); err != nil {
		c.failed(ops, err)
		return
	}
	took := time.Since(begun)
	b.show()
	c.q.scheduler.committed(touched)
	for i, op := range ops {
		op.done(refused[i])
	}
	c.q.reclaimer.written.Add(b.bytes)
	c.q.commits.note(c.q.state.commits)
	if c.q.opts.OnCommit != nil && !b.empty() {
		c.q.opts.OnCommit(CommitStats{
			Messages:   b.messages,
			Operations: len(ops),
			Bytes:      b.bytes,
			Duration:   took,
		})
	}
}

// failed makes the queue unavailable.
func (c *committer) failed(ops []operation, cause error) {
	err := c.q.poison(cause)
	for _, op := range ops {
		op.done(err)
	}
}

func sizeOf(ops []operation) (bytes int) {
	for _, op := range ops {
		_, n := op.cost()
		bytes += n
	}
	return bytes
}

// fail refuses all that waits and all that comes, with err.
func (c *committer) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
	c.pressNow()
}

// postpone is called when nothing can be written for now. It refuses what somebody
// waits for, and puts the rest back for
// another try in a moment. Closing, it gives that up: the messages are waiting,
// and bodies without an owner are erased, when the queue is next opened.
func (c *committer) postpone(ops []operation, cause error) {
	var later, refused []operation
	for _, op := range ops {
		if behind(op) {
			later = append(later, op)
		} else {
			refused = append(refused, op)
		}
	}
	c.mu.Lock()
	if c.closing {
		refused = append(refused, later...)
	} else {
		c.postponed(later)
	}
	c.mu.Unlock()
	for _, op := range refused {
		op.done(cause)
	}
}

// postponed puts operations back that nobody waits for. If somebody waits for
// one that came meanwhile, all are tried again at once, else in a second.
func (c *committer) postponed(ops []operation) {
	c.waiting = append(ops, c.waiting...)
	c.behind, c.pressing = 0, false
	for _, op := range c.waiting {
		if behind(op) {
			c.behind++
		} else {
			c.pressing = true
		}
	}
	if c.behind > 0 {
		c.timer.Reset(time.Second)
	}
}
