// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/caddy-webhook-inbox/inbox/queue"
	"github.com/caddy-webhook-inbox/inbox/queue/queuetest"
)

func large(size int) *queue.Message {
	m := sender.Message("here")
	m.Request.Body = make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(m.Request.Body) // it never fails
	return m
}

func TestBodiesOfAnySizeArriveAsTheyWereSent(t *testing.T) {
	t.Parallel()
	q := openTest(t, Options{tune: asShipped})
	sizes := []int{0, 1, maxChunk/8*7 - 100, maxChunk / 8 * 7, maxChunk - 1, maxChunk, maxChunk + 1, 3 * maxChunk, 8 << 20, 8<<20 + 1}
	var given []*queue.Message
	for _, size := range sizes {
		m := large(size)
		publish(t, q, queue.Accepted, queue.Publication{Message: m})
		given = append(given, m)
	}
	q = reopen(t, q)
	for i, m := range given {
		d := receive(t, q, "here")
		if d.Message.ID != m.ID || !bytes.Equal(d.Message.Request.Body, m.Request.Body) {
			t.Errorf("the body of %d bytes arrived as %d others", sizes[i], len(d.Message.Request.Body))
		}
		must(t, d.Lease.Ack(0))
	}
	if s := stats(t, q, "here"); s.Bytes != 0 {
		t.Errorf("%d bytes are left", s.Bytes)
	}
	if n := count(t, q, tableBodies) + count(t, q, tableMessages); n != 0 {
		t.Errorf("%d keys of bodies and messages are left", n)
	}
}

func TestALargeDuplicateLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	q := openTest(t, Options{})
	keys := []queue.Key{queuetest.Key("k", time.Hour)}
	publish(t, q, queue.Accepted, queue.Publication{Message: large(100), Keys: keys})
	publish(t, q, queue.Duplicate, queue.Publication{Message: large(4 << 20), Keys: keys})
	must(t, q.flush(t.Context()))
	if n := count(t, q, tableBodies); n != 0 {
		t.Errorf("%d chunks are left", n)
	}
}

func TestALargeMessageThatIsRefusedLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	q := openTest(t, Options{})
	_, err := q.Publish(t.Context(), queue.Publication{Message: large(4 << 20), MaxSize: 1 << 20})
	if !errors.Is(err, queue.ErrFull) {
		t.Errorf("got %v", err)
	}
	must(t, q.flush(t.Context()))
	if n := count(t, q, tableBodies); n != 0 {
		t.Errorf("%d chunks are left", n)
	}
}

func TestABodyWithoutAMessageIsSweptAtTheStart(t *testing.T) {
	t.Parallel()
	disk := &failingDisk{}
	n := 0
	q := openTest(t, Options{tune: small, commit: func(tx *badger.Txn) error {
		n++
		disk.broken.Store(n == 4) // some chunks are there, the message is not
		return disk.commit(tx)
	}})
	publish(t, q, queue.Accepted, queue.Publication{Message: large(100)})
	_, err := q.Publish(t.Context(), queue.Publication{Message: large(8 << 20)})
	unavailable(t, "publishing", err)
	must(t, q.Close())

	o := q.opts
	o.commit = nil
	var before int
	edit(t, o, func(tx *badger.Txn) error {
		before = countIn(tx, tableBodies)
		return nil
	})
	if before == 0 {
		t.Fatal("there is nothing to sweep")
	}
	q = openTest(t, o)
	if after := count(t, q, tableBodies); after != 0 {
		t.Errorf("%d of %d chunks are left", after, before)
	}
	receive(t, q, "here")
}

func TestABodyWithADamagedChunkIsBuried(t *testing.T) {
	t.Parallel()
	q := openTest(t, Options{})
	m := large(2 << 20)
	publish(t, q, queue.Accepted, queue.Publication{Message: m})
	must(t, q.Close())
	edit(t, q.opts, func(tx *badger.Txn) error { return tx.Delete(chunkKey(1, 1)) })
	q = openTest(t, q.opts)
	nothing(t, q, "here")
	if s := stats(t, q, "here"); s.Dead != 1 || s.Waiting != 0 {
		t.Errorf("statistics are %+v", s)
	}
}

// count returns how many keys a table has.
func count(t testing.TB, q *Queue, table byte) (n int) {
	t.Helper()
	must(t, q.db.View(func(tx *badger.Txn) error {
		n = countIn(tx, table)
		return nil
	}))
	return n
}

func countIn(tx *badger.Txn, table byte) (n int) {
	it := tx.NewIterator(badger.IteratorOptions{Prefix: newKey(table)})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		n++
	}
	return n
}
