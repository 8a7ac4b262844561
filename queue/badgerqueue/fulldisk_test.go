// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

func TestAFullDiskHandsNothingOut(t *testing.T) {
	receivers := map[string]func(*Queue, context.Context) (queue.Delivery, error){
		"received": func(q *Queue, ctx context.Context) (queue.Delivery, error) {
			return q.Receive(ctx, "here", time.Hour)
		},
		"probed": func(q *Queue, ctx context.Context) (queue.Delivery, error) {
			return q.Probe(ctx, "here", queue.Pick{}, time.Hour)
		},
	}
	for name, next := range receivers {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, dir string) {
				d := &fakeDisk{space: 10 << 30}
				q := openTest(t, Options{Dir: dir, disk: d})
				const n = 1000
				give(t, q, "here", n)
				d.set(1 << 20)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var taken atomic.Int64
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					for {
						d, err := next(q, ctx)
						if err != nil {
							if !errors.Is(err, context.Canceled) {
								t.Error(err)
							}
							return
						}
						time.Sleep(time.Millisecond)
						taken.Add(1)
						if err := d.Lease.Ack(0); err != nil {
							t.Error(err)
						}
					}
				}()
				time.Sleep(10 * time.Minute)
				if got := taken.Load(); got > 30 { // those of 20 ms
					t.Errorf("%d were handed out", got)
				}
				d.set(10 << 30)
				time.Sleep(5 * time.Second)
				synctest.Wait()
				if got := taken.Load(); got != n {
					t.Errorf("%d were handed out once there was space, want %d", got, n)
				}
				cancel()
				<-ended
				if s := stats(t, q, "here"); s.Waiting != 0 {
					t.Errorf("%d messages wait", s.Waiting)
				}
			})
		})
	}
}
