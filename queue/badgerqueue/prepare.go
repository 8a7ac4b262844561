// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"errors"
	"fmt"

	"go.uber.org/zap"
)

// The reasons why a message cannot be delivered.
var (
	errCorrupt = errors.New("corrupt")
	errMissing = errors.New("message is missing")
	errGone    = errors.New("settled meanwhile")
)

func isBroken(err error) bool { return errors.Is(err, errCorrupt) || errors.Is(err, errMissing) }

// prepare reads the message of a handle that has none. It reports false if the
// message cannot be handed out: it was settled before it was held, or is broken.
func (q *Queue) prepare(h *handle) (bool, error) {
	if h.message != nil {
		return true, nil
	}
	read := handle{endpoint: h.endpoint, seq: h.seq, fresh: h.fresh}
	err := q.viewBlobs(func(v view) error { return v.readHandle(&read) })
	s, l := q.scheduler, &h.endpoint.line
	s.mu.Lock()
	defer s.mu.Unlock()
	h.waitingRecord, h.message = read.waitingRecord, read.message
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, errGone):
		l.release(h)
		return false, nil
	case isBroken(err):
		h.broken = err
		q.buryBroken(h)
		return false, nil
	default:
		l.giveBack(h)
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

// buryBroken takes a held message out of the line that cannot be delivered.
func (q *Queue) buryBroken(h *handle) {
	q.log.Error("a message was damaged on the disk and cannot be delivered",
		zap.String("endpoint", h.endpoint.name), zap.Stringer("id", h.id), zap.Error(h.broken))
	h.settled = true
	h.endpoint.line.settling++
	// If it fails the queue is unavailable, and the message stays held.
	_ = q.committer.submitBehind(&settlement{
		q:      q,
		handle: h,
		settle: bury{reason: "corrupt", history: h.history, at: q.opts.Now()},
	})
}
