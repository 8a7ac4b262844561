// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"context"
	"slices"
	"time"
)

// A waiter is a Receive or a Probe that waits. It is handed a message, or nil,
// which means that it should look again. A probe is handed nothing else.
type waiter struct {
	handed chan *handle // holds one
	probe  bool
}

// await waits until w is handed something or ctx is done. What was handed over
// at the same moment is returned, not lost; who was asked to look at that moment
// must pass it on.
func (s *scheduler) await(ctx context.Context, l *line, w *waiter) *handle {
	select {
	case h := <-w.handed:
		return h
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(l.waiters, w); i >= 0 {
		l.waiters = slices.Delete(l.waiters, i, i+1)
		return nil
	}
	return <-w.handed
}

// changed hands out what there is to those who wait. If something must be loaded
// first, one of them is woken to do that. Probes choose for themselves.
func (l *line) changed() {
	l.wakeProbes()
	now := time.Now()
	for len(l.waiters) > 0 {
		h := l.take(now)
		if h == nil {
			if l.wantsLoad(now) {
				l.wake(nil)
			} else {
				l.setTimer(now)
			}
			return
		}
		l.wake(h)
	}
}

// receivers returns how many of those who wait are no probes.
func (l *line) receivers() (n int) {
	for _, w := range l.waiters {
		if !w.probe {
			n++
		}
	}
	return n
}

// forget lets w wait no longer.
func (l *line) forget(w *waiter) {
	l.waiters = slices.DeleteFunc(l.waiters, func(o *waiter) bool { return o == w })
}

// wake hands h to the one who waits longest.
func (l *line) wake(h *handle) {
	l.waiters[0].handed <- h
	l.waiters[0] = nil
	l.waiters = l.waiters[1:]
}

func (l *line) wakeProbes() {
	l.waiters = slices.DeleteFunc(l.waiters, func(w *waiter) bool {
		if w.probe {
			w.handed <- nil
		}
		return w.probe
	})
}

func (l *line) wakeAll() {
	for len(l.waiters) > 0 {
		l.wake(nil)
	}
}

func (l *line) setTimer(now time.Time) {
	var at time.Time
	if len(l.retries) > 0 {
		at = l.retries[0].at
	}
	if l.more && (len(l.retries) == 0 || l.horizon.at.Before(at)) {
		at = l.horizon.at
	}
	if l.paused > 0 || l.loading || !at.After(now) {
		return
	}
	if l.timer == nil {
		l.timer = time.AfterFunc(at.Sub(now), l.due)
		return
	}
	l.timer.Reset(at.Sub(now))
}

func (l *line) due() {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	l.changed()
}
