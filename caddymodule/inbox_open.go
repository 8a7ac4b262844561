// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

const (
	// reopenAfter is how often an engine is tried that could not be opened yet.
	reopenAfter = 5 * time.Second

	// drainFor bounds how long closing waits for attempts to end: the two seconds
	// that a dispatcher gives them, and a moment to settle.
	drainFor = 2500 * time.Millisecond
)

func openInbox(a *App) (*inbox, error) {
	in := &inbox{
		key:         a.engine.Key(),
		metrics:     newMetrics(),
		dispatchers: make(map[string]*dispatching),
		ending:      make(map[string]<-chan struct{}),
		replaced:    make(chan struct{}, 1),
	}
	in.allow(a.MaxInFlight)
	in.logTo = newFollowingCore(a.log)
	in.log = zap.New(in.logTo)
	in.stopped, in.stop = context.WithCancel(context.Background())

	q, err := a.engine.Open(in, in.log)
	switch {
	case err == nil:
		in.opened(q)
	case errors.Is(err, ErrNotYet):
		in.log.Error("the queue cannot be opened yet: webhooks are answered 503 until it is", zap.Error(err))
		in.running.Go(in.reopen)
	default:
		in.stop()
		return nil, err // which says what was being opened
	}
	return in, nil
}

// reopen tries until the queue is open, or the inbox is closed.
func (in *inbox) reopen() {
	said := ""
	for {
		select {
		case <-in.stopped.Done():
			return
		case <-in.replaced:
		case <-time.After(reopenAfter):
		}
		opened, err := in.tryAgain()
		if opened {
			return
		}
		if err != nil && err.Error() != said {
			in.log.Error("opening the queue", zap.Error(err))
			said = err.Error()
		}
	}
}

// tryAgain tries to open the queue as the newest configuration says.
func (in *inbox) tryAgain() (opened bool, err error) {
	newest := in.newest()
	if newest == nil {
		return false, nil // about to be closed
	}
	// Opening takes its time, for which a reload must not wait.
	q, err := newest.engine.Open(in, in.log)
	if err != nil {
		return false, err
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closed {
		return false, q.Close() // nobody else knows of it, and its directory would stay in use
	}
	in.opened(q)
	in.apply()
	in.warnOfOrphans(newest)
	return true, nil
}

// opened makes an open queue available and says what is in it.
func (in *inbox) opened(q queue.Queue) {
	in.queue.Store(&q)
	in.sayWhatWaits(q)
}

// Destruct closes the inbox, when the last configuration has let go of it. It
// ends within three seconds; what is not delivered by then stays in the queue.
func (in *inbox) Destruct() error {
	in.stop()
	drained := make(chan struct{})
	go func() {
		in.running.Wait()
		close(drained)
	}()
	select {
	case <-drained:
	case <-time.After(drainFor):
		in.log.Warn("closing the queue while attempts are still under way: their messages will be delivered again")
	}
	in.mu.Lock()
	in.closed = true
	q := in.queue.Load()
	in.mu.Unlock()
	if q == nil {
		return nil
	}
	if !caddy.Exiting() {
		in.warnOfLeaving(*q)
	}
	if err := (*q).Close(); err != nil {
		return fmt.Errorf("closing the queue: %w", err)
	}
	return nil
}
