// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"sync"
	"sync/atomic"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// A scheduler knows in memory what is to be handed out next, and what is in
// flight. The disk holds all that waits; memory only the next of it, within
// budgets, so that ten million waiting messages cost no more than ten thousand.
type scheduler struct {
	q       *Queue
	budgets budgets

	mu        sync.Mutex
	endpoints map[string]*endpoint
	numbers   map[uint32]*endpoint
	err       error  // why nothing is handed out any more
	suspended bool   // nothing is handed out, because nothing could be settled
	buffered  int64  // bytes of all buffers
	receives  uint64 // so far; tells who received least recently
	large     int64  // bytes of the large messages in flight
	roomMade  chan struct{}
}

// budgets bound what is in memory.
type budgets struct {
	all      int64 // bytes of fresh messages, of all endpoints
	endpoint int64 // bytes of fresh messages, of one endpoint
	count    int   // fresh messages of one endpoint
	load     int   // messages read at once
	retries  int   // retrying messages of one endpoint; without bodies
	flight   int64 // bytes of large messages in flight, of all endpoints
}

func (b budgets) withDefaults() budgets {
	if b.all == 0 {
		b = budgets{all: 64 << 20, endpoint: 8 << 20, count: 4096, load: 256, retries: 512}
	}
	if b.flight == 0 {
		b.flight = defaultInFlight
	}
	return b
}

// An endpoint is one in memory, for as long as the queue is open.
type endpoint struct {
	name   string
	number atomic.Uint32 // 0 until something of it is stored

	// Of the committer.
	tally        counters // as of the batch being made
	touched      bool     // by it
	entered      bool     // something entered b and w in it, not before:
	enteredRetry uint64
	enteredDue   duePlace

	// Guarded by scheduler.mu.
	stats counters // as of the last commit
	line  line
}

func newScheduler(q *Queue) *scheduler {
	return &scheduler{
		q:         q,
		budgets:   q.opts.budgets,
		endpoints: make(map[string]*endpoint),
		numbers:   make(map[uint32]*endpoint),
		roomMade:  make(chan struct{}),
	}
}

// endpoint returns the endpoint of that name, which may be new.
func (s *scheduler) endpoint(name string) *endpoint {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.endpoints[name]
	if e == nil {
		e = &endpoint{name: name}
		e.line.init(s, e)
		s.endpoints[name] = e
	}
	return e
}

// lookUp returns the endpoint of that name, nil if nothing of it was ever
// stored.
func (s *scheduler) lookUp(name string) *endpoint {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.endpoints[name]; e != nil && e.number.Load() != 0 {
		return e
	}
	return nil
}

// restore makes an endpoint known that was found on disk. Its line is looked at
// whatever the counters say: a message must not depend on them.
func (s *scheduler) restore(name string, number uint32, c counters, nextSeq uint64) {
	e := s.endpoint(name)
	e.number.Store(number)
	e.tally, e.stats = c, c
	e.line.last = nextSeq - 1
	e.line.cursor = c.fresh
	e.line.more = true
	e.line.horizon.place = c.due
}

// committed makes the counters of the last commit known.
func (s *scheduler) committed(touched []*endpoint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range touched {
		e.stats = e.tally
	}
}

// marks brings the low-water marks up to date. What the batch takes out of a
// line still counts as in it.
func (s *scheduler) marks(touched []*endpoint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range touched {
		if e.line.short == 0 { // else what is missing may be found again
			e.tally.fresh = max(e.tally.fresh, e.line.lowest())
			if e.line.paused == 0 {
				e.tally.retry, e.tally.due = e.line.lowestRetry(e.tally.retry)
			}
		}
		if e.entered {
			e.tally.retry = min(e.tally.retry, e.enteredRetry)
			e.tally.due = e.tally.due.or(e.enteredDue)
		}
		e.entered = false
	}
}

// arrived takes in a fresh message that is durable now. It goes to whoever waits
// for one, or into the buffer if that has room and nothing is before it on disk.
func (s *scheduler) arrived(h *handle) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := &h.endpoint.line
	gap := l.gap()
	l.last = h.seq
	if gap || l.paused > 0 || !l.fits(h.size) || s.buffered+h.size > s.budgets.all && !s.unload(l, h.size) {
		l.changed()
		return
	}
	l.cursor = h.seq + 1
	l.push(h)
	l.changed()
}

// arrivedOnDisk takes in a fresh message that only the disk has.
func (s *scheduler) arrivedOnDisk(e *endpoint, seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.line.last = max(e.line.last, seq)
	e.line.changed()
}

// unload drops the buffers of other lines than l, those first that received
// least recently, until there is room for so many bytes.
func (s *scheduler) unload(l *line, bytes int64) bool {
	for s.buffered+bytes > s.budgets.all {
		var victim *line
		for _, e := range s.endpoints {
			v := &e.line
			if v != l && v.bytes > 0 && !v.loading && (victim == nil || v.received < victim.received) {
				victim = v
			}
		}
		if victim == nil {
			return false
		}
		victim.unload()
	}
	return true
}

// suspend keeps messages from being handed out while the disk is full.
func (s *scheduler) suspend(full bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.suspended = full
	if !full {
		for _, e := range s.endpoints {
			e.line.changed()
		}
	}
}

// fail ends handing out: all who wait and all who come get err.
func (s *scheduler) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
	for _, e := range s.endpoints {
		e.line.wakeAll()
	}
	s.makeRoom()
}

// stopTimers waits for nothing: a timer that fires now finds nobody waiting.
func (s *scheduler) stopTimers() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.endpoints {
		if e.line.timer != nil {
			e.line.timer.Stop()
		}
	}
}

// A handle is what memory knows of a waiting message: one that is buffered, in
// flight, or being settled.
type handle struct {
	endpoint *endpoint
	seq      uint64
	fresh    bool // it is in r; else in b and w
	waitingRecord
	message *queue.Message // nil until loaded
	broken  error          // why it cannot be delivered

	// Guarded by scheduler.mu.
	settled  bool
	admitted bool // it counts among the large messages in flight
}
