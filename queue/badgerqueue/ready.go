// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"context"
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// rewritten is how many places in line one operation changes.
const rewritten = 500

// MakeReady implements [queue.Receiver].
func (q *Queue) MakeReady(ctx context.Context, endpoint string, refunds []queue.Refund) error {
	if err := q.use(ctx); err != nil {
		return err
	}
	defer q.gate.leave()

	e := q.scheduler.lookUp(endpoint)
	if e == nil {
		return nil
	}
	// What is rewritten must not be handed out with what it was before.
	q.scheduler.pause(e)
	defer q.scheduler.resume(e)
	if err := q.makeReady(ctx, e, sumRefunds(refunds)); err != nil {
		return fmt.Errorf("making messages of endpoint %q ready: %w", endpoint, err)
	}
	return nil
}

func (q *Queue) makeReady(ctx context.Context, e *endpoint, refunds map[queue.ID]queue.Refund) error {
	n := e.number.Load()
	for from := prefix(tableRetrying, n); from != nil; {
		var seqs []uint64
		var err error
		if seqs, from, err = q.scanSeqs(ctx, from, rewritten); err != nil {
			return err
		}
		seqs = q.scheduler.notHeld(e, seqs)
		err = q.changePlaces(ctx, &change{
			entries: 3 * len(seqs),
			bytes:   512 * len(seqs),
			write: func(b *batch) error {
				waiting, err := b.readWaiting(tableRetrying, e, seqs)
				if err != nil {
					return err
				}
				for _, w := range waiting {
					b.makeReady(e, w, refunds[w.record.id])
				}
				return nil
			},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (b *batch) makeReady(e *endpoint, w waitingPlace, refund queue.Refund) {
	if w.record.due == 0 && refund == (queue.Refund{}) {
		return
	}
	b.leaveLine(e, w.seq, false, &w.record)
	w.record.due, w.record.delay = 0, 0
	w.record.history.Failures -= refund.Failures
	w.record.history.Delayed -= refund.Delayed
	b.enterRetrying(e, w.seq, &w.record)
}

func sumRefunds(refunds []queue.Refund) map[queue.ID]queue.Refund {
	sums := make(map[queue.ID]queue.Refund, len(refunds))
	for _, r := range refunds {
		sum := sums[r.ID]
		sum.Failures += r.Failures
		sum.Delayed += r.Delayed
		sums[r.ID] = sum
	}
	return sums
}

// waitingPlace is a message in r or b.
type waitingPlace struct {
	seq    uint64
	record waitingRecord
}

// readWaiting reads those of the messages that are in a table.
func (b *batch) readWaiting(table byte, e *endpoint, seqs []uint64) (waiting []waitingPlace, err error) {
	n := e.number.Load()
	for _, seq := range seqs {
		value, ok, err := b.get(prefix(table, n).seq(seq))
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		w, err := decodeWaiting(value)
		if err != nil {
			return nil, fmt.Errorf("reading from table %c: %w", table, err)
		}
		waiting = append(waiting, waitingPlace{seq, w})
	}
	return waiting, nil
}

// scanSeqs returns the next seqs in r or b from a key on, and the key after
// them if there are more.
func (q *Queue) scanSeqs(ctx context.Context, from key, n int) (seqs []uint64, more key, err error) {
	err = q.view(ctx, func(tx *badger.Txn) error {
		it := tx.NewIterator(badger.IteratorOptions{Prefix: from[:5]})
		defer it.Close()
		for it.Seek(from); it.Valid(); it.Next() {
			if len(seqs) == n {
				more = it.Item().KeyCopy(nil)
				return nil
			}
			seqs = append(seqs, lastSeq(it.Item().Key()))
		}
		return nil
	})
	return seqs, more, err
}

// notHeld returns those of the seqs that are not in flight.
func (s *scheduler) notHeld(e *endpoint, seqs []uint64) []uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var free []uint64
	for _, seq := range seqs {
		if e.line.held[seq] == nil {
			free = append(free, seq)
		}
	}
	return free
}

// pause keeps the messages of e from being handed out, until as many resumes.
func (s *scheduler) pause(e *endpoint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.line.paused++
	e.line.stale = e.line.loading // it would hold what it finds broken
}

func (s *scheduler) resume(e *endpoint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.line.paused--
	e.line.reload()
	e.line.changed()
}
