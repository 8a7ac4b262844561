// SPDX-License-Identifier: Apache-2.0

package queuetest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// seedVariable names the environment variable that repeats a random test.
const seedVariable = "QUEUETEST_SEED"

func randomPromises() []promise {
	return []promise{
		{name: "any sequence of operations does what a simple model says", test: func(f *fixture) {
			seed := rand.Uint64()
			if s := os.Getenv(seedVariable); s != "" {
				var err error
				seed, err = strconv.ParseUint(s, 10, 64)
				f.ok(err)
			}
			f.Logf("repeat with %s=%d", seedVariable, seed)
			steps := 250
			if f.engine.Bubble {
				steps = 1500
			}
			w := &walk{fixture: f, rand: rand.New(rand.NewPCG(seed, 0)), keys: make(map[byte]*walked)}
			for n := range steps {
				w.at = fmt.Sprintf("step %d of seed %d", n, seed)
				w.step()
				w.check()
			}
		}},
	}
}

// A walk does random things to one endpoint and knows what must come of them.
// All windows and delays are longer than the test, or none.
type walk struct {
	*fixture
	rand *rand.Rand
	at   string

	all    []*walked        // in order of arrival
	keys   map[byte]*walked // holders of keys
	outage *queue.Outage
}

// A walked is a message of the walk.
type walked struct {
	message  *queue.Message
	delivery queue.Delivery
	history  queue.History
	state    walkedState
	nacked   bool // since it arrived
	keys     []byte
}

type walkedState int

const (
	isReady walkedState = iota + 1
	isBackingOff
	isInFlight
	isDead
	isKept
	isGone
)

func (w *walk) step() {
	switch w.rand.IntN(20) {
	case 0, 1, 2, 3:
		w.publish()
	case 4, 5, 6, 7:
		w.receive()
	case 8, 9, 10, 11, 12:
		w.settle()
	case 13:
		w.makeReady()
	case 14:
		w.probe()
	case 15:
		w.redrive()
	case 16:
		w.discard()
	case 17:
		w.forget()
	case 18:
		w.outage = &queue.Outage{Since: time.Now().Round(0), Probes: w.rand.IntN(9)}
		w.ok(w.SetOutage(w.Context(), here, w.outage))
	case 19:
		if w.rand.IntN(4) == 0 {
			w.restart()
		}
	}
}

// restart opens the queue anew. A probe that was in flight may be backing off
// again: that is not said, so all are made ready.
func (w *walk) restart() {
	w.reopen()
	w.ok(w.MakeReady(w.Context(), here, nil))
	for _, m := range w.of(isInFlight, isBackingOff) {
		m.state = isReady
	}
}

// check compares the statistics, and the lists now and then.
func (w *walk) check() {
	w.Helper()
	want := queue.Stats{
		InFlight: int64(len(w.of(isInFlight))),
		Dead:     int64(len(w.of(isDead))),
		Kept:     int64(len(w.of(isKept))),
	}
	for _, m := range w.of(isReady, isBackingOff, isInFlight) {
		want.Waiting++
		if m.nacked {
			want.Retrying++
		}
	}
	got := w.stats(here)
	got.Bytes, got.Oldest = 0, time.Time{}
	if got != want {
		w.Fatalf("%s: statistics are\n     %+v\nwant %+v", w.at, got, want)
	}
	if w.rand.IntN(20) == 0 {
		w.list(w.dead(here), isDead)
		w.list(w.kept(here), isKept)
		w.outageIs(here, w.outage)
	}
}

func (w *walk) list(got []queue.Settled, state walkedState) {
	w.Helper()
	want := make(map[queue.ID]bool)
	for _, m := range w.of(state) {
		want[m.message.ID] = true
	}
	for _, s := range got {
		if !want[s.Message.ID] {
			w.Fatalf("%s: %s is listed twice or wrongly", w.at, s.Message.ID)
		}
		delete(want, s.Message.ID)
	}
	if len(want) > 0 {
		w.Fatalf("%s: %d messages are not listed", w.at, len(want))
	}
}

func (w *walk) publish() {
	m := &walked{message: w.Message(here), state: isReady}
	if w.rand.IntN(30) == 0 {
		m.message.Request.Body = noise(1 << 20)
	}
	var keys []queue.Key
	for range w.rand.IntN(3) {
		if k := byte(w.rand.IntN(40)); !slices.Contains(m.keys, k) {
			m.keys = append(m.keys, k)
			keys = append(keys, w.key(k))
		}
	}
	want := queue.Accepted
	var first []queue.ID
	var replaced []*walked
	for _, k := range m.keys {
		switch holder := w.keys[k]; {
		case holder == nil:
		case holder.state != isDead:
			want = queue.Duplicate
			first = append(first, holder.message.ID)
		default:
			replaced = append(replaced, holder)
		}
	}
	if want == queue.Accepted && len(replaced) > 0 {
		want = queue.Revived
	}
	r, err := w.Publish(w.Context(), queue.Publication{Message: m.message, Keys: keys})
	w.ok(err)
	if r.Outcome != want {
		w.Fatalf("%s: outcome is %d, want %d", w.at, r.Outcome, want)
	}
	if want == queue.Duplicate {
		if !slices.Contains(first, r.ID) {
			w.Fatalf("%s: the receipt names %s, want one of %v", w.at, r.ID, first)
		}
		return
	}
	for _, d := range replaced {
		w.erase(d)
	}
	for _, k := range m.keys {
		w.keys[k] = m
	}
	w.all = append(w.all, m)
}

