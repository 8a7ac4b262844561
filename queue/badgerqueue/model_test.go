// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/caddy-webhook-inbox/inbox/queue"
	"github.com/caddy-webhook-inbox/inbox/queue/queuetest"
)

// A model is a queue in a test, and what must be in it.
type model struct {
	*Queue
	t       testing.TB
	random  *rand.Rand
	waiting map[queue.ID]*queue.Message
	dead    map[queue.ID]*queue.Message
	kept    map[queue.ID]*queue.Message
	largest int // of the bodies
}

func newModel(t testing.TB, o Options) *model {
	t.Helper()
	if o.every == (intervals{}) {
		o.every = undisturbed
	}
	return &model{
		Queue:   openTest(t, o),
		t:       t,
		random:  rand.New(rand.NewPCG(1, 2)),
		waiting: make(map[queue.ID]*queue.Message),
		dead:    make(map[queue.ID]*queue.Message),
		kept:    make(map[queue.ID]*queue.Message),
		largest: 4 << 10,
	}
}

// copied is a copy of m, in a copy of its directory as it is when the process is
// killed now. Nothing may be under way. Its tables must be the same.
func (m *model) copied(change func(dir string)) *model {
	m.t.Helper()
	m.checkpointer.one.Lock()
	must(m.t, m.view(context.Background(), func(*badger.Txn) error { return nil })) // nothing is being written
	for !m.committer.idle() {
		runtime.Gosched()
	}
	dir, want := m.files(), m.tables()
	m.checkpointer.one.Unlock()
	if change != nil {
		change(dir)
	}
	c := m.openCopy(dir)
	sameTables(m.t, c.tables(), want)
	return c
}

// files copies the directory.
func (m *model) files() (dir string) {
	m.t.Helper()
	for flushing(m.t, m.opts.Dir) {
		runtime.Gosched()
	}
	dir = m.t.TempDir()
	copyFiles(m.t, m.opts.Dir, dir)
	return dir
}

// openCopy opens a copy, in which there must be what is in m now.
func (m *model) openCopy(dir string) *model {
	m.t.Helper()
	c := *m
	o := m.opts
	o.Dir, o.commit, o.sync = dir, nil, nil
	c.Queue = openTest(m.t, o)
	c.waiting, c.dead, c.kept = maps.Clone(m.waiting), maps.Clone(m.dead), maps.Clone(m.kept)
	return &c
}

// publish publishes a message with a body of so many bytes.
func (m *model) publish(size int) *queue.Message {
	m.t.Helper()
	message := sender.Message("here")
	message.Request.Body = make([]byte, size)
	for i := range message.Request.Body {
		message.Request.Body[i] = byte(m.random.Uint32())
	}
	publish(m.t, m.Queue, queue.Accepted, queue.Publication{Message: message, Keys: keyOf(message.ID)})
	m.waiting[message.ID] = message
	return message
}

func keyOf(id queue.ID) []queue.Key { return []queue.Key{queuetest.Key(id.String(), 96*time.Hour)} }

// take receives the next message, and leaves it to the caller what becomes of it.
func (m *model) take() queue.Delivery {
	m.t.Helper()
	d := receive(m.t, m.Queue, "here")
	m.same(m.waiting, d.Message)
	return d
}

func (m *model) ack() {
	m.t.Helper()
	d := m.take()
	must(m.t, d.Lease.Ack(0))
	delete(m.waiting, d.Message.ID)
}

func (m *model) keep() {
	m.t.Helper()
	d := m.take()
	must(m.t, d.Lease.Ack(1000*time.Hour))
	m.kept[d.Message.ID] = m.waiting[d.Message.ID]
	delete(m.waiting, d.Message.ID)
}

func (m *model) bury() {
	m.t.Helper()
	d := m.take()
	must(m.t, d.Lease.Bury("gone", queue.History{Attempts: 1}, 0))
	m.dead[d.Message.ID] = m.waiting[d.Message.ID]
	delete(m.waiting, d.Message.ID)
}

func (m *model) nack() {
	m.t.Helper()
	must(m.t, m.take().Lease.Nack(0, queue.History{Attempts: 1}))
}

func (m *model) discard(id queue.ID) {
	m.t.Helper()
	must(m.t, m.Discard(m.t.Context(), "here", id))
	delete(m.dead, id)
}

func (m *model) redrive(id queue.ID) {
	m.t.Helper()
	must(m.t, m.Redrive(m.t.Context(), "here", id))
	m.waiting[id] = m.dead[id]
	delete(m.dead, id)
}

