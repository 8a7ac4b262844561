// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/dgraph-io/badger/v4"
	"go.uber.org/zap"
)

// beginLoad marks that the caller loads. Until load returns nobody else does,
// and what leaves held is remembered: a message that was settled after the load
// took its snapshot must not come back.
func (l *line) beginLoad() {
	l.loading = true
	l.stale = false
	l.left = make(map[uint64]bool)
}

// A loaded is what load read.
type loaded struct {
	fresh  []*handle
	cursor uint64

	retries []retry
	more    bool
	horizon retry

	broken []*handle // their messages cannot be delivered
}

// load reads what is next in line from the disk, and hands it to those who
// wait. The caller has called beginLoad.
func (q *Queue) load(e *endpoint) error {
	s, l := q.scheduler, &e.line

	s.mu.Lock()
	plan := loadPlan{
		number:  e.number.Load(),
		cursor:  l.cursor,
		last:    l.last,
		bytes:   min(s.budgets.endpoint-l.bytes, s.budgets.endpoint/4),
		count:   s.budgets.load,
		retries: l.mustLoadRetries(time.Now()),
		horizon: l.horizon.place,
	}
	if plan.retries {
		plan.horizon = later(plan.horizon, e.stats.due)
	}
	s.mu.Unlock()

	read, err := q.read(e, plan)

	s.mu.Lock()
	defer s.mu.Unlock()
	l.loading = false
	defer func() { l.left = nil; l.changed() }()
	if err != nil {
		return fmt.Errorf("loading: %w", err)
	}
	if l.stale {
		return nil
	}
	l.takeIn(read, plan)
	for _, h := range read.broken {
		if l.held[h.seq] == nil && !l.left[h.seq] {
			l.hold(h)
			q.buryBroken(h)
		}
	}
	s.unload(l, 0)
	return nil
}

// takeIn adds what was read, but for what was or is in flight, or in memory.
func (l *line) takeIn(read loaded, plan loadPlan) {
	gone := func(seq uint64) bool { return l.held[seq] != nil || l.left[seq] }
	for _, h := range read.fresh {
		if !gone(h.seq) {
			l.push(h)
		}
	}
	l.cursor = read.cursor
	if !plan.retries {
		return
	}
	known := make(map[uint64]bool, len(l.retries))
	for _, r := range l.retries {
		known[r.place.seq] = true
	}
	l.more, l.horizon = read.more, read.horizon
	for _, r := range read.retries {
		if !known[r.place.seq] && !gone(r.place.seq) {
			l.addRetry(r)
		}
	}
	l.trim()
}

// loadPlan says what to read.
type loadPlan struct {
	number uint32

	cursor, last uint64 // of r
	bytes        int64
	count        int

	retries bool
	horizon duePlace // of w
}

func later(a, b duePlace) duePlace {
	if a.before(b) {
		return b
	}
	return a
}

func (q *Queue) read(e *endpoint, p loadPlan) (read loaded, err error) {
	err = q.db.View(func(tx *badger.Txn) error {
		if p.retries {
			if err := q.readRetries(tx, p, &read); err != nil {
				return err
			}
		}
		return q.readFresh(tx, e, p, &read)
	})
	return read, err
}

// readFresh reads from r on from the cursor, one message at least.
func (q *Queue) readFresh(tx *badger.Txn, e *endpoint, p loadPlan, read *loaded) error {
	read.cursor = p.cursor
	if p.cursor > p.last {
		return nil
	}
	it := tx.NewIterator(badger.IteratorOptions{Prefix: prefix(tableFresh, p.number)})
	defer it.Close()
	var bytes int64
	for it.Seek(freshKey(p.number, p.cursor)); it.Valid(); it.Next() {
		seq := lastSeq(it.Item().Key())
		if seq > p.last {
			break
		}
		h := &handle{endpoint: e, seq: seq, fresh: true}
		if err := it.Item().Value(h.decode); err != nil {
			return fmt.Errorf("reading from table %c: %w", tableFresh, err)
		}
		if n := len(read.fresh); n > 0 && (n >= p.count || bytes+h.size > p.bytes) {
			read.cursor = seq
			return nil
		}
		switch err := h.readMessage(tx); {
		case isBroken(err):
			h.broken = err
			read.broken = append(read.broken, h)
		case err != nil:
			return err
		default:
			read.fresh = append(read.fresh, h)
			bytes += h.size
		}
	}
	read.cursor = p.last + 1
	return nil
}

// readRetries reads from w on from the horizon.
func (q *Queue) readRetries(tx *badger.Txn, p loadPlan, read *loaded) error {
	it := tx.NewIterator(badger.IteratorOptions{Prefix: prefix(tableDue, p.number)})
	defer it.Close()
	now, wall := time.Now(), q.opts.Now()
	for it.Seek(dueKey(p.number, p.horizon)); it.Valid(); it.Next() {
		r := retry{place: placeOf(it.Item().Key())}
		if r.place.due > 0 {
			delay, err := delayOf(tx, p.number, r.place.seq)
			if err != nil {
				return err
			}
			// The clock may have been set since: nothing waits longer than
			// it was told to.
			left := timeOf(r.place.due).Sub(wall)
			r.at = now.Add(max(0, min(left, delay)))
		}
		if len(read.retries) >= p.count {
			read.more, read.horizon = true, r
			return nil
		}
		read.retries = append(read.retries, r)
	}
	return nil
}

func delayOf(tx *badger.Txn, number uint32, seq uint64) (time.Duration, error) {
	value, ok, err := get(tx, retryKey(number, seq))
	if err != nil || !ok {
		return 0, err // without its record, it is found out when it is due
	}
	w, err := decodeWaiting(value)
	if err != nil {
		return 0, fmt.Errorf("reading from table %c: %w", tableRetrying, err)
	}
	return w.delay, nil
}

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
	op := &settlement{q: q, handle: h}
	if errors.Is(h.broken, errCorrupt) {
		op.settle = bury{reason: "corrupt", history: h.history, at: q.opts.Now()}
	} else {
		op.settle = vanish{}
	}
	// If it fails the queue is unavailable, and the message stays held.
	_ = q.committer.submitBehind(op)
}