func (w *walk) receive() {
	ready := w.of(isReady)
	if len(ready) == 0 {
		w.nothing(here)
		return
	}
	d := w.take(here)
	// Those that were nacked come first. Their order among themselves is that of
	// their due times, of which the walk knows nothing.
	var nacked []*walked
	for _, m := range ready {
		if m.nacked {
			nacked = append(nacked, m)
		}
	}
	if len(nacked) == 0 {
		nacked = ready[:1]
	}
	w.took(d, nacked)
}

func (w *walk) probe() {
	waits := w.of(isReady, isBackingOff)
	if len(waits) == 0 {
		return
	}
	pick := queue.Pick{Newest: w.rand.IntN(2) == 0}
	left := slices.Clone(waits)
	for range w.rand.IntN(4) {
		m := waits[w.rand.IntN(len(waits))]
		pick.Except = append(pick.Except, m.message.ID)
		left = slices.DeleteFunc(left, func(l *walked) bool { return l == m })
	}
	if len(left) == 0 {
		left = waits
	}
	want := left[0]
	if pick.Newest {
		want = left[len(left)-1]
	}
	d, err := w.Probe(w.Context(), here, pick, lease1h)
	w.ok(err)
	w.took(d, []*walked{want})
}

func (w *walk) took(d queue.Delivery, anyOf []*walked) {
	w.Helper()
	for _, m := range anyOf {
		if m.message.ID == d.Message.ID {
			w.identical(d.Message, m.message)
			if d.History != m.history {
				w.Fatalf("%s: history is %+v, want %+v", w.at, d.History, m.history)
			}
			m.state, m.delivery = isInFlight, d
			return
		}
	}
	w.Fatalf("%s: handed out %s, want one of %d others", w.at, d.Message.ID, len(anyOf))
}

func (w *walk) settle() {
	m := w.any(isInFlight)
	if m == nil {
		return
	}
	h := queue.History{
		Attempts:  m.history.Attempts + 1,
		Failures:  m.history.Failures + w.rand.IntN(2),
		Delayed:   m.history.Delayed + time.Duration(w.rand.IntN(1000))*time.Second,
		LastError: fmt.Sprintf("status %d", 400+w.rand.IntN(200)),
	}
	l := m.delivery.Lease
	switch w.rand.IntN(6) {
	case 0:
		w.ok(l.Ack(0))
		m.state = isGone
	case 1:
		w.ok(l.Ack(w.units(10_000)))
		m.state = isKept
	case 2:
		w.ok(l.Bury("gone", h, w.units(10_000)))
		m.state, m.history = isDead, h
	case 3:
		w.ok(l.Nack(0, h))
		m.state, m.history, m.nacked = isReady, h, true
	default:
		w.ok(l.Nack(w.units(10_000), h))
		m.state, m.history, m.nacked = isBackingOff, h, true
	}
	w.fails(l.Ack(0), queue.ErrLeaseLost)
}

func (w *walk) makeReady() {
	var refunds []queue.Refund
	waits := w.of(isBackingOff, isReady)
	if len(waits) > 0 && w.rand.IntN(2) == 0 {
		m := waits[w.rand.IntN(len(waits))]
		if m.nacked && m.history.Failures > 0 {
			r := queue.Refund{ID: m.message.ID, Failures: 1, Delayed: m.history.Delayed / 2}
			refunds = append(refunds, r)
			m.history.Failures--
			m.history.Delayed -= r.Delayed
		}
	}
	w.ok(w.MakeReady(w.Context(), here, refunds))
	for _, m := range w.of(isBackingOff) {
		m.state = isReady
	}
}

func (w *walk) redrive() {
	m := w.any(isDead)
	if m == nil {
		w.fails(w.Redrive(w.Context(), here, w.Message(here).ID), queue.ErrNotFound)
		return
	}
	w.ok(w.Redrive(w.Context(), here, m.message.ID))
	m.state, m.history, m.nacked = isReady, queue.History{}, false
	w.all = append(slices.DeleteFunc(w.all, func(o *walked) bool { return o == m }), m)
	for _, k := range m.keys {
		if w.keys[k] == nil {
			w.keys[k] = m
		}
	}
}

func (w *walk) discard() {
	m := w.any(isDead)
	if m == nil {
		w.fails(w.Discard(w.Context(), here, w.Message(here).ID), queue.ErrNotFound)
		return
	}
	w.ok(w.Discard(w.Context(), here, m.message.ID))
	w.erase(m)
}

// forget forgets a key. Whether that of a dead letter is known is not said.
func (w *walk) forget() {
	k := byte(w.rand.IntN(40))
	holder := w.keys[k]
	if holder != nil && holder.state == isDead {
		return
	}
	err := w.Forget(w.Context(), here, queue.KeyID, w.key(k).Hash)
	if holder == nil {
		w.fails(err, queue.ErrNotFound)
		return
	}
	w.ok(err)
	delete(w.keys, k)
}

func (w *walk) erase(m *walked) {
	m.state = isGone
	for k, holder := range w.keys {
		if holder == m {
			delete(w.keys, k)
		}
	}
}

func (w *walk) key(k byte) queue.Key { return Key(string(k), w.units(10_000)) }

// of returns the messages in one of the states, in order of arrival.
func (w *walk) of(states ...walkedState) []*walked {
	var found []*walked
	for _, m := range w.all {
		if slices.Contains(states, m.state) {
			found = append(found, m)
		}
	}
	return found
}

func (w *walk) any(state walkedState) *walked {
	found := w.of(state)
	if len(found) == 0 {
		return nil
	}
	return found[w.rand.IntN(len(found))]
}
