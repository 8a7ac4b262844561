// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"context"
	"fmt"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// Forget implements [queue.Admin].
func (q *Queue) Forget(ctx context.Context, endpoint string, kind queue.KeyKind, hash [32]byte) error {
	if err := q.use(ctx); err != nil {
		return err
	}
	defer q.gate.leave()

	err := queue.ErrNotFound
	if e := q.scheduler.lookUp(endpoint); e != nil {
		err = q.change(ctx, &change{
			entries: 1,
			bytes:   64,
			write:   func(b *batch) error { return b.forget(e, queue.Key{Kind: kind, Hash: hash}) },
		})
	}
	if err != nil {
		return fmt.Errorf("forgetting a key of endpoint %q: %w", endpoint, err)
	}
	return nil
}

func (b *batch) forget(e *endpoint, k queue.Key) error {
	found, err := b.lookUp(e, []queue.Key{k})
	if err != nil {
		return err
	}
	if !found.known && len(found.dead) == 0 {
		return queue.ErrNotFound
	}
	b.delete(dedupeKey(e.number.Load(), k))
	return nil
}
