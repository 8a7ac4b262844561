// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"context"
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// Outage implements [queue.Receiver].
func (q *Queue) Outage(ctx context.Context, endpoint string) (*queue.Outage, error) {
	if err := q.use(ctx); err != nil {
		return nil, err
	}
	defer q.gate.leave()

	e := q.scheduler.lookUp(endpoint)
	if e == nil {
		return nil, nil
	}
	var o *queue.Outage
	err := q.view(ctx, func(tx *badger.Txn) error {
		value, ok, err := get(tx, outageKey(e.number.Load()))
		if err != nil || !ok {
			return err
		}
		o, err = decodeOutage(value)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the outage of endpoint %q: %w", endpoint, err)
	}
	return o, nil
}

// SetOutage implements [queue.Receiver].
func (q *Queue) SetOutage(ctx context.Context, endpoint string, o *queue.Outage) error {
	if err := q.gate.enter(); err != nil {
		return err
	}
	defer q.gate.leave()

	e := q.scheduler.endpoint(endpoint)
	var record []byte
	if o != nil {
		short := *o
		short.LastError = shortText(o.LastError)
		record = encodeOutage(&short)
	}
	err := q.change(ctx, &change{
		entries: 2,
		bytes:   len(record) + 64,
		write: func(b *batch) error {
			if o == nil && e.number.Load() == 0 {
				return nil
			}
			b.tally(e)
			if o == nil {
				b.delete(outageKey(e.number.Load()))
			} else {
				b.set(outageKey(e.number.Load()), record)
			}
			return nil
		},
	})
	if err != nil {
		return fmt.Errorf("noting the outage of endpoint %q: %w", endpoint, err)
	}
	return nil
}
