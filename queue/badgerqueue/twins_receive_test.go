// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// of returns the messages of an endpoint that wait and are not in flight, in order of
// arrival.
func (w *twins) of(endpoint string) (all []*standing) {
	for _, s := range w.waiting {
		if s.endpoint == endpoint && !s.flying {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b *standing) int { return a.arrival - b.arrival })
	return all
}

// inaccuracy is by how much a message may be early after a restart: what is on disk
// is in milliseconds.
const inaccuracy = 2 * time.Millisecond

func (w *twins) receive() {
	endpoint := w.endpoint()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Millisecond)
	defer cancel()
	d, err := w.ours.Receive(ctx, endpoint, time.Hour)
	if errors.Is(err, queue.ErrUnavailable) {
		w.killed(nil)
		return
	}
	all := w.of(endpoint)
	now := time.Now()
	var ready, fresh []*standing
	for _, s := range all {
		switch {
		case s.unsure || s.loose:
		case !s.retrying:
			fresh = append(fresh, s)
		case s.due.Add(inaccuracy).Before(now):
			ready = append(ready, s)
		}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		if len(ready)+len(fresh) > 0 {
			w.differs("nothing is handed out, and %d retries and %d fresh messages are ready", len(ready), len(fresh))
		}
		return
	}
	s := w.takes(d, err, all)
	switch {
	case s.unsure || s.loose:
	case s.retrying && s.due.After(now.Add(inaccuracy)):
		w.differs("%s is handed out %v before it is due", s.id, s.due.Sub(now))
	case !s.retrying && len(ready) > 0:
		w.differs("%s is handed out, which is fresh, before %s", s.id, ready[0].id)
	case !s.retrying && s != fresh[0]:
		w.differs("%s is handed out before %s", s.id, fresh[0].id)
	}
}

func (w *twins) probe() {
	endpoint := w.endpoint()
	all := w.of(endpoint)
	if len(all) == 0 {
		return
	}
	pick := queue.Pick{Newest: w.random.IntN(2) == 0}
	left := slices.Clone(all)
	for range w.random.IntN(4) {
		s := all[w.random.IntN(len(all))]
		pick.Except = append(pick.Except, s.id)
		left = slices.DeleteFunc(left, func(l *standing) bool { return l == s })
	}
	if len(left) == 0 {
		left = all
	}
	want := left[0]
	if pick.Newest {
		want = left[len(left)-1]
	}
	d, err := w.ours.Probe(w.t.Context(), endpoint, pick, time.Hour)
	if errors.Is(err, queue.ErrUnavailable) {
		w.killed(nil)
		return
	}
	if s := w.takes(d, err, all); s != want {
		w.differs("a probe takes %s, want %s", s.id, want.id)
	}
}

// takes lets the model hand out what the engine did, which is to be one of all.
func (w *twins) takes(d queue.Delivery, err error, all []*standing) *standing {
	if err != nil {
		w.differs("receiving: %v", err)
	}
	s := w.waiting[d.Message.ID]
	if !slices.Contains(all, s) {
		w.differs("%s is handed out, which does not wait", d.Message.ID)
	}
	var others []queue.ID
	for _, o := range all {
		if o != s {
			others = append(others, o.id)
		}
	}
	s.ours = d
	if s.theirs, err = w.model.Probe(w.t.Context(), s.endpoint, queue.Pick{Except: others}, time.Hour); err != nil {
		w.differs("the model: %v", err)
	}
	if ours, theirs := told(s.ours), told(s.theirs); ours != theirs {
		w.differs("handed out is %s, want %s", ours, theirs)
	}
	s.flying = true
	w.held = append(w.held, s)
	return s
}

// told is what is to be the same of two deliveries.
func told(d queue.Delivery) string {
	return fmt.Sprintf("%s %+v %s %.4x", d.Message.ID, d.History, d.Message.Scheme, sha256.Sum256(d.Message.Request.Body))
}
