// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// makeRoom makes room for a message, if need be by erasing messages that are
// kept: those first that are kept for the shortest time from now. Dead letters
// are never erased for room.
func (b *batch) makeRoom(op *publication, freed int64) error {
	return b.roomFor(op.endpoint, op.size, freed, op.share)
}

// roomFor makes room for a message of a size that takes the place of what is freed.
func (b *batch) roomFor(e *endpoint, size, freed, share int64) error {
	if !b.q.space.mayPublish() {
		return errDiskLow
	}
	limit := b.q.space.limit()
	if size > limit {
		return fmt.Errorf("%w: the message is larger than the queue", queue.ErrFull)
	}
	if share > 0 && size > share {
		return fmt.Errorf("%w: the message is larger than the endpoint's share", queue.ErrFull)
	}
	size -= freed
	if share > 0 {
		err := b.evict(e, func() bool { return e.tally.bytes+size <= share })
		if err != nil {
			return err
		}
		if e.tally.bytes+size > share {
			return fmt.Errorf("%w: the endpoint's share is used up", queue.ErrFull)
		}
	}
	if err := b.evict(nil, func() bool { return b.q.state.total+size <= limit }); err != nil {
		return err
	}
	if b.q.state.total+size > limit {
		return fmt.Errorf("%w: max_size is reached", queue.ErrFull)
	}
	return nil
}

// evict erases kept messages of e, or of all endpoints if that is nil, until
// there is enough room or none is left.
func (b *batch) evict(e *endpoint, enough func() bool) error {
	for !enough() {
		if b.entries > 2*b.q.limits.entries {
			return nil // more may not fit into the transaction
		}
		v, err := b.openEvictor().next(e)
		if err != nil {
			return fmt.Errorf("making room: %w", err)
		}
		if v == nil {
			return nil
		}
		if err := b.eraseKept(v.endpoint, v.place, &v.record); err != nil {
			return fmt.Errorf("making room: %w", err)
		}
	}
	return nil
}

// keep puts the record of a delivered message into h.
func (b *batch) keep(e *endpoint, place duePlace, record []byte) {
	tally := b.tally(e)
	tally.kept++
	tally.keptFrom = tally.keptFrom.or(place)
	b.set(keptKey(e.number.Load(), place), record)
	if b.keeps == nil {
		b.keeps = make(map[*endpoint]duePlace)
	}
	if first, ok := b.keeps[e]; !ok || place.before(first) {
		b.keeps[e] = place
	}
}

// eraseKept erases a message that was kept when the batch began, unless the
// batch has erased or moved it since.
func (b *batch) eraseKept(e *endpoint, place duePlace, r *settledRecord) error {
	k := keptKey(e.number.Load(), place)
	there, err := b.has(k)
	if err != nil || !there {
		return err
	}
	b.tally(e).kept--
	b.delete(k)
	b.erase(e, &r.located)
	return nil
}

// raiseKept raises the mark of h to what it found when the batch began: the
// place of the first message there is.
func (b *batch) raiseKept(e *endpoint, found duePlace) {
	if first, ok := b.keeps[e]; ok {
		found = found.or(first)
	}
	e.tally.keptFrom = later(e.tally.keptFrom, found)
}

// An evictor finds the messages to evict in one batch. It reads what was
// committed before the batch, each message once.
type evictor struct {
	b     *batch
	tx    *badger.Txn
	it    *badger.Iterator      // nil if the database is broken
	heads map[*endpoint]*victim // the next of each endpoint; nil: it has none
	all   []*endpoint
}

type victim struct {
	endpoint *endpoint
	place    duePlace
	record   settledRecord
}

func (b *batch) openEvictor() *evictor {
	if b.evictor == nil {
		b.note(b.q.index.flushSurely())
		tx := b.q.db.NewTransaction(false)
		it, err := b.q.iterator(tx, badger.IteratorOptions{Prefix: newKey(tableKept)})
		b.note(err)
		b.evictor = &evictor{
			b:     b,
			tx:    tx,
			it:    it,
			heads: make(map[*endpoint]*victim),
			all:   b.q.scheduler.all(),
		}
	}
	return b.evictor
}

func (v *evictor) close() {
	if v.it == nil {
		return
	}
	v.it.Close()
	v.tx.Discard()
}

// next returns the message of e, or of any endpoint, that is kept for the
// shortest time from now; nil if there is none.
func (v *evictor) next(e *endpoint) (*victim, error) {
	candidates := v.all
	if e != nil {
		candidates = []*endpoint{e}
	}
	var first *victim
	for _, c := range candidates {
		head, err := v.head(c)
		if err != nil {
			return nil, err
		}
		if head != nil && (first == nil || head.place.before(first.place)) {
			first = head
		}
	}
	if first == nil {
		return nil, nil
	}
	after := duePlace{first.place.due, first.place.seq + 1}
	return first, v.seek(first.endpoint, after)
}

func (v *evictor) head(e *endpoint) (*victim, error) {
	if _, ok := v.heads[e]; !ok {
		if err := v.seek(e, e.tally.keptFrom); err != nil {
			return nil, err
		}
	}
	return v.heads[e], nil
}

// seek finds the first message of e from a place on. It is where the mark is
// raised to, so that nobody steps over what was erased before it again.
func (v *evictor) seek(e *endpoint, from duePlace) error {
	v.heads[e] = nil
	n := e.number.Load()
	if e.tally.kept == 0 || v.it == nil {
		return nil
	}
	v.it.Seek(keptKey(n, from))
	if !v.it.Valid() || endpointOf(v.it.Item().Key()) != n {
		return nil
	}
	found := &victim{endpoint: e, place: placeOf(v.it.Item().Key())}
	v.b.raiseKept(e, found.place)
	err := v.it.Item().Value(func(value []byte) (err error) {
		found.record, err = decodeSettled(value)
		return err
	})
	if err != nil {
		return fmt.Errorf("reading from table %c: %w", tableKept, err)
	}
	v.heads[e] = found
	return nil
}

// all returns the endpoints.
func (s *scheduler) all() []*endpoint {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*endpoint, 0, len(s.endpoints))
	for _, e := range s.endpoints {
		all = append(all, e)
	}
	return all
}
