// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"context"
	"errors"
	"sync"

	"github.com/caddy-webhook-inbox/inbox/queue"
	"github.com/caddy-webhook-inbox/inbox/queue/badgerqueue/journal"
)

// A body that is too long for the record of its message is cut into chunks,
// which are committed a few at a time before the message is: others need not
// wait for all of it. The message makes them its own in the batch that makes it
// durable. Chunks that a crash left without a message are wanted by nobody.

const (
	// maxChunk is the longest chunk, and record.
	maxChunk = 768 << 10

	// chunksAtOnce is how many chunks a batch gets of a body.
	chunksAtOnce = 3
)

// publishBody writes the chunks of op's body, unless the message turns out to
// be a duplicate before. Until op is done, their segments are not dropped.
func (q *Queue) publishBody(ctx context.Context, op *publication) (queue.Receipt, error) {
	rest := op.message.Request.Body
	size := messageSize(len(rest), 0)
	for len(rest) > 0 {
		part := &chunks{publication: op, size: size, finished: make(chan struct{})}
		for len(rest) > 0 && len(part.data) < q.chunksAtOnce() {
			n := min(len(rest), maxChunk)
			part.data = append(part.data, rest[:n])
			rest = rest[n:]
		}
		if err := q.committer.submit(part); err != nil {
			q.unpin(op.body)
			return queue.Receipt{}, err
		}
		select {
		case <-part.finished:
		case <-ctx.Done():
			if q.committer.withdraw(part) {
				q.unpin(op.body)
			} else {
				part.leave()
			}
			return queue.Receipt{}, ctx.Err()
		}
		if part.err != nil || part.known.Outcome == queue.Duplicate {
			q.unpin(op.body)
			return part.known, part.err
		}
	}
	return queue.Receipt{}, nil
}

func (q *Queue) chunksAtOnce() int { return max(1, min(chunksAtOnce, q.limits.bytes/maxChunk)) }

// unpin gives up chunks that no message made its own.
func (q *Queue) unpin(body []journal.Place) { q.wanted.pin(body, -1) }

// chunks is the operation that writes some chunks of a body. It also looks
// whether the message is a duplicate or has no room, to save the rest.
type chunks struct {
	publication *publication
	size        int64 // of the message, about
	known       queue.Receipt

	mu   sync.Mutex // of who applies it or leaves
	data [][]byte
	left bool // by the publisher, who wants it no more
	over bool

	finished chan struct{}
	err      error
}

// leave gives the chunks up, and those before them, without waiting for a disk that
// may hang: at once or, if they are being written, when that is over. The memory of
// the body is let go of.
func (op *chunks) leave() {
	op.mu.Lock()
	defer op.mu.Unlock()
	op.left, op.data, op.publication.message = true, nil, nil
	if op.over {
		op.publication.q.unpin(op.publication.body)
	}
}

func (op *chunks) cost() (entries, bytes int) {
	op.mu.Lock()
	defer op.mu.Unlock()
	for _, d := range op.data {
		bytes += len(d) + 64
	}
	return len(op.data), bytes
}

func (op *chunks) apply(b *batch) error {
	p := op.publication
	found, err := b.lookUp(p.endpoint, p.keys)
	if err != nil {
		return err
	}
	if found.known {
		op.known = queue.Receipt{Outcome: queue.Duplicate, ID: found.id}
		return nil
	}
	if err := b.roomFor(p.endpoint, op.size, found.freed(), p.share); err != nil {
		return err
	}
	op.mu.Lock() // not before: who leaves must not wait for the disk
	defer op.mu.Unlock()
	if op.left {
		return errLeft
	}
	for _, d := range op.data {
		p.body = append(p.body, b.chunk(d))
	}
	return nil
}

// chunk writes a blob that is pinned from now on.
func (b *batch) chunk(data []byte) journal.Place {
	place := b.frame.Blob(data)
	b.q.wanted.pin([]journal.Place{place}, +1)
	b.bytes += int64(len(data))
	b.always = true
	return place
}

var errLeft = errors.New("nobody waits for it any more")

func (op *chunks) done(err error) {
	op.mu.Lock()
	defer op.mu.Unlock()
	if op.over = true; op.left {
		op.publication.q.unpin(op.publication.body)
	}
	op.err = err
	close(op.finished)
}

func (op *publication) bodySize() int {
	if len(op.body) == 0 {
		return 0
	}
	return len(op.message.Request.Body)
}
