// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/caddy-webhook-inbox/inbox/queue"
	"github.com/caddy-webhook-inbox/inbox/queue/queuetest"
)

func TestADamagedMessageIsBuriedAndNeverDelivered(t *testing.T) {
	t.Parallel()
	damages := map[string]func(tx *badger.Txn, record []byte) error{
		"a changed body": func(tx *badger.Txn, record []byte) error {
			return tx.Set(messageKey(1), bytes.Replace(record, []byte("number"), []byte("numbed"), 1))
		},
		"a torn record": func(tx *badger.Txn, record []byte) error {
			return tx.Set(messageKey(1), record[:len(record)/2])
		},
		"no record that anybody wrote": func(tx *badger.Txn, _ []byte) error {
			return tx.Set(messageKey(1), []byte{0xff})
		},
	}
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := openTest(t, Options{})
			given := give(t, q, "here", 2)
			must(t, q.Close())
			edit(t, q.opts, func(tx *badger.Txn) error {
				record, _, err := get(tx, messageKey(1))
				return errors.Join(err, damage(tx, record))
			})
			q = openTest(t, q.opts)
			if d := receive(t, q, "here"); d.Message.ID != given[1].ID {
				t.Errorf("received %s", d.Message.Request.Body)
			}
			dead, err := q.DeadLetter(t.Context(), "here", given[0].ID)
			for i := 0; errors.Is(err, queue.ErrNotFound) && i < 100; i++ {
				dead, err = q.DeadLetter(t.Context(), "here", given[0].ID)
			}
			must(t, err)
			if dead.Reason != "corrupt" || dead.Message.ID != given[0].ID {
				t.Errorf("dead letter is %+v", dead)
			}
			must(t, q.Discard(t.Context(), "here", given[0].ID))
		})
	}
}

func TestAProbeBuriesADamagedMessageToo(t *testing.T) {
	t.Parallel()
	q := openTest(t, Options{})
	given := give(t, q, "here", 2)
	must(t, q.Close())
	edit(t, q.opts, func(tx *badger.Txn) error { return tx.Set(messageKey(1), []byte{0xff}) })
	q = openTest(t, q.opts)
	d, err := q.Probe(t.Context(), "here", queue.Pick{}, 0)
	must(t, err)
	if d.Message.ID != given[1].ID {
		t.Errorf("received %s", d.Message.Request.Body)
	}
	if s := stats(t, q, "here"); s.Dead != 1 || s.Waiting != 1 {
		t.Errorf("statistics are %+v", s)
	}
}

func TestAMessageThatIsMissingIsBuriedAndItsKeysAreFree(t *testing.T) {
	t.Parallel()
	q := openTest(t, Options{})
	again := queue.Publication{
		Message: sender.Message("here"),
		Keys:    []queue.Key{queuetest.Key("k", time.Hour)},
	}
	publish(t, q, queue.Accepted, again)
	first := again.Message
	others := give(t, q, "here", 2)
	must(t, q.Close())
	edit(t, q.opts, func(tx *badger.Txn) error {
		return errors.Join(tx.Delete(messageKey(1)), tx.Delete(messageKey(2)))
	})
	q = openTest(t, q.opts)
	if d := receive(t, q, "here"); d.Message.ID != others[1].ID {
		t.Errorf("received %s", d.Message.Request.Body)
	}
	if s := stats(t, q, "here"); s.Dead != 2 || s.Waiting != 1 {
		t.Errorf("statistics are %+v", s)
	}
	var listed []queue.ID
	for d, err := range q.DeadLetters(t.Context(), "here", queue.ID{}) {
		must(t, err)
		listed = append(listed, d.Message.ID)
	}
	if !slices.Equal(listed, []queue.ID{first.ID, others[0].ID}) {
		t.Errorf("dead letters are %v", listed)
	}
	dead, err := q.DeadLetter(t.Context(), "here", first.ID)
	must(t, err)
	if dead.Reason != "corrupt" || !dead.Message.ReceivedAt.Equal(first.ReceivedAt) {
		t.Errorf("dead letter is %+v", dead)
	}
	must(t, q.Discard(t.Context(), "here", others[0].ID))

	again.Message = sender.Message("here")
	publish(t, q, queue.Revived, again)
	if d := receive(t, q, "here"); d.Message.ID != again.Message.ID {
		t.Errorf("received %s", d.Message.Request.Body)
	}
	if s := stats(t, q, "here"); s.Dead != 0 || s.Waiting != 2 {
		t.Errorf("statistics are %+v", s)
	}
}

// Bugs in compaction have brought deleted keys back.
func TestASettledMessageThatReappearsIsNotDelivered(t *testing.T) {
	t.Parallel()
	q := openTest(t, Options{})
	give(t, q, "here", 5)
	for range 4 {
		must(t, receive(t, q, "here").Lease.Ack(0))
	}
	must(t, q.flush(t.Context()))
	last := give(t, q, "here", 1)[0] // its commit notes the low-water mark
	ghost := sample()
	must(t, q.Close())
	edit(t, q.opts, func(tx *badger.Txn) error {
		place := waitingRecord{located: located{record: 2, id: ghost.message.ID, size: 100}}
		return errors.Join(
			tx.Set(messageKey(2), ghost.encode()),
			tx.Set(freshKey(1, 2), place.encode()))
	})
	q = openTest(t, q.opts)
	for range 2 {
		if d := receive(t, q, "here"); d.Message.ID == ghost.message.ID {
			t.Error("a message of before was delivered again")
		} else if d.Message.ID == last.ID {
			must(t, d.Lease.Ack(0))
		}
	}
	nothing(t, q, "here")
}
