// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/dgraph-io/badger/v4"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// robbed is a queue that has a message, and is opened again without the file of the
// journal that it is in. Its log has errors only.
func robbed(t *testing.T) (q *Queue, lost *queue.Message, logged *observer.ObservedLogs) {
	t.Helper()
	core, logged := observer.New(zap.ErrorLevel)
	q = openTest(t, Options{segment: tiny, every: undisturbed, Logger: zap.New(core)})
	lost = give(t, q, "here", 1)[0]
	must(t, q.Close())
	rob(t, q.opts.Dir)
	return openTest(t, q.opts), lost, logged
}

// rob removes the newest file of the journal.
func rob(t *testing.T, dir string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.segment"))
	must(t, err)
	must(t, os.Remove(names[len(names)-1]))
}

// sameLength is a message like another, whose record is as long.
func sameLength(m *queue.Message) *queue.Message {
	again := *m
	again.ID = sender.Message("here").ID
	again.Request.Body = make([]byte, len(m.Request.Body))
	return &again
}

// The newest file of the journal is taken away, while a message in it waits. That is
// lost, and said; the next one, which is as long and is the first in a new file,
// must not take its place.
func TestFaultALostFileIsNotWrittenAgain(t *testing.T) {
	t.Parallel()
	q, lost, _ := robbed(t)
	next := sameLength(lost)
	publish(t, q, queue.Accepted, queue.Publication{Message: next})
	if d := receive(t, q, "here"); d.Message.ID != next.ID {
		t.Errorf("received %s, want %s", d.Message.ID, next.ID)
	} else {
		must(t, d.Lease.Ack(0))
	}
	nothing(t, q, "here")
	if d, err := q.DeadLetter(t.Context(), "here", lost.ID); err != nil || d.Reason != "corrupt" || !d.Damaged {
		t.Errorf("what was lost is %+v, %v", d, err)
	}
}

// A lost message is discarded, or sent again. That takes nothing from what is counted
// as wanted of the files that came later: they stay until it is not wanted.
func TestFaultAnEndOfALostMessageKeepsLaterOnes(t *testing.T) {
	t.Parallel()
	q, lost, _ := robbed(t)
	allDead(t, q, 1)
	next := sameLength(lost)
	publish(t, q, queue.Accepted, queue.Publication{Message: next})
	must(t, q.Discard(t.Context(), "here", lost.ID))
	wantedAreThere(t, q)
	must(t, q.change(t.Context(), &change{write: func(b *batch) error { b.q.journal.Rotate(); return nil }}))
	must(t, q.change(t.Context(), &change{write: (*batch).force}))
	must(t, q.checkpointer.make(t.Context()))
	q = reopen(t, q)
	if d := receive(t, q, "here"); d.Message.ID != next.ID {
		t.Errorf("received %s, want %s", d.Message.ID, next.ID)
	}
}

// allDead checks that all messages that there are, so many, cannot be delivered.
func allDead(t *testing.T, q *Queue, n int64) {
	t.Helper()
	nothing(t, q, "here") // they are looked at
	must(t, q.flush(t.Context()))
	if s := stats(t, q, "here"); s.Dead != n || s.Waiting != 0 {
		t.Fatalf("statistics are %+v, want %d dead", s, n)
	}
}

// That a file is missing is said at each start, and can be seen, for as long as
// something in it is wanted.
func TestFaultAMissingFileIsSaidUntilNothingInItIsWanted(t *testing.T) {
	t.Parallel()
	q, lost, logged := robbed(t)
	said := func(want int) {
		t.Helper()
		n := logged.FilterMessageSnippet("files of the journal are missing").Len()
		if n != want || (q.Lost() == 1) != (want == 1) {
			t.Errorf("it is said %d times, and Lost is %d", n, q.Lost())
		}
		logged.TakeAll()
	}
	said(1)
	allDead(t, q, 1)
	q = reopen(t, q)
	said(1)
	must(t, q.Discard(t.Context(), "here", lost.ID))
	q = reopen(t, q)
	said(0)
	if n := count(t, q, tableSegments); n != 0 {
		t.Errorf("%d files are still said to be wanted", n)
	}
}

// The places of two messages lead each to the whole record of the other: that is not
// the message.
func TestFaultAnotherMessageInAPlaceIsNotDelivered(t *testing.T) {
	t.Parallel()
	q := openTest(t, Options{every: undisturbed})
	given := give(t, q, "here", 2)
	must(t, q.Close())
	edit(t, q.opts, func(tx *badger.Txn) error {
		var w [2]waitingRecord
		for i := range w {
			value, _, err := get(tx, freshKey(1, uint64(i+1)))
			must(t, err)
			w[i], err = decodeWaiting(value)
			must(t, err)
		}
		w[0].record, w[1].record = w[1].record, w[0].record
		return errors.Join(tx.Set(freshKey(1, 1), w[0].encode()), tx.Set(freshKey(1, 2), w[1].encode()))
	})
	q = openTest(t, q.opts)
	allDead(t, q, 2)
	for _, m := range given {
		if d, err := q.DeadLetter(t.Context(), "here", m.ID); err != nil || d.Reason != "corrupt" || !d.Damaged {
			t.Errorf("dead letter is %+v, %v", d, err)
		}
	}
}
