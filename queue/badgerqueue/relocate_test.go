// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"context"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/caddy-webhook-inbox/inbox/queue"
	"github.com/caddy-webhook-inbox/inbox/queue/badgerqueue/journal"
)

// traffic publishes messages of about so many bytes, most of which are delivered
// at once. A few wait, are dead or kept.
func (m *model) traffic(rounds, size int) {
	m.t.Helper()
	for range rounds {
		for range 40 {
			m.publish(size/2 + m.random.IntN(size))
		}
		m.bury()
		m.keep()
		for len(m.waiting) > 1 {
			m.ack()
		}
		m.nack()
	}
	m.flushed()
}

// inJournal returns the size of the journal, and how much of it is wanted.
func (m *model) inJournal() (size, wanted int64) {
	for _, n := range m.journal.Sizes() {
		size += n
	}
	return size, m.wanted.total()
}

// few returns whether the journal has little more than what is wanted.
func (m *model) few() bool {
	size, wanted := m.inJournal()
	return size <= 2*wanted+2*tiny
}

// reclaimed lets room be given back as the keeper does.
func (m *model) reclaimed() {
	m.t.Helper()
	must(m.t, m.reclaim(m.t.Context()))
}

func TestSparseSegmentsAreEmptied(t *testing.T) {
	t.Parallel()
	m := newModel(t, Options{segment: tiny})
	m.traffic(10, 10<<10)
	before, _ := m.inJournal()
	m.reclaimed()
	if size, wanted := m.inJournal(); !m.few() || size > before/2 {
		t.Errorf("of %d bytes %d are left, of which %d are wanted", before, size, wanted)
	}
	if n := count(t, m.Queue, tableMoved); n == 0 {
		t.Error("nothing was moved")
	}
	m.copied(nil).check() // the process is killed
	m.Queue = reopen(t, m.Queue)
	for id := range m.dead {
		if len(m.dead)%2 == 0 {
			m.redrive(id)
		} else {
			m.discard(id)
		}
	}
	m.copied(nil).check()
	m.check()

	// What was erased leaves nothing.
	m.flushed()
	moved := 0
	_, err := m.eachBlob(context.Background(), func(place, current journal.Place) error {
		if place != current {
			moved++
		}
		return nil
	})
	must(t, err)
	if n := count(t, m.Queue, tableMoved); n != moved {
		t.Errorf("%d blobs are said to be moved, %d are", n, moved)
	}
}

func TestWhatWasMovedIsMovedAgain(t *testing.T) {
	t.Parallel()
	m := newModel(t, Options{segment: tiny})
	moved := make(map[journal.Place]int)
	at := make(map[journal.Place]journal.Place)
	for range 5 {
		m.traffic(6, 10<<10)
		m.reclaimed()
		_, err := m.eachBlob(context.Background(), func(place, current journal.Place) error {
			was, known := at[place]
			if !known {
				was = place
			}
			if was != current {
				moved[place]++
			}
			at[place] = current
			return nil
		})
		must(t, err)
		m.copied(nil).check()
	}
	twice := 0
	for _, n := range moved {
		if n > 1 {
			twice++
		}
	}
	if twice == 0 || !m.few() {
		t.Errorf("%d blobs were moved, %d of them twice", len(moved), twice)
	}
	m.check()
}

// As long as others are in its segment, a blob that was moved is in both.
func TestWhatWasMovedIsErasedAfterARestart(t *testing.T) {
	t.Parallel()
	m := newModel(t, Options{segment: tiny})
	for range 6 {
		m.publish(1000)
		m.bury()
	}
	m.flushed()
	var all []moving
	_, err := m.eachBlob(context.Background(), func(place, current journal.Place) error {
		all = append(all, moving{place: place, from: current})
		return nil
	})
	must(t, err)
	m.traffic(1, 10<<10)
	m.wanted.watchErased(true)
	must(t, m.moveBlobs(t.Context(), all[:3]))
	m.wanted.watchErased(false)
	m.Queue = reopen(t, m.Queue)
	n := 0
	for id := range m.dead {
		if m.discard(id); n == 4 {
			break // one of them at least was moved, and one was not
		}
		n++
	}
	if !m.journal.Has(1) {
		t.Fatal("their segment was dropped")
	}
	wantedAreThere(t, m.Queue)
	m.copied(nil).check()
	for id := range m.dead {
		m.discard(id)
	}
	wantedAreThere(t, m.Queue)
	if n := count(t, m.Queue, tableMoved); n != 0 {
		t.Errorf("%d are still said to be moved", n)
	}
}

