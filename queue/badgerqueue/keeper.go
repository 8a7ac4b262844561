// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"context"
	"time"

	"go.uber.org/zap"
)

// A keeper is the goroutine that does what has to be done now and then: it watches the disk, erases
// what is kept no longer, keeps the keys of waiting messages, and gives room
// back to the disk.
type keeper struct {
	q      *Queue
	cancel context.CancelFunc
	ended  chan struct{}
}

// intervals say how often.
type intervals struct {
	disk    time.Duration
	sweep   time.Duration
	refresh time.Duration
	reclaim time.Duration
}

func (i intervals) withDefaults() intervals {
	if i == (intervals{}) {
		return intervals{disk: time.Second, sweep: 30 * time.Second, refresh: 6 * time.Hour, reclaim: 20 * time.Second}
	}
	return i
}

func startKeeper(q *Queue) *keeper {
	ctx, cancel := context.WithCancel(context.Background())
	k := &keeper{q: q, cancel: cancel, ended: make(chan struct{})}
	// Before anything is published: keys that Badger dropped while nothing ran.
	k.do(ctx, "keeping keys", q.refresh)
	go k.run(ctx)
	return k
}

func (k *keeper) run(ctx context.Context) {
	defer close(k.ended)
	every := k.q.opts.every
	disk := time.NewTicker(every.disk)
	defer disk.Stop()
	sweep := time.NewTicker(every.sweep)
	defer sweep.Stop()
	refresh := time.NewTicker(every.refresh)
	defer refresh.Stop()
	reclaim := time.NewTicker(every.reclaim)
	defer reclaim.Stop()

	sweeper := newSweeper(k.q)
	for {
		select {
		case <-ctx.Done():
			return
		case <-disk.C:
			k.q.space.mayWrite()
			k.q.standIn()
		case <-sweep.C:
			k.do(ctx, "sweeping", sweeper.sweep)
			k.q.scheduler.lookForMissing()
		case <-refresh.C:
			k.do(ctx, "keeping keys", k.q.refresh)
		case <-reclaim.C:
			k.do(ctx, "reclaiming", k.q.reclaim)
		}
	}
}

// do does what can as well be done the next time.
func (k *keeper) do(ctx context.Context, what string, work func(context.Context) error) {
	if k.q.Err() != nil {
		return
	}
	if err := work(ctx); err != nil && ctx.Err() == nil {
		k.q.log.Warn(what, zap.Error(err))
	}
}
