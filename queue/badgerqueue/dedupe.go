// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"fmt"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// found is what a publication's keys lead to.
type found struct {
	known bool     // it is a duplicate
	id    queue.ID // of the message that it is a duplicate of

	dead []deadRecord // else, the dead letters that it replaces
}

// freed is how much room the dead letters give back.
func (f *found) freed() (bytes int64) {
	for _, d := range f.dead {
		bytes += d.size
	}
	return bytes
}

// lookUp finds out whether a message with these keys is a duplicate. A key is
// known within its window, and for as long as its message waits; but not if its
// message is dead.
func (b *batch) lookUp(e *endpoint, keys []queue.Key) (f found, err error) {
	n := e.number.Load()
	if n == 0 {
		return found{}, nil
	}
	for _, k := range keys {
		if !b.q.index.keys.mayHave(dedupeKey(n, k)) {
			continue
		}
		held, ok, err := b.holder(n, k)
		if err != nil {
			return found{}, err
		}
		if !ok {
			continue
		}
		dead, isDead, err := b.deadLetter(n, held.id)
		if err != nil {
			return found{}, err
		}
		if isDead && dead.expired(b.now) {
			continue // it counts as erased, and soon is
		}
		if isDead {
			f.replace(dead)
			continue
		}
		known, err := b.inWindow(n, held)
		if err != nil {
			return found{}, err
		}
		if known {
			return found{known: true, id: held.id}, nil
		}
	}
	for i := range f.dead {
		if err := b.readKeys(n, &f.dead[i]); err != nil {
			return found{}, err
		}
	}
	return f, nil
}

func (f *found) replace(dead settledRecord) {
	for _, d := range f.dead {
		if d.id == dead.id {
			return
		}
	}
	f.dead = append(f.dead, deadRecord{settledRecord: dead})
}

// holder returns the message that has the key, known or not any more.
func (b *batch) holder(n uint32, k queue.Key) (held keyRecord, ok bool, err error) {
	value, ok, err := b.get(dedupeKey(n, k))
	if err != nil || !ok {
		return keyRecord{}, false, err
	}
	if held, err = decodeKey(value); err != nil {
		return keyRecord{}, false, fmt.Errorf("reading a key: %w", err)
	}
	return held, true, nil
}

func (b *batch) inWindow(n uint32, held keyRecord) (bool, error) {
	if b.now.Before(held.expiry) {
		return true, nil
	}
	return b.waits(n, held.seq)
}

func (b *batch) waits(n uint32, seq uint64) (bool, error) {
	if fresh, err := b.has(freshKey(n, seq)); fresh || err != nil {
		return fresh, err
	}
	return b.has(retryKey(n, seq))
}

func (b *batch) deadLetter(n uint32, id queue.ID) (dead settledRecord, ok bool, err error) {
	value, ok, err := b.get(deadKey(n, id))
	if err != nil || !ok {
		return settledRecord{}, false, err
	}
	if dead, err = decodeSettled(value); err != nil {
		return settledRecord{}, false, fmt.Errorf("reading a dead letter: %w", err)
	}
	return dead, true, nil
}

// recordKeys makes the keys known for the message, and returns when Badger
// drops the first of them.
func (b *batch) recordKeys(n uint32, keys []queue.Key, seq uint64, id queue.ID) (until int64) {
	for _, k := range keys {
		dropped := b.recordKey(n, k, keyRecord{seq: seq, id: id, expiry: b.now.Add(k.Window)}, k.Window)
		if until == 0 || dropped < until {
			until = dropped
		}
	}
	return until
}

// recordKey writes a key that Badger drops when hold and the grace are over.
// Badger does not know our clock.
func (b *batch) recordKey(n uint32, k queue.Key, held keyRecord, hold time.Duration) (until int64) {
	until = time.Now().Add(hold + keyGrace).Unix()
	b.setUntil(dedupeKey(n, k), held.appendTo(b.newRecord(keyRecordSize)), until)
	return until
}

func (r *settledRecord) expired(now time.Time) bool {
	return !r.until.IsZero() && !now.Before(r.until)
}
