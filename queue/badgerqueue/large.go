// SPDX-License-Identifier: Apache-2.0

package badgerqueue

// A large message takes its memory for as long as an attempt takes, and an
// application that hangs has as many of them as it may have attempts. So they wait
// for room among those in flight of all endpoints, of which one endpoint can take
// half. It can always have one, so that none waits for another endpoint alone.
const largeMessage = 256 << 10 // bytes; smaller ones do not count

// SetMaxInFlight replaces how many bytes of large messages are in flight at the same
// time. Zero is the default of 256 MiB. What is in flight already stays there.
func (q *Queue) SetMaxInFlight(bytes int64) {
	s := q.scheduler
	s.mu.Lock()
	defer s.mu.Unlock()
	if bytes <= 0 {
		bytes = defaultInFlight
	}
	s.budgets.flight = bytes
	s.makeRoom()
}

const defaultInFlight = 256 << 20

// admit counts a message that is about to take its memory, and reports whether there
// is room for it. If there is none, it gets the memory of h back.
func (s *scheduler) admit(h *handle) bool {
	if h.size < largeMessage || h.admitted {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l := &h.endpoint.line
	if l.large > 0 && (l.large+h.size > s.budgets.flight/2 || s.large+h.size > s.budgets.flight) {
		h.message = nil // it is read again
		return false
	}
	h.admitted = true
	l.large += h.size
	s.large += h.size
	return true
}

// depart is told that a message needs its memory no more. s.mu is held.
func (s *scheduler) depart(h *handle) {
	h.message = nil
	if h.admitted {
		h.admitted = false
		h.endpoint.line.large -= h.size
		s.large -= h.size
		s.makeRoom()
	}
}

// room returns what is closed when there may be more room than now, or nothing is
// handed out any more.
func (s *scheduler) room() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		now := make(chan struct{})
		close(now)
		return now
	}
	return s.roomMade
}

// makeRoom lets those look again who wait for room. s.mu is held.
func (s *scheduler) makeRoom() {
	close(s.roomMade)
	s.roomMade = make(chan struct{})
}
