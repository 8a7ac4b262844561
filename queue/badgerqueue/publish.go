// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
	"github.com/caddy-webhook-inbox/inbox/queue/badgerqueue/journal"
)

// Publish implements [queue.Publisher].
func (q *Queue) Publish(ctx context.Context, p queue.Publication) (queue.Receipt, error) {
	if err := q.gate.enter(); err != nil {
		return queue.Receipt{}, err
	}
	defer q.gate.leave()

	if err := ctx.Err(); err != nil {
		return queue.Receipt{}, fmt.Errorf("publishing: %w", err)
	}
	receipt, err := q.publish(ctx, p)
	if err != nil {
		return queue.Receipt{}, fmt.Errorf("publishing: %w", err)
	}
	return receipt, nil
}

func (q *Queue) publish(ctx context.Context, p queue.Publication) (queue.Receipt, error) {
	if p.Message == nil || p.Message.Endpoint == "" {
		return queue.Receipt{}, errors.New("a message without an endpoint")
	}
	op := &publication{
		q:        q,
		endpoint: q.scheduler.endpoint(p.Message.Endpoint),
		message:  p.Message,
		keys:     p.Keys,
		share:    p.MaxSize,
		finished: make(chan struct{}),
	}
	r := messageRecord{
		message: p.Message,
		keys:    p.Keys,
		length:  uint64(len(p.Message.Request.Body)),
	}
	if len(p.Message.Request.Body)+headerSize(p.Message.Request.Header) > maxChunk/8*7 {
		known, err := q.publishBody(ctx, op)
		if err != nil || known.Outcome == queue.Duplicate {
			return known, err
		}
		r.apart = true
	}
	op.record = r.encode()
	if len(op.record) > maxChunk {
		q.unpin(op.body)
		return queue.Receipt{}, fmt.Errorf("a message with %d bytes beside its body", len(op.record))
	}
	op.size = messageSize(len(op.record), op.bodySize())
	if err := q.committer.submit(op); err != nil {
		q.unpin(op.body)
		return queue.Receipt{}, err
	}
	select {
	case <-op.finished:
		return op.receipt, op.err
	case <-ctx.Done():
		if q.committer.withdraw(op) {
			q.unpin(op.body)
		}
		return queue.Receipt{}, ctx.Err()
	}
}

// messageSize is what a message is accounted with: what it takes on disk, with
// its places in the other tables.
func messageSize(record, body int) int64 { return int64(record) + int64(body) + 256 }

// A publication is the operation that stores a message, or finds that it is a
// duplicate.
type publication struct {
	q        *Queue
	endpoint *endpoint
	message  *queue.Message
	keys     []queue.Key
	share    int64
	record   []byte
	body     []journal.Place // written before
	size     int64

	stored  *handle // nil for a duplicate
	receipt queue.Receipt

	finished chan struct{}
	err      error
}

func (op *publication) cost() (entries, bytes int) {
	return 8 + len(op.body) + len(op.keys), len(op.record) + 512 + 128*len(op.keys) + 16*len(op.body)
}

func (op *publication) apply(b *batch) error {
	found, err := b.lookUp(op.endpoint, op.keys)
	if err != nil {
		return err
	}
	if found.known {
		op.receipt = queue.Receipt{Outcome: queue.Duplicate, ID: found.id}
		return nil
	}
	if err := b.makeRoom(op, found.freed()); err != nil {
		return err
	}
	op.receipt = queue.Receipt{Outcome: queue.Accepted, ID: op.message.ID}
	for i := range found.dead {
		op.receipt.Outcome = queue.Revived
		b.discard(op.endpoint, &found.dead[i])
	}
	op.store(b)
	return nil
}

func (op *publication) store(b *batch) {
	seq := b.nextSeq()
	tally := b.tally(op.endpoint)
	n := op.endpoint.number.Load()
	w := waitingRecord{located: located{
		record:     b.blob(op.record),
		body:       op.body,
		id:         op.message.ID,
		receivedAt: op.message.ReceivedAt,
		size:       op.size,
		keysUntil:  b.recordKeys(n, op.keys, seq, op.message.ID),
	}}
	for _, p := range op.body {
		b.want(p, +1)
	}
	b.setFirst(freshKey(n, seq), w.appendTo(b.newRecord(w.encodedSize())))
	tally.waiting++
	b.account(op.endpoint, op.size)
	b.messages++
	op.stored = &handle{endpoint: op.endpoint, seq: seq, fresh: true, waitingRecord: w, message: op.message}
}

func (op *publication) done(err error) {
	op.q.wanted.pin(op.body, -1)
	if err == nil && op.stored != nil {
		op.q.scheduler.arrived(op.stored)
	}
	op.err = err
	close(op.finished)
}

// keyGrace is how much longer than its window Badger holds on to a key. The
// clock may be set forward by less without harm.
const keyGrace = 24 * time.Hour
