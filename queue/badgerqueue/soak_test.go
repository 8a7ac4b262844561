// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"context"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
	promise "github.com/caddy-webhook-inbox/inbox/queue/queuetest/ledger"
)

// soakVariable names the environment variable that says how many keys the soak has.
const soakVariable = "BADGERQUEUE_SOAK_KEYS"

// Keys of messages that were settled have reappeared in Badger after compactions and
// restarts. Here all keys of a turn are published and settled; then the database is
// flattened, segments of the journal are dropped, and the process is killed or ends.
// Nothing that was settled is ever delivered again, its keys are still known, and
// neither memory nor the disk grow by more than the keys.
func TestFaultNothingSettledComesBack(t *testing.T) {
	t.Parallel()
	keys := rounds(10_000, 10_000_000)
	if n, err := strconv.Atoi(os.Getenv(soakVariable)); err == nil {
		keys = n
	}
	s := newSoak(t, max(keys/50, 2_500))
	said, began := time.Now(), time.Now()
	for s.published < keys {
		s.turn()
		if time.Since(said) > time.Minute {
			said = time.Now()
			t.Logf("%v: %d keys, %d MiB on disk", time.Since(began).Round(time.Second), s.published, usedSpace(s.q.opts.Dir)>>20)
		}
		if t.Failed() {
			return
		}
	}
	if s.dropped == 0 || s.compacted == 0 || s.kills == 0 {
		t.Errorf("%d segments were dropped, %d times it was compacted, and %d times killed", s.dropped, s.compacted, s.kills)
	}
	t.Logf("%v for %d keys in %d turns: %d compactions, %d kills, %d segments dropped, %d delivered again after a kill; at most %.0f MiB of heap, and on disk %.0f MiB of journal and %.0f MiB of tables",
		time.Since(began).Round(time.Second), s.published, s.turns, s.compacted, s.kills, s.dropped, s.again.Load(), s.heap, s.segments, s.tables)
}

// An engine that forgets settlements, as if what was deleted were back, is noticed.
func TestFaultSoakNoticesWhatComesBack(t *testing.T) {
	t.Parallel()
	s := newSoak(t, 500)
	s.forgetful = true
	s.fill(500, nil)
	s.drain()
	s.end(false)
	s.drain()
	for _, v := range s.ledger.Check(promise.End{}) {
		if v.Invariant == promise.Repetition {
			return
		}
	}
	t.Errorf("nothing breaks %v", promise.Repetition)
}

// A soak publishes and settles many messages. That with number n has the keys of n.
type soak struct {
	t       *testing.T
	random  *rand.Rand
	q       *Queue
	ledger  *promise.Ledger // of this turn
	size    int             // of a turn, in keys
	turns   int
	settled int // numbers below it were settled in turns before this one

	published int
	again     atomic.Int64 // deliveries of what was delivered before a kill
	dropped   int          // segments
	compacted int          // times
	kills     int
	forgetful bool // acks are lost

	mu   sync.Mutex
	done map[int]bool // delivered in this turn

	heap, segments, tables float64 // most, in MiB
}

func newSoak(t *testing.T, size int) *soak {
	s := &soak{t: t, random: seeded(t), size: size, ledger: new(promise.Ledger), done: make(map[int]bool)}
	s.open(t.TempDir())
	t.Cleanup(func() {
		wantedAreThere(t, s.q)
		must(t, s.q.Close())
	})
	return s
}

// open opens the queue, which nothing refers to any more when there is another.
func (s *soak) open(dir string) {
	s.t.Helper()
	q, err := Open(Options{Dir: dir, segment: int64(rounds(tiny, 4<<20)), every: undisturbed, disk: endlessDisk{}, tune: smaller})
	must(s.t, err)
	s.q = q
}

// turn is one turn: every other, or in a large soak every eighth, ends with a kill,
// and has one in the middle.
func (s *soak) turn() {
	s.t.Helper()
	s.turns++
	kill := s.turns%rounds(2, 8) == 0
	s.ledger = new(promise.Ledger)
	s.done = make(map[int]bool)
	first := s.published
	var killed func()
	if kill {
		s.kills++
		killed = func() { s.end(true) }
	}
	s.fill(s.size, killed)
	s.drain()
	s.compact()
	s.end(kill)
	s.drain() // nothing, or what was settled just before a kill
	s.settled = s.published
	s.known(first)
	s.measure()
	for _, v := range s.ledger.Check(promise.End{}) {
		s.t.Error(v)
	}
}

// fill publishes so many messages. Halfway through, the process may be killed, by a
// call of killed.
func (s *soak) fill(n int, killed func()) {
	s.t.Helper()
	if killed != nil {
		s.traffic(n/2, n/2*9/10)
		killed()
		n -= n / 2
	}
	s.traffic(n, n*9/10)
}

// traffic publishes messages while others are delivered, until so many were.
func (s *soak) traffic(n, deliver int) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Minute)
	defer cancel()
	var next, left atomic.Int64
	next.Store(int64(s.published))
	left.Store(int64(deliver))
	s.published += n
	end := int64(s.published)
	var all sync.WaitGroup
	for range 128 {
		all.Go(func() {
			for i := next.Add(1) - 1; i < end; i = next.Add(1) - 1 {
				s.publish(ctx, int(i))
			}
		})
	}
	for range 16 {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				s.deliver(ctx)
			}
		})
	}
	all.Wait()
}

func (s *soak) publish(ctx context.Context, n int) {
	m := sender.Message("here")
	m.Request.URI = strconv.Itoa(n)
	s.ledger.Sent(m.Request.URI, m.Request.Body)
	r, err := s.q.Publish(ctx, queue.Publication{Message: m, Keys: keysOf(int64(n))})
	if err != nil || r.Outcome != queue.Accepted {
		s.t.Errorf("publishing number %d: %v, %v", n, r.Outcome, err)
		return
	}
	s.ledger.Answered(m.Request.URI, 202)
}

// deliver delivers a message, one in ten at the second try.
func (s *soak) deliver(ctx context.Context) {
	for {
		d, err := s.q.Receive(ctx, "here", time.Minute)
		if err != nil {
			s.t.Errorf("receiving: %v", err)
			return
		}
		h := d.History
		h.Attempts++
		if retry := s.random.IntN(10) == 0; retry {
			s.tried(d, 500)
			if err := d.Lease.Nack(0, h); err != nil {
				s.t.Error(err)
			}
			continue
		}
		s.tried(d, 200)
		s.settle(d, h)
		return
	}
}

func (s *soak) settle(d queue.Delivery, h queue.History) {
	var err error
	switch n := s.random.IntN(20); {
	case s.forgetful:
	case n == 0:
		err = d.Lease.Ack(time.Millisecond)
	default:
		err = d.Lease.Ack(0)
	}
	if err != nil {
		s.t.Error(err)
	}
}

// tried writes a delivery into the ledger, where that of an earlier turn is again.
func (s *soak) tried(d queue.Delivery, status int) {
	n, err := strconv.Atoi(d.Message.Request.URI)
	if err != nil {
		s.t.Error(err)
		return
	}
	now, key, body := time.Now(), d.Message.Request.URI, d.Message.Request.Body
	a := promise.Attempt{Number: d.History.Attempts + 1, Message: d.Message.ID.String(), Began: now, Ended: now, Status: status}
	if n < s.settled {
		s.ledger.Sent(key, body)
		s.ledger.Answered(key, 202)
		s.ledger.Tried(key, body, promise.Attempt{Status: 200})
	}
	s.ledger.Tried(key, body, a)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done[n] {
		s.again.Add(1)
	}
	if status == 200 {
		s.done[n] = true
	}
}