// change does n things, most often a publish.
func (m *model) change(n int) {
	m.t.Helper()
	for range n {
		if len(m.waiting) == 0 {
			m.publish(m.random.IntN(m.largest))
		}
		switch m.random.IntN(12) {
		case 0, 1:
			m.ack()
		case 2:
			m.keep()
		case 3:
			m.bury()
		case 4:
			m.nack()
		case 5:
			for id := range m.dead {
				m.redrive(id)
				break
			}
		case 6:
			for id := range m.dead {
				m.discard(id)
				break
			}
		default:
			m.publish(m.random.IntN(m.largest))
		}
	}
	m.flushed()
}

// flushed returns when all that was done is durable.
func (m *model) flushed() {
	m.t.Helper()
	must(m.t, m.flush(m.t.Context()))
}

// check checks that the queue has what it must have, and nothing else, and takes
// what waits.
func (m *model) check() {
	m.t.Helper()
	if n := m.Lost(); n != 0 {
		m.t.Errorf("%d commits are said to be lost", n)
	}
	s := stats(m.t, m.Queue, "here")
	if s.Waiting != int64(len(m.waiting)) || s.Dead != int64(len(m.dead)) || s.Kept != int64(len(m.kept)) {
		m.t.Errorf("%d wait, %d are dead, %d are kept: the statistics are %+v", len(m.waiting), len(m.dead), len(m.kept), s)
	}
	wantedAreThere(m.t, m.Queue)
	wantedAre(m.t, m.Queue, len(m.waiting)+len(m.dead)+len(m.kept))
	m.lists()
	for range len(m.waiting) {
		m.ack()
	}
	nothing(m.t, m.Queue, "here")
	must(m.t, m.Err())
}

// lists checks what is dead and what is kept.
func (m *model) lists() {
	m.t.Helper()
	n := 0
	for s, err := range m.DeadLetters(m.t.Context(), "here", queue.ID{}) {
		must(m.t, err)
		whole, err := m.DeadLetter(m.t.Context(), "here", s.Message.ID)
		must(m.t, err)
		m.same(m.dead, whole.Message)
		n++
	}
	for s, err := range m.Kept(m.t.Context(), "here") {
		must(m.t, err)
		if want := m.kept[s.Message.ID]; want == nil || want.Request.URI != s.Message.Request.URI {
			m.t.Errorf("%s is kept, as %+v", s.Message.ID, s.Message)
		}
		n++
	}
	if n != len(m.dead)+len(m.kept) {
		m.t.Errorf("%d messages are listed, want %d and %d", n, len(m.dead), len(m.kept))
	}
}

// same checks that a message is one of them, as it was sent.
func (m *model) same(all map[queue.ID]*queue.Message, got *queue.Message) {
	m.t.Helper()
	want := all[got.ID]
	switch {
	case want == nil:
		m.t.Errorf("%s came, which is not to come", got.ID)
	case !bytes.Equal(got.Request.Body, want.Request.Body):
		m.t.Errorf("the body of %s is not what was sent", got.ID)
	}
}

// tables returns all that the database has.
func (m *model) tables() map[string]string {
	m.t.Helper()
	all := make(map[string]string)
	must(m.t, m.view(context.Background(), func(tx *badger.Txn) error {
		it := tx.NewIterator(badger.DefaultIteratorOptions)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			k := it.Item().Key()
			if k[0] == tableFiller {
				continue
			}
			value, err := it.Item().ValueCopy(nil)
			if err != nil {
				return err
			}
			if bytes.Equal(k, stateKey()) {
				// The first checkpoint of a copy may come before this, with a commit.
				q, err := decodeState(value)
				if err != nil {
					return err
				}
				q.commits = 0
				value = q.encode()
			}
			all[string(k)] = fmt.Sprintf("%x until %d", value, it.Item().ExpiresAt())
		}
		return nil
	}))
	return all
}

// sameTables checks that two databases have the same.
func sameTables(t testing.TB, got, want map[string]string) {
	t.Helper()
	for k, v := range want {
		if got[k] != v {
			t.Errorf("table %c, key %x: there is %q, want %q", k[0], k[1:], got[k], v)
		}
	}
	for k, v := range got {
		if _, ok := want[k]; !ok {
			t.Errorf("table %c, key %x: there is %q, want nothing", k[0], k[1:], v)
		}
	}
}
