// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"bytes"
	"context"
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
	must(t, q.flush(t.Context()))
	if n := q.wanted.total(); n != 0 {
		t.Errorf("%d bytes of the journal are still wanted", n)
	}
}

func TestALargeDuplicateLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	q := openTest(t, Options{})
	keys := []queue.Key{queuetest.Key("k", time.Hour)}
	publish(t, q, queue.Accepted, queue.Publication{Message: large(100), Keys: keys})
	before := q.wanted.total()
	publish(t, q, queue.Duplicate, queue.Publication{Message: large(4 << 20), Keys: keys})
	nothingPinned(t, q)
	if n := q.wanted.total(); n != before {
		t.Errorf("%d bytes are wanted, want %d", n, before)
	}
}

func TestALargeMessageThatIsRefusedLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	q := openTest(t, Options{})
	_, err := q.Publish(t.Context(), queue.Publication{Message: large(4 << 20), MaxSize: 1 << 20})
	if !errors.Is(err, queue.ErrFull) {
		t.Errorf("got %v", err)
	}
	nothingPinned(t, q)
	if n := q.wanted.total(); n != 0 {
		t.Errorf("%d bytes are wanted", n)
	}
}

func TestABodyWithoutAMessageIsWantedByNobody(t *testing.T) {
	t.Parallel()
	disk := &failingDisk{}
	n := 0
	q := openTest(t, Options{tune: small, commit: func(b *batch) error {
		n++
		disk.broken.Store(n == 4) // some chunks are there, the message is not
		return disk.commit(b)
	}})
	publish(t, q, queue.Accepted, queue.Publication{Message: large(100)})
	before := q.wanted.total()
	_, err := q.Publish(t.Context(), queue.Publication{Message: large(8 << 20)})
	unavailable(t, "publishing", err)
	shut(t, q)

	o := q.opts
	o.commit = nil
	q = openTest(t, o)
	nothingPinned(t, q)
	if n := q.wanted.total(); n != before {
		t.Errorf("%d bytes are wanted, want %d", n, before)
	}
	receive(t, q, "here")
}

func TestABodyWithADamagedChunkIsBuried(t *testing.T) {
	t.Parallel()
	q := openTest(t, Options{})
	m := large(2 << 20)
	publish(t, q, queue.Accepted, queue.Publication{Message: m})
	must(t, q.Close())
	damage(t, q.opts.Dir, m.Request.Body[maxChunk+100:][:64])
	q = openTest(t, q.opts)
	nothing(t, q, "here")
	if s := stats(t, q, "here"); s.Dead != 1 || s.Waiting != 0 {
		t.Errorf("statistics are %+v", s)
	}
}

// nothingPinned checks that no chunk waits for its message.
func nothingPinned(t testing.TB, q *Queue) {
	t.Helper()
	must(t, q.flush(t.Context()))
	q.wanted.mu.Lock()
	defer q.wanted.mu.Unlock()
	if n := len(q.wanted.pinned); n != 0 {
		t.Errorf("chunks in %d segments are pinned", n)
	}
}

// count returns how many keys a table has.
func count(t testing.TB, q *Queue, table byte) (n int) {
	t.Helper()
	must(t, q.view(context.Background(), func(tx *badger.Txn) error {
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
