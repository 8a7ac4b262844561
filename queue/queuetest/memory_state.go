// SPDX-License-Identifier: Apache-2.0

package queuetest

import (
	"maps"
	"slices"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// A state is all that a disk would hold. Its methods only depend on what they
// are given, so that the same change can be made to two states.
type state struct {
	seq       uint64 // of the message that arrived last
	endpoints map[string]*endpointState
}

type endpointState struct {
	waiting map[uint64]*waiting // by order of arrival
	dead    map[queue.ID]settled
	kept    map[queue.ID]settled
	keys    map[keyName]keyHolder
	outage  *queue.Outage
}

type waiting struct {
	message *queue.Message
	keys    []queue.Key
	history queue.History
	nacked  bool
	due     time.Time // of a nacked one; zero: ready
}

type settled struct {
	queue.Settled
	keys []queue.Key
}

type keyName struct {
	kind queue.KeyKind
	hash [32]byte
}

type keyHolder struct {
	id    queue.ID
	until time.Time
}

func newState() *state { return &state{endpoints: make(map[string]*endpointState)} }

func (s *state) endpoint(name string) *endpointState {
	e := s.endpoints[name]
	if e == nil {
		e = &endpointState{
			waiting: make(map[uint64]*waiting),
			dead:    make(map[queue.ID]settled),
			kept:    make(map[queue.ID]settled),
			keys:    make(map[keyName]keyHolder),
		}
		s.endpoints[name] = e
	}
	return e
}

func (s *state) clone() *state {
	c := &state{seq: s.seq, endpoints: make(map[string]*endpointState)}
	for name, e := range s.endpoints {
		waits := make(map[uint64]*waiting, len(e.waiting))
		for seq, w := range e.waiting {
			waits[seq] = clonePointer(w)
		}
		c.endpoints[name] = &endpointState{
			waiting: waits,
			dead:    maps.Clone(e.dead),
			kept:    maps.Clone(e.kept),
			keys:    maps.Clone(e.keys),
			outage:  clonePointer(e.outage),
		}
	}
	return c
}

// lookUp returns the message that has one of the keys, if a message with them
// is a duplicate, or else the dead letters that it replaces.
func (s *state) lookUp(endpoint string, keys []queue.Key, now time.Time) (dead []queue.ID, known *queue.ID) {
	e := s.endpoint(endpoint)
	for _, k := range keys {
		holder, ok := e.keys[keyName{k.Kind, k.Hash}]
		if !ok {
			continue
		}
		if d, ok := e.dead[holder.id]; ok {
			if !expired(d, now) && !slices.Contains(dead, holder.id) {
				dead = append(dead, holder.id)
			}
			continue
		}
		if now.Before(holder.until) || e.waits(holder.id) {
			return nil, &holder.id
		}
	}
	return dead, nil
}

func (e *endpointState) waits(id queue.ID) bool {
	for _, w := range e.waiting {
		if w.message.ID == id {
			return true
		}
	}
	return false
}

func (s *state) publish(endpoint string, m *queue.Message, keys []queue.Key, now time.Time) {
	s.seq++
	e := s.endpoint(endpoint)
	e.waiting[s.seq] = &waiting{message: m, keys: keys}
	for _, k := range keys {
		e.keys[keyName{k.Kind, k.Hash}] = keyHolder{m.ID, now.Add(k.Window)}
	}
}

func (s *state) ack(endpoint string, seq uint64, keep time.Duration, now time.Time) {
	e := s.endpoint(endpoint)
	w := e.waiting[seq]
	delete(e.waiting, seq)
	if keep > 0 {
		e.kept[w.message.ID] = w.settled("", w.history, keep, now)
	}
}

func (s *state) nack(endpoint string, seq uint64, due time.Time, h queue.History) {
	w := s.endpoint(endpoint).waiting[seq]
	w.nacked, w.due, w.history = true, due, h
}

func (s *state) bury(endpoint string, seq uint64, reason string, h queue.History, keep time.Duration, now time.Time) {
	e := s.endpoint(endpoint)
	w := e.waiting[seq]
	delete(e.waiting, seq)
	e.dead[w.message.ID] = w.settled(reason, h, keep, now)
}

func (w *waiting) settled(reason string, h queue.History, keep time.Duration, now time.Time) settled {
	s := settled{
		Settled: queue.Settled{Message: w.message, History: h, Reason: reason, At: now},
		keys:    w.keys,
	}
	if keep > 0 {
		s.Until = now.Add(keep)
	}
	return s
}

func (s *state) makeReady(endpoint string, refunds []queue.Refund, except map[uint64]bool) {
	e := s.endpoint(endpoint)
	back := make(map[queue.ID]queue.Refund, len(refunds))
	for _, r := range refunds {
		sum := back[r.ID]
		back[r.ID] = queue.Refund{Failures: sum.Failures + r.Failures, Delayed: sum.Delayed + r.Delayed}
	}
	for seq, w := range e.waiting {
		if except[seq] {
			continue
		}
		w.due = time.Time{}
		r := back[w.message.ID]
		w.history.Failures -= r.Failures
		w.history.Delayed -= r.Delayed
	}
}

func (s *state) redrive(endpoint string, id queue.ID, now time.Time) {
	e := s.endpoint(endpoint)
	d := e.dead[id]
	delete(e.dead, id)
	s.seq++
	e.waiting[s.seq] = &waiting{message: d.Message, keys: d.keys}
	for _, k := range d.keys {
		name := keyName{k.Kind, k.Hash}
		if holder, ok := e.keys[name]; !ok || holder.id == id || !now.Before(holder.until) && !e.waits(holder.id) {
			e.keys[name] = keyHolder{id, now.Add(k.Window)}
		}
	}
}

// discard erases a dead letter and frees the keys that are still its own.
func (s *state) discard(endpoint string, id queue.ID) {
	e := s.endpoint(endpoint)
	for _, k := range e.dead[id].keys {
		name := keyName{k.Kind, k.Hash}
		if e.keys[name].id == id {
			delete(e.keys, name)
		}
	}
	delete(e.dead, id)
}

// sweep erases what is kept no longer.
func (s *state) sweep(now time.Time) {
	for name, e := range s.endpoints {
		for id, k := range e.kept {
			if expired(k, now) {
				delete(e.kept, id)
			}
		}
		for id, d := range e.dead {
			if expired(d, now) {
				s.discard(name, id)
			}
		}
	}
}

func (s *state) move(from, to string) int {
	source, target := s.endpoint(from), s.endpoint(to)
	for seq, w := range source.waiting {
		w.due = time.Time{}
		target.waiting[seq] = w
	}
	maps.Copy(target.dead, source.dead)
	maps.Copy(target.kept, source.kept)
	for name, holder := range source.keys {
		if other, ok := target.keys[name]; !ok || other.until.Before(holder.until) {
			target.keys[name] = holder
		}
	}
	if target.outage == nil {
		target.outage = source.outage
	}
	delete(s.endpoints, from)
	return len(source.waiting) + len(source.dead)
}

// firstToExpire returns the kept message with the least time left.
func (s *state) firstToExpire(of func(endpoint string) bool) (endpoint string, id queue.ID, ok bool) {
	var until time.Time
	for name, e := range s.endpoints {
		if !of(name) {
			continue
		}
		for _, k := range e.kept {
			if !ok || k.Until.Before(until) {
				endpoint, id, until, ok = name, k.Message.ID, k.Until, true
			}
		}
	}
	return endpoint, id, ok
}

func (s *state) size() int64 {
	var sum int64
	for _, e := range s.endpoints {
		sum += e.size()
	}
	return sum
}

func (e *endpointState) size() int64 {
	var sum int64
	for _, w := range e.waiting {
		sum += sizeOf(w.message)
	}
	for _, d := range e.dead {
		sum += sizeOf(d.Message)
	}
	for _, k := range e.kept {
		sum += sizeOf(k.Message)
	}
	return sum
}

// sizeOf is about what a disk would need for the message.
func sizeOf(m *queue.Message) int64 {
	size := 256 + len(m.Request.URI) + len(m.Request.OriginalURI) + len(m.Request.Body)
	for name, values := range m.Request.Header {
		for _, v := range values {
			size += len(name) + len(v)
		}
	}
	return int64(size)
}

func expired(s settled, now time.Time) bool { return !s.Until.IsZero() && !now.Before(s.Until) }

func clonePointer[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}
