// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	logobserver "go.uber.org/zap/zaptest/observer"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// hangingQueue is one whose disk hangs.
type hangingQueue struct{ queue.Queue }

func (hangingQueue) Endpoints(ctx context.Context) (map[string]queue.Stats, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// A queue is moved away from a disk that hangs. What is left on it is not waited for:
// Caddy holds the new configuration meanwhile.
func TestLeavingAQueueWhoseDiskHangsEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		core, logged := logobserver.New(zap.InfoLevel)
		in := &inbox{log: zap.New(core)}
		begun := time.Now()
		in.warnOfLeaving(hangingQueue{})
		if took := time.Since(begun); took > drainFor {
			t.Errorf("it took %v", took)
		}
		if logged.FilterLevelExact(zap.ErrorLevel).Len() != 1 {
			t.Errorf("said was %v", logged.All())
		}
	})
}
