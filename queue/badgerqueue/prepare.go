// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
)

// The reasons why a message cannot be delivered.
var (
	errCorrupt    = errors.New("corrupt")
	errMissing    = errors.New("message is missing")
	errUnreadable = errors.New("unreadable")
	errGone       = errors.New("settled meanwhile")
	errNoRoom     = errors.New("no room in memory")
)

func isBroken(err error) bool {
	return errors.Is(err, errCorrupt) || errors.Is(err, errMissing) || errors.Is(err, errUnreadable)
}

// prepare reads the message of a handle that has none, once there is room for it in
// memory. It reports false if the message cannot be handed out: it was settled before
// it was held, or is broken.
func (q *Queue) prepare(ctx context.Context, h *handle) (bool, error) {
	s := q.scheduler
	if h.message != nil && s.admit(h) {
		return true, nil
	}
	for {
		room := s.room()
		if ok, err := q.readInto(ctx, h); !errors.Is(err, errNoRoom) {
			return ok, err
		}
		select {
		case <-room:
		case <-ctx.Done():
		}
		s.mu.Lock()
		err := s.ended(ctx)
		if err != nil {
			h.endpoint.line.giveBack(h, 0)
		}
		s.mu.Unlock()
		if err != nil {
			return false, err
		}
	}
}

// readInto is prepare without waiting: it may return errNoRoom, and then h is still
// held.
func (q *Queue) readInto(ctx context.Context, h *handle) (bool, error) {
	read := handle{endpoint: h.endpoint, seq: h.seq, fresh: h.fresh}
	err := q.viewBlobs(ctx, func(v view) error { return v.readHandle(&read) })
	s, l := q.scheduler, &h.endpoint.line
	s.mu.Lock()
	defer s.mu.Unlock()
	h.waitingRecord, h.message, h.admitted = read.waitingRecord, read.message, read.admitted
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, errNoRoom):
		return false, err
	case errors.Is(err, errGone):
		l.release(h)
		return false, nil
	case isBroken(err):
		s.depart(h)
		h.broken = err
		q.buryBroken(h)
		return false, nil
	case ctx.Err() != nil:
		l.giveBack(h, 0)
		return false, ctx.Err()
	default:
		l.giveBack(h, time.Second)
		return false, fmt.Errorf("loading: %w", err)
	}
}

func (v view) readHandle(h *handle) error {
	n := h.endpoint.number.Load()
	k := retryKey(n, h.seq)
	if h.fresh {
		k = freshKey(n, h.seq)
	}
	value, ok, err := get(v.tx, k)
	if err != nil {
		return err
	}
	if !ok {
		return errGone
	}
	if err := h.decode(value); err != nil {
		return err
	}
	if !h.endpoint.line.s.admit(h) {
		return errNoRoom
	}
	return v.readHeld(h)
}

func (h *handle) decode(value []byte) (err error) {
	h.waitingRecord, err = decodeWaiting(value)
	return err
}

// readHeld reads the message of a handle that has its place.
func (v view) readHeld(h *handle) error {
	m, err := v.readMessage(&h.located, true)
	if err != nil {
		return err
	}
	h.message = m.message
	h.message.Endpoint = h.endpoint.name // it may have moved
	return nil
}

// buryBroken takes a held message out of the line that cannot be delivered. One that
// the disk cannot read for now is none the worse for that.
func (q *Queue) buryBroken(h *handle) {
	what, reason, history := "a message was damaged on the disk and cannot be delivered", "corrupt", h.history
	if errors.Is(h.broken, errUnreadable) {
		what, reason = "the disk cannot read a message, which cannot be delivered for now", "unreadable"
		history.LastError = shortText(h.broken.Error() + "; redrive the message when it can be read again")
	}
	q.log.Error(what, zap.String("endpoint", h.endpoint.name), zap.Stringer("id", h.id), zap.Error(h.broken))
	h.settled = true
	h.endpoint.line.settling++
	// If it fails the queue is unavailable, and the message stays held.
	_ = q.committer.submitBehind(&settlement{
		q:      q,
		handle: h,
		settle: bury{reason: reason, history: history, at: q.opts.Now()},
	})
}
