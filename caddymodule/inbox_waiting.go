// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// sayWhatWaits tells what is in a queue that was opened.
func (in *inbox) sayWhatWaits(q queue.Queue) {
	endpoints, err := q.Endpoints(in.stopped)
	if err != nil {
		in.log.Error("reading what is waiting", zap.Error(err))
		return
	}
	in.log.Info("the queue is open", zap.String("queue", in.key), zap.Int("endpoints", len(endpoints)))
	for name, s := range endpoints {
		if s.Waiting > 0 || s.Dead > 0 {
			in.log.Info("messages are waiting",
				zap.String("endpoint", name),
				zap.Int64("waiting", s.Waiting),
				zap.Int64("dead_letters", s.Dead),
				zap.Duration("oldest", age(s.Oldest)))
		}
	}
}

// warnOfOrphans names the endpoints that have messages and no configuration.
func (in *inbox) warnOfOrphans(a *App) {
	q := in.queue.Load()
	if q == nil {
		return
	}
	endpoints, err := (*q).Endpoints(in.stopped)
	if err != nil {
		in.log.Error("reading which endpoints have messages", zap.Error(err))
		return
	}
	for name, s := range endpoints {
		if a.endpoints[name] == nil && s.Waiting+s.Dead > 0 {
			in.log.Warn("messages are waiting for an endpoint that is not configured: configure it, or move them to another name",
				zap.String("endpoint", name),
				zap.Int64("waiting", s.Waiting),
				zap.Int64("dead_letters", s.Dead))
		}
	}
}

// warnOfLeaving says what waits in a queue that no configuration names any more. It may
// be left because its disk hangs, which is not waited for.
func (in *inbox) warnOfLeaving(q queue.Queue) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	endpoints, err := q.Endpoints(ctx)
	if err != nil {
		in.log.Error("reading what is left in the queue", zap.Error(err))
		return
	}
	var waiting, dead int64
	for _, s := range endpoints {
		waiting, dead = waiting+s.Waiting, dead+s.Dead
	}
	if waiting+dead > 0 {
		in.log.Warn("messages stay in a queue that is not configured any more: they are delivered when it is again",
			zap.String("queue", in.key), zap.Int64("waiting", waiting), zap.Int64("dead_letters", dead))
	}
}

// age is how long ago t was: zero if t is, or lies ahead after a clock step.
func age(t time.Time) time.Duration {
	if t.IsZero() {
		return 0
	}
	return max(0, time.Since(t))
}