func TestLargeBodiesAreMoved(t *testing.T) {
	t.Parallel()
	m := newModel(t, Options{tune: asShipped, segment: 4 << 20})
	for range 4 {
		m.publish(1 << 20)
		m.bury()
		for range 4 {
			m.publish(1 << 20)
			m.ack()
		}
	}
	m.flushed()
	before, _ := m.inJournal()
	m.reclaimed()
	if size, wanted := m.inJournal(); size >= before || count(t, m.Queue, tableMoved) == 0 {
		t.Errorf("of %d bytes %d are left, of which %d are wanted", before, size, wanted)
	}
	m.copied(nil).check()
	for id := range m.dead {
		m.redrive(id)
	}
	m.check()
}

func TestWhatIsDamagedStaysAndIsLeftAlone(t *testing.T) {
	t.Parallel()
	m := newModel(t, Options{segment: tiny})
	damaged := m.publish(5000)
	m.bury()
	m.traffic(6, 10<<10)
	must(t, m.Close())
	damage(t, m.opts.Dir, damaged.Request.Body[:100])
	m.Queue = openTest(t, m.opts)
	m.reclaimed()
	if !m.journal.Has(1) || len(m.journal.Sizes()) > 6 {
		t.Errorf("there are the segments %v", m.journal.Segments())
	}
	if count(t, m.Queue, tableMoved) == 0 || m.wanted.of(1) > 6000 {
		t.Errorf("of what is whole, %d bytes were not moved", m.wanted.of(1))
	}
	if m.sparse()[1] {
		t.Error("it is tried again")
	}
	dead, err := m.DeadLetter(t.Context(), "here", damaged.ID)
	must(t, err)
	if len(dead.Message.Request.Body) != 0 {
		t.Error("it has a body")
	}
	m.discard(damaged.ID)
	m.reclaimed()
	if m.journal.Has(1) {
		t.Error("its segment is there without it")
	}
	m.copied(nil).check()
}

func TestListsGoOnWhileSegmentsAreDropped(t *testing.T) {
	t.Parallel()
	m := newModel(t, Options{segment: tiny})
	for range 3 * page {
		m.publish(5 << 10)
		m.bury()
		m.publish(5 << 10)
		m.keep()
	}
	m.traffic(10, 10<<10)
	lists := map[string]func(func(queue.Settled, error) bool){
		"dead": m.DeadLetters(t.Context(), "here", queue.ID{}),
		"kept": m.Kept(t.Context(), "here"),
	}
	for name, list := range lists {
		n := 0
		for s, err := range list {
			must(t, err)
			if s.Message.Request.URI == "" {
				t.Errorf("%s: %s was not read", name, s.Message.ID)
			}
			if n++; n%page == 1 {
				m.traffic(2, 10<<10)
				m.reclaimed()
			}
		}
		if n < 3*page {
			t.Errorf("%s: %d are listed", name, n)
		}
	}
	m.check()
}

// The disk soon has not much more than what is wanted, however much went through.
func TestTheJournalStaysSmallUnderTraffic(t *testing.T) {
	t.Parallel()
	every := undisturbed
	every.reclaim = 20 * time.Millisecond
	m := newModel(t, Options{segment: tiny, every: every})
	for range 30 {
		m.traffic(1, 10<<10)
	}
	// The keeper may be behind.
	deadline := time.Now().Add(20 * time.Second)
	for !m.few() && time.Now().Before(deadline) {
		m.traffic(1, 100)
		time.Sleep(10 * time.Millisecond)
	}
	size, wanted := m.inJournal()
	if !m.few() {
		t.Errorf("there are %d bytes, of which %d are wanted", size, wanted)
	}
	m.check()
}

func TestASegmentThatIsGoneIsNotCounted(t *testing.T) {
	t.Parallel()
	m := newModel(t, Options{})
	m.change(30)
	must(t, m.Close())
	edit(t, m.opts, func(tx *badger.Txn) error {
		return tx.Set(segmentKey(1<<30), []byte{0, 0, 0, 0, 1, 0, 0, 0})
	})
	q := openTest(t, m.opts)
	if n := q.wanted.of(1 << 30); n != 0 {
		t.Errorf("%d bytes are wanted of it", n)
	}
}
