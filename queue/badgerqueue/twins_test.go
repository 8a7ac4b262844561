// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
	"github.com/caddy-webhook-inbox/inbox/queue/queuetest"
)

// Twins are an engine and the memory engine, with which the same is done. Which of
// several messages is handed out, the engine chooses, as far as the contract lets it;
// the model has to have it too.
type twins struct {
	t       *testing.T
	seed    uint64
	random  *rand.Rand
	clock   clock
	broken  func(queue.Queue) queue.Queue
	opts    Options
	q       *Queue
	ours    queue.Queue // q, or what is broken of it
	model   *queuetest.Memory
	sets    bool          // the clock; Badger's own is never set, so it all lasts a day at most
	longest time.Duration // that passes at once

	steps, crashes, known int

	fuse   atomic.Int32 // commits until one fails; 0 is never
	stored atomic.Bool  // what the commit that fails has

	endpoints, spare []string
	arrivals         int
	waiting          map[queue.ID]*standing
	held             []*standing
	until            map[keyOfMessage]time.Time
}

// A standing is what the contract says of a waiting message.
type standing struct {
	id       queue.ID
	endpoint string
	arrival  int
	retrying bool // nacked, or moved: it comes before fresh ones
	due      time.Time
	unsure   bool // when it is due: the process was restarted
	moved    bool
	loose    bool // whether it was moved is not known
	tried    int

	flying       bool
	ours, theirs queue.Delivery
}

// A difference is where the engine does not do what the model does.
type difference string

func (w *twins) differs(format string, args ...any) { panic(difference(fmt.Sprintf(format, args...))) }

func newTwins(t *testing.T, dir string, seed uint64, broken func(queue.Queue) queue.Queue) *twins {
	w := &twins{
		t:         t,
		seed:      seed,
		random:    rand.New(rand.NewPCG(seed, 0)),
		broken:    broken,
		model:     queuetest.NewMemory(),
		longest:   4 * time.Hour,
		endpoints: []string{"a", "b", "c"},
		spare:     []string{"d", "e"},
		waiting:   make(map[queue.ID]*standing),
		until:     make(map[keyOfMessage]time.Time),
	}
	if w.random.IntN(4) == 0 {
		w.longest = 30 * time.Hour
	}
	if w.sets = w.random.IntN(2) == 0; w.sets {
		w.longest = 30 * time.Minute
	}
	w.model.Now, w.model.Forgets = w.clock.now, true
	w.opts = Options{
		Dir:     dir,
		Now:     w.clock.now,
		tune:    smaller,
		segment: tiny,
		every:   intervals{disk: time.Minute, sweep: 5 * time.Minute, refresh: 6 * time.Hour, reclaim: 10 * time.Minute},
		commit:  w.commit,
	}
	w.open()
	return w
}

func (w *twins) open() {
	w.q = openTest(w.t, w.opts)
	w.ours = w.q
	if w.broken != nil {
		w.ours = w.broken(w.q)
	}
	if n := w.q.Lost(); n != 0 {
		w.differs("%d commits are said to be lost", n)
	}
}

// commit is the engine's, until the fuse blows: then the process is killed, just
// before the commit is durable or just after.
func (w *twins) commit(b *batch) error {
	if w.fuse.Load() == 0 || w.fuse.Add(-1) > 0 {
		return b.commit()
	}
	if w.stored.Load() {
		return errors.Join(b.commit(), errCrash)
	}
	return errCrash
}

// light lights the fuse.
func (w *twins) light() {
	w.stored.Store(w.random.IntN(2) == 0)
	w.fuse.Store(int32(1 + w.random.IntN(4)))
}

// do does the same with both and compares what comes of it. If the process is killed
// meanwhile, it is done again after the restart.
func (w *twins) do(what string, op func(q queue.Queue) (string, error)) (result string) {
	got, err := op(w.ours)
	if errors.Is(err, queue.ErrUnavailable) {
		w.killed(op)
		return ""
	}
	want, wantErr := op(w.model)
	if named(err) != named(wantErr) {
		w.differs("%s: the error is %v, want %v", what, err, wantErr)
	}
	if got != want {
		w.differs("%s: got %s, want %s", what, got, want)
	}
	if err != nil {
		return ""
	}
	return got
}

// named is what the contract says of an error.
func named(err error) string {
	for _, e := range []error{queue.ErrFull, queue.ErrLeaseLost, queue.ErrNotFound, queue.ErrBusy, queue.ErrClosed} {
		if errors.Is(err, e) {
			return e.Error()
		}
	}
	if err != nil {
		return "another: " + err.Error()
	}
	return ""
}

func (w *twins) endpoint() string { return w.endpoints[w.random.IntN(len(w.endpoints))] }

func (w *twins) publish() {
	m := sender.Message(w.endpoint())
	if w.random.IntN(20) == 0 {
		m.Request.Body = bytes.Repeat([]byte{byte(w.random.Uint32())}, w.random.IntN(100<<10))
	}
	p := queue.Publication{Message: m}
	names := []string{}
	for range 1 + w.random.IntN(3) {
		if name := fmt.Sprint(w.random.IntN(12)); !slices.Contains(names, name) {
			names = append(names, name)
			p.Keys = append(p.Keys, queuetest.Key(name, time.Hour+time.Duration(w.random.Int64N(int64(100*time.Hour)))))
		}
	}
	if w.random.IntN(6) == 0 && w.fuse.Load() == 0 { // without a key it cannot be repeated
		p.Keys, names = nil, nil
	}
	w.record(m.ID, p.Keys)
	m.Scheme = strings.Join(names, ",")
	if w.random.IntN(20) == 0 {
		p.MaxSize = 1
	}
	stored := false
	result := w.do("publishing", func(q queue.Queue) (string, error) {
		if m, ok := q.(*queuetest.Memory); ok && stored {
			w.outlive(m, p)
		}
		r, err := q.Publish(w.t.Context(), p)
		stored = r.ID == m.ID
		return fmt.Sprint(r.Outcome, r.ID), err
	})
	if strings.HasSuffix(result, m.ID.String()) {
		w.arrived(m.ID, m.Endpoint)
	}
}

// outlive lets the model forget keys of dead letters whose windows are over. Whether
// a new message takes the place of such a dead letter is not said: if the engine has
// both, the model is to have both.
func (w *twins) outlive(m *queuetest.Memory, p queue.Publication) {
	ctx, endpoint := w.t.Context(), p.Message.Endpoint
	for d := range m.DeadLetters(ctx, endpoint, queue.ID{}) {
		if _, err := w.q.DeadLetter(ctx, endpoint, d.Message.ID); err != nil {
			continue
		}
		for _, k := range p.Keys {
			if until, ok := w.until[keyOfMessage{d.Message.ID, k.Hash}]; ok && w.clock.now().After(until) {
				_ = m.Forget(ctx, endpoint, k.Kind, k.Hash)
			}
		}
	}
}

// record notes until when the keys of a message are known.
func (w *twins) record(id queue.ID, keys []queue.Key) {
	for _, k := range keys {
		w.until[keyOfMessage{id, k.Hash}] = w.clock.now().Add(k.Window)
	}
}

type keyOfMessage struct {
	id   queue.ID
	hash [32]byte
}

func (w *twins) arrived(id queue.ID, endpoint string) {
	w.arrivals++
	w.waiting[id] = &standing{id: id, endpoint: endpoint, arrival: w.arrivals}
}
