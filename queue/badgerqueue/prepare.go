// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"
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
	err := q.db.View(read.read)
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

func (h *handle) read(tx *badger.Txn) error {
	n := h.endpoint.number.Load()
	k := retryKey(n, h.seq)
	if h.fresh {
		k = freshKey(n, h.seq)
	}
	value, ok, err := get(tx, k)
	if err != nil {
		return err
	}
	if !ok {
		return errGone
	}
	if err := h.decode(value); err != nil {
		return err
	}
	return h.readMessage(tx)
}

func (h *handle) decode(value []byte) (err error) {
	h.waitingRecord, err = decodeWaiting(value)
	return err
}

// readMessage reads the message and checks that it is as it was published.
func (h *handle) readMessage(tx *badger.Txn) error {
	m, err := readMessage(tx, h.record, true)
	if err != nil {
		return err
	}
	h.message = m.message
	h.message.Endpoint = h.endpoint.name // it may have moved
	return nil
}

// readMessage reads a message. If it is to be whole, its body is checked, and
// read from wherever it is.
func readMessage(tx *badger.Txn, record uint64, whole bool) (*messageRecord, error) {
	value, ok, err := get(tx, messageKey(record))
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, errMissing
	}
	m, err := decodeMessage(value)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errCorrupt, err)
	}
	if !whole {
		return m, nil
	}
	body := &m.message.Request.Body
	if m.body.chunks > 0 {
		if *body, err = readBody(tx, m.body, m.length); errors.Is(err, errMalformed) {
			return nil, fmt.Errorf("%w: %w", errCorrupt, err)
		}
		if err != nil {
			return nil, err
		}
	}
	if sha256.Sum256(*body) != m.sum {
		return nil, fmt.Errorf("%w: the body is not what was received", errCorrupt)
	}
	return m, nil
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
