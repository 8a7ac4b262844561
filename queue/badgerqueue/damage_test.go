// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/caddy-webhook-inbox/inbox/queue"
	"github.com/caddy-webhook-inbox/inbox/queue/badgerqueue/journal"
	"github.com/caddy-webhook-inbox/inbox/queue/queuetest"
)

func TestADamagedMessageIsBuriedAndNeverDelivered(t *testing.T) {
	t.Parallel()
	q := openTest(t, Options{})
	given := give(t, q, "here", 2)
	must(t, q.Close())
	damage(t, q.opts.Dir, given[0].Request.Body)
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
}

func TestAProbeBuriesADamagedMessageToo(t *testing.T) {
	t.Parallel()
	q := openTest(t, Options{})
	given := give(t, q, "here", 2)
	must(t, q.Close())
	damage(t, q.opts.Dir, given[0].Request.Body)
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
	lose(t, q.opts, 1, 2)
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
		place := waitingRecord{located: located{record: journal.Place{Segment: 1}, id: ghost.message.ID, size: 100}}
		return tx.Set(freshKey(1, 2), place.encode())
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

// damage flips a bit of what is in a segment.
func damage(t testing.TB, dir string, what []byte) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.segment"))
	must(t, err)
	for _, name := range names {
		data, err := os.ReadFile(name)
		must(t, err)
		if at := bytes.LastIndex(data, what); at >= 0 {
			data[at] ^= 1
			must(t, os.WriteFile(name, data, 0o600))
			return
		}
	}
	t.Fatal("it is in no segment")
}

// lose makes fresh messages have their places in a segment that is not there.
func lose(t testing.TB, o Options, seqs ...uint64) {
	t.Helper()
	edit(t, o, func(tx *badger.Txn) error {
		for _, seq := range seqs {
			value, _, err := get(tx, freshKey(1, seq))
			if err != nil {
				return err
			}
			w, err := decodeWaiting(value)
			if err != nil {
				return err
			}
			must(t, giveUp(tx, w.record))
			w.record.Segment = 1 << 30
			if err := tx.Set(freshKey(1, seq), w.encode()); err != nil {
				return err
			}
		}
		return nil
	})
}

// giveUp lets a blob count as not wanted.
func giveUp(tx *badger.Txn, p journal.Place) error {
	value, _, err := get(tx, segmentKey(p.Segment))
	if err != nil {
		return err
	}
	left := binary.BigEndian.Uint64(value) - uint64(p.Length)
	return tx.Set(segmentKey(p.Segment), binary.BigEndian.AppendUint64(nil, left))
}
