// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"context"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"github.com/caddy-webhook-inbox/inbox/queue/badgerqueue/journal"
)

// Messages are blobs in the journal; the tables hold only their places. A place
// is a message's for good: where a blob was moved to, so that its segment could
// be dropped, is in the table of what was moved (relocate.go).

// A view is what is committed at one moment. The blobs that are wanted then can
// be read until it ends.
type view struct {
	getter
	tx    *badger.Txn // nil in a batch
	epoch journal.Epoch
}

// A getter reads from the tables.
type getter interface {
	get(k key) (value []byte, ok bool, err error)
}

type txGetter struct{ *badger.Txn }

func (g txGetter) get(k key) (value []byte, ok bool, err error) { return get(g.Txn, k) }

// committed has what is in the index. A batch reads blobs by it: where it moves
// them to, they are not yet.
type committed struct{ *index }

func (c committed) get(k key) (value []byte, ok bool, err error) {
	value, _, ok, err = c.index.get(k)
	return value, ok, err
}

func (q *Queue) viewBlobs(ctx context.Context, fn func(v view) error) error {
	epoch := q.journal.Enter()
	defer epoch.Leave()
	return q.view(ctx, func(tx *badger.Txn) error { return fn(view{txGetter{tx}, tx, epoch}) })
}

// view calls fn with the tables as they are now, with all that is committed. On a
// full disk it may return errDiskLow.
func (q *Queue) view(ctx context.Context, fn func(tx *badger.Txn) error) error {
	if err := q.index.flush(ctx); err != nil {
		return err
	}
	return q.glance(fn)
}

// glance calls fn with the tables as they were a moment ago, or on a full disk when
// there was space.
func (q *Queue) glance(fn func(tx *badger.Txn) error) (err error) {
	defer q.rescue(&err)
	tx := q.db.NewTransaction(false)
	defer tx.Discard()
	return fn(tx)
}

// readMessage reads a message as it was published, or returns an error that
// isBroken. If it need not be whole, a body that is apart is left out.
func (v view) readMessage(at *located, whole bool) (*messageRecord, error) {
	record, err := v.appendBlob(nil, at.record)
	if err != nil {
		return nil, err
	}
	m, err := decodeMessage(record)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errCorrupt, err)
	}
	if m.message.ID != at.id {
		return nil, fmt.Errorf("%w: another message is in its place", errCorrupt)
	}
	if !m.apart || !whole {
		return m, nil
	}
	body := make([]byte, 0, m.length+journal.Overhead)
	for _, p := range at.body {
		if body, err = v.appendBlob(body, p); err != nil {
			return nil, err
		}
	}
	if uint64(len(body)) != m.length {
		return nil, fmt.Errorf("%w: of the body, %d bytes are there instead of %d", errCorrupt, len(body), m.length)
	}
	m.message.Request.Body = body
	return m, nil
}

func (v view) appendBlob(dst []byte, p journal.Place) ([]byte, error) {
	current, err := v.currentPlace(p)
	if err != nil {
		return nil, err
	}
	blob, err := v.epoch.Append(dst, current)
	if current == p && (errors.Is(err, journal.ErrDamaged) || errors.Is(err, journal.ErrUnreadable)) {
		// Its segment may have stayed for the sake of others, after it was moved.
		if to, moved, e := movedTo(v, p); e == nil && moved {
			blob, err = v.epoch.Append(dst, to)
		}
	}
	switch {
	case errors.Is(err, journal.ErrMissing):
		return nil, fmt.Errorf("%w: %w", errMissing, err)
	case errors.Is(err, journal.ErrDamaged):
		return nil, fmt.Errorf("%w: %w", errCorrupt, err)
	case errors.Is(err, journal.ErrUnreadable):
		return nil, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	return blob, err
}

// currentPlace returns where the blob of a place is now.
func (v view) currentPlace(p journal.Place) (journal.Place, error) {
	if v.epoch.Has(p.Segment) {
		return p, nil // a copy elsewhere would be the same
	}
	current, moved, err := movedTo(v, p)
	if err != nil || !moved {
		return p, err
	}
	return current, nil
}

// movedTo returns where a blob was moved to.
func movedTo(from getter, p journal.Place) (current journal.Place, moved bool, err error) {
	value, ok, err := from.get(movedKey(p))
	if err != nil || !ok {
		return journal.Place{}, false, err
	}
	d := readRecord(value)
	for d.next() {
		if d.tag == fieldRecord {
			if places := d.places(); len(places) == 1 {
				current, moved = places[0], true
			}
		}
	}
	if d.err == nil && !moved {
		d.fail()
	}
	if d.err != nil {
		return journal.Place{}, false, fmt.Errorf("reading from table %c: %w", tableMoved, d.err)
	}
	return current, true, nil
}

func encodeMoved(p journal.Place) []byte {
	e := newRecord(16)
	e.places(fieldRecord, p)
	return e
}
