// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"github.com/caddy-webhook-inbox/inbox/queue/badgerqueue/journal"
)

// replay brings the database up to what the journal has, from the given number of
// commits, which it has now. It has fewer than at the last checkpoint if its log was
// damaged: Badger cuts that off there, and says nothing.
func (q *Queue) replay(commits uint64) (journal.Replay, error) {
	w := q.db.NewWriteBatch()
	defer w.Cancel()
	done, err := q.journal.ReplayAfter(commits, func(f journal.Replayed) error { return replayNotes(w, f.Notes) })
	if err != nil {
		return done, err
	}
	if err := w.Flush(); err != nil {
		return done, fmt.Errorf("replaying the journal: %w", err)
	}
	return done, nil
}

// The notes of a frame are the changes of its batch: a letter, the key, and for
// a change of a value that and when Badger drops it.
const (
	noteSet    = 's'
	noteDelete = 'd'
)

func (b *batch) noteSet(k key, e entry) {
	b.frame.Note(noteSet)
	b.frame.NoteText(k)
	b.frame.NoteText(e.value)
	b.frame.NoteNumber(e.expires)
}

func (b *batch) noteDelete(k key) {
	b.frame.Note(noteDelete)
	b.frame.NoteText(k)
}

func replayNotes(w *badger.WriteBatch, notes []byte) error {
	r := noteReader{rest: notes}
	for len(r.rest) > 0 && r.err == nil {
		kind := r.rest[0]
		r.rest = r.rest[1:]
		k := r.text()
		switch kind {
		case noteSet:
			e := badger.NewEntry(k, r.text())
			e.ExpiresAt = r.number()
			if r.err == nil {
				r.err = w.SetEntry(e)
			}
		case noteDelete:
			if r.err == nil {
				r.err = w.Delete(k)
			}
		default:
			r.err = fmt.Errorf("note %d: %w", kind, errNewerRecord)
		}
	}
	return r.err
}

type noteReader struct {
	rest []byte
	err  error
}

func (r *noteReader) number() uint64 {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 {
		r.err = errMalformed
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

// text returns a copy: the write batch keeps it.
func (r *noteReader) text() []byte {
	n := r.number()
	if r.err != nil || n > uint64(len(r.rest)) {
		r.err = errors.Join(r.err, errMalformed)
		return nil
	}
	text := bytes.Clone(r.rest[:n])
	r.rest = r.rest[n:]
	return text
}
