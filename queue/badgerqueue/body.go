// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// A body that is too long for the record of its message is cut into chunks,
// which are committed a few at a time before the message is. The message makes
// them its own in the transaction that makes it durable. Chunks without an owner
// are what a crash left, and are erased at the next start.

// chunksAtOnce is how many chunks a transaction gets.
const chunksAtOnce = 3

// publishBody writes the chunks of op's body, unless the message turns out to
// be a duplicate before.
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
			return queue.Receipt{}, err
		}
		select {
		case <-part.finished:
		case <-ctx.Done():
			// The committer may be at it: let it finish, then clean up behind it.
			<-part.finished
			q.dropBody(op.body)
			return queue.Receipt{}, ctx.Err()
		}
		if part.err != nil {
			q.dropBody(op.body)
			return queue.Receipt{}, part.err
		}
		if part.known.Outcome == queue.Duplicate {
			q.dropBody(op.body)
			return part.known, nil
		}
	}
	return queue.Receipt{}, nil
}

func (q *Queue) chunksAtOnce() int { return max(1, min(chunksAtOnce, q.limits.bytes/maxChunk)) }

// dropBody erases a body that no message owns, sooner or later.
func (q *Queue) dropBody(body bodyRef) {
	if body.chunks > 0 {
		// If it fails, the next start does it.
		_ = q.committer.submitBehind(&erasure{body})
	}
}

// chunks is the operation that writes some chunks of a body. It also looks
// whether the message is a duplicate or has no room, to save the rest.
type chunks struct {
	publication *publication
	data        [][]byte
	size        int64 // of the message, about
	known       queue.Receipt

	finished chan struct{}
	err      error
}

func (op *chunks) cost() (entries, bytes int) {
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
	if err := b.roomFor(p.endpoint, op.size-found.freed(), p.share); err != nil {
		return err
	}
	if p.body.chunks == 0 {
		p.body.number = b.nextSeq()
	}
	for _, d := range op.data {
		b.set(chunkKey(p.body.number, uint32(p.body.chunks)), d)
		p.body.chunks++
	}
	return nil
}

func (op *chunks) done(err error) {
	op.err = err
	close(op.finished)
}

func (op *publication) bodySize() int {
	if op.body.chunks == 0 {
		return 0
	}
	return len(op.message.Request.Body)
}

// eraseBody deletes a body from p.
func (b *batch) eraseBody(body bodyRef) {
	if body.chunks == 0 {
		return
	}
	b.delete(bodyKey(body.number))
	for i := range body.chunks {
		b.delete(chunkKey(body.number, uint32(i)))
	}
}

// erasure is the operation that erases a body without an owner.
type erasure struct{ body bodyRef }

func (op *erasure) cost() (entries, bytes int) {
	return int(op.body.chunks) + 1, 64 * int(op.body.chunks+1)
}

func (op *erasure) apply(b *batch) error {
	b.eraseBody(op.body)
	return nil
}

func (op *erasure) done(error) {}

// readBody puts the chunks of a body together.
func readBody(tx *badger.Txn, body bodyRef, length uint64) ([]byte, error) {
	var whole []byte
	for i := range body.chunks {
		chunk, ok, err := get(tx, chunkKey(body.number, uint32(i)))
		if err != nil {
			return nil, err
		}
		if !ok || uint64(len(whole)+len(chunk)) > length {
			return nil, fmt.Errorf("chunk %d of %d: %w", i, body.chunks, errMalformed)
		}
		whole = append(whole, chunk...)
	}
	return whole, nil
}

// sweepOrphans erases the chunks that no message owns. It runs before the
// committer does.
func (q *Queue) sweepOrphans() error {
	orphans, err := q.orphans()
	if err != nil {
		return fmt.Errorf("looking for orphaned bodies: %w", err)
	}
	for _, body := range orphans {
		b := q.newBatch()
		b.eraseBody(body)
		err := b.finish()
		b.close()
		if err != nil {
			return fmt.Errorf("erasing an orphaned body: %w", err)
		}
	}
	return nil
}

func (q *Queue) orphans() (orphans []bodyRef, err error) {
	err = q.db.View(func(tx *badger.Txn) error {
		it := tx.NewIterator(badger.IteratorOptions{Prefix: newKey(tableBodies)})
		defer it.Close()
		var current bodyRef
		owned := true
		end := func() {
			if !owned && current.chunks > 0 {
				orphans = append(orphans, current)
			}
		}
		for it.Rewind(); it.Valid(); it.Next() {
			k := it.Item().Key()
			number := binary.BigEndian.Uint64(k[1:9])
			if number != current.number {
				end()
				// The owner's key is shorter, so it comes first.
				current, owned = bodyRef{number: number}, len(k) == 9
			}
			if len(k) > 9 {
				current.chunks = uint64(binary.BigEndian.Uint32(k[9:])) + 1
			}
		}
		end()
		return nil
	})
	return orphans, err
}
