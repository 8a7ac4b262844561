// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"testing"

	"github.com/caddy-webhook-inbox/inbox/queue"
	"github.com/caddy-webhook-inbox/inbox/queue/queuetest"
)

func TestContract(t *testing.T) {
	open := func(t *testing.T, dir string, maxSize int64) queue.Queue {
		q, err := Open(Options{Dir: dir, MaxSize: maxSize, tune: small, disk: endlessDisk{}})
		must(t, err)
		return q
	}
	queuetest.Run(t, queuetest.Engine{
		Open: func(t *testing.T, dir string) queue.Queue { return open(t, dir, 0) },
		OpenLimited: func(t *testing.T, dir string, maxSize int64) queue.Queue {
			return open(t, dir, maxSize)
		},
		Crash:  func(t *testing.T, q queue.Queue) { crash(t, q.(*Queue)) },
		Bubble: true,
	})
}
