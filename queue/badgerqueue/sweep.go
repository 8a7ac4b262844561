// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"context"
	"fmt"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// A sweeper erases what is kept no longer. It belongs to the keeper.
type sweeper struct {
	q    *Queue
	full time.Time // when all was swept
}

const (
	// sweepAll is how often dead letters are looked at, which are not in the order
	// of their end.
	sweepAll = 10 * time.Minute

	// sweptChunks is how many chunks of bodies one batch erases, about.
	sweptChunks = 1000
)

func newSweeper(q *Queue) *sweeper { return &sweeper{q: q} }

func (s *sweeper) sweep(ctx context.Context) error {
	all := time.Since(s.full) >= sweepAll
	if all {
		s.full = time.Now()
	}
	for _, e := range s.q.scheduler.all() {
		if err := s.sweepKept(ctx, e); err != nil {
			return fmt.Errorf("erasing kept messages of endpoint %q: %w", e.name, err)
		}
		if !all {
			continue
		}
		if err := s.sweepDead(ctx, e); err != nil {
			return fmt.Errorf("erasing dead letters of endpoint %q: %w", e.name, err)
		}
	}
	return nil
}

func (s *sweeper) sweepKept(ctx context.Context, e *endpoint) error {
	n := e.number.Load()
	if n == 0 || s.q.scheduler.statsOf(e).kept == 0 {
		return nil
	}
	now := s.q.opts.Now()
	end := millis(now) + 1
	for {
		expired, err := s.expiredKept(ctx, keptKey(n, s.q.scheduler.statsOf(e).keptFrom), end, now)
		if err != nil {
			return err
		}
		if len(expired) == 0 {
			return nil
		}
		if err := s.q.change(ctx, eraseKept(e, expired)); err != nil {
			return err
		}
	}
}

func (s *sweeper) expiredKept(ctx context.Context, from key, end uint64, now time.Time) (expired []place, err error) {
	err = s.q.view(ctx, func(tx *badger.Txn) error {
		found, _, err := scanSettled(tx, from, 8*page)
		chunks := 0
		for _, f := range found {
			if placeOf(f.key).due >= end || chunks > sweptChunks {
				break
			}
			if f.record.expired(now) {
				expired = append(expired, f)
				chunks += len(f.record.body)
			}
		}
		return err
	})
	return expired, err
}

func eraseKept(e *endpoint, places []place) *change {
	op := &change{}
	for _, p := range places {
		op.entries += 6 + len(p.record.body)
		op.bytes += 256
	}
	op.write = func(b *batch) error {
		if _, err := b.openEvictor().head(e); err != nil { // it raises the mark
			return err
		}
		for i := range places {
			if err := b.eraseKept(e, placeOf(places[i].key), &places[i].record); err != nil {
				return err
			}
		}
		return nil
	}
	return op
}

func (s *sweeper) sweepDead(ctx context.Context, e *endpoint) error {
	n := e.number.Load()
	if n == 0 || s.q.scheduler.statsOf(e).dead == 0 {
		return nil
	}
	for from := prefix(tableDead, n); from != nil; {
		var ids []queue.ID
		var err error
		if ids, from, err = s.expiredDead(ctx, from); err != nil {
			return err
		}
		if len(ids) == 0 {
			continue
		}
		var count int
		if err := s.q.change(ctx, s.q.eraseDead(e, ids, true, &count)); err != nil {
			return err
		}
	}
	return nil
}

func (s *sweeper) expiredDead(ctx context.Context, from key) (ids []queue.ID, more key, err error) {
	now := s.q.opts.Now()
	err = s.q.view(ctx, func(tx *badger.Txn) error {
		found, rest, err := scanSettled(tx, from, page)
		more = rest
		for _, f := range found {
			if f.record.expired(now) {
				ids = append(ids, f.record.id)
			}
		}
		return err
	})
	return ids, more, err
}

func (s *scheduler) statsOf(e *endpoint) counters {
	s.mu.Lock()
	defer s.mu.Unlock()
	return e.stats
}
