// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-webhook-inbox/inbox/queue"
	"github.com/caddy-webhook-inbox/inbox/queue/queuetest"
)

// A disk was full at the start. Just when there is space again, and the queue is
// being opened, which takes long with many messages, the configuration is replaced by
// one with another directory. The queue does not stay open: nobody could open the
// directory again before Caddy is restarted.
func TestFaultReloadWhileTheQueueIsOpened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &lateEngine{queue: queuetest.NewMemory(), space: make(chan struct{})}
		a := &App{engine: e, log: zap.NewNop()}
		in, err := openInbox(a)
		if err != nil {
			t.Fatal(err)
		}
		in.attach(a)
		time.Sleep(reopenAfter + time.Second)
		synctest.Wait()
		in.detach(a)
		if err := in.Destruct(); err != nil || e.opened != 2 {
			t.Fatalf("closing: %v after %d openings", err, e.opened)
		}
		close(e.space)
		in.running.Wait()
		if _, err := e.queue.Endpoints(t.Context()); !errors.Is(err, queue.ErrClosed) {
			t.Errorf("the queue that was opened last: %v", err)
		}
	})
}

// lateEngine cannot be opened at first, and then takes its time.
type lateEngine struct {
	queue  *queuetest.Memory
	opened int
	space  chan struct{}
}

func (e *lateEngine) Key() string           { return "late" }
func (e *lateEngine) Configure(queue.Queue) {}
func (e *lateEngine) Limit() int64          { return 1 }

func (e *lateEngine) Open(EngineObserver, *zap.Logger) (queue.Queue, error) {
	if e.opened++; e.opened == 1 {
		return nil, ErrNotYet
	}
	<-e.space
	return e.queue, nil
}
