// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/caddy-webhook-inbox/inbox/queue"
	"github.com/caddy-webhook-inbox/inbox/queue/queuetest"
)

// Many clients publish, receive, settle and redrive messages of few keys at once.
// However that interleaves, there is an order of their calls, each within its own
// time, in which every key goes this way:
//
//	unknown ──▶ waiting ──▶ in flight ──▶ settled
//	               ▲ ▲          │ │
//	               │ └── Nack ──┘ └─ Bury ─▶ dead
//	               └──── redriven, revived ───┘
//
// A key that is forgotten, a message that is handed out to two, or a settlement that
// does not hold makes an end of that.
func TestPublishingAndSettlingAreLinearizable(t *testing.T) {
	for name, open := range linearEngines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			random := seeded(t)
			for range rounds(1, 200) {
				q := open(t)
				if !linearizable(t, useFromManySides(t, q, random)) {
					t.Fatal("there is no order in which these calls make sense")
				}
			}
		})
	}
}

func TestAnEngineThatIsBrokenIsNotLinearizable(t *testing.T) {
	for name, broken := range map[string]func(queue.Queue) queue.Queue{
		"forgets keys":       func(q queue.Queue) queue.Queue { return keyless{q} },
		"hands out twice":    func(q queue.Queue) queue.Queue { return &twice{Queue: q} },
		"acks and hands out": func(q queue.Queue) queue.Queue { return unsettled{q} },
	} {
		for engine, open := range linearEngines() {
			t.Run(name+"/"+engine, func(t *testing.T) {
				t.Parallel()
				random := seeded(t)
				// A fault shows only if a client comes by where it was. All but every
				// history has such a one, and a machine that stands still has fewer.
				for range 20 {
					if !linearizable(t, useFromManySides(t, broken(open(t)), random)) {
						return
					}
				}
				t.Error("it passes for linearizable, twenty times")
			})
		}
	}
}

func linearEngines() map[string]func(t *testing.T) queue.Queue {
	return map[string]func(t *testing.T) queue.Queue{
		"badger": func(t *testing.T) queue.Queue { return openTest(t, Options{}) },
		"memory": func(*testing.T) queue.Queue { return queuetest.NewMemory() },
	}
}

// keyless loses the keys of one message in ten.
type keyless struct{ queue.Queue }

func (q keyless) Publish(ctx context.Context, p queue.Publication) (queue.Receipt, error) {
	if rand.IntN(10) == 0 {
		p.Keys = nil
	}
	return q.Queue.Publish(ctx, p)
}

// twice hands out one delivery in ten once more.
type twice struct {
	queue.Queue
	mu   sync.Mutex
	last queue.Delivery
}

func (q *twice) Receive(ctx context.Context, endpoint string, lease time.Duration) (queue.Delivery, error) {
	q.mu.Lock()
	last := q.last
	q.mu.Unlock()
	if last.Message != nil && rand.IntN(10) == 0 {
		return last, nil
	}
	d, err := q.Queue.Receive(ctx, endpoint, lease)
	if err == nil {
		q.mu.Lock()
		q.last = d
		q.mu.Unlock()
	}
	return d, err
}

// unsettled forgets one ack in three: the message is ready again.
type unsettled struct{ queue.Queue }

func (q unsettled) Receive(ctx context.Context, endpoint string, lease time.Duration) (queue.Delivery, error) {
	d, err := q.Queue.Receive(ctx, endpoint, lease)
	d.Lease = forgetfulLease{d.Lease}
	return d, err
}

type forgetfulLease struct{ queue.Lease }

func (l forgetfulLease) Ack(keep time.Duration) error {
	if rand.IntN(3) == 0 {
		return l.Nack(0, queue.History{Attempts: 1})
	}
	return l.Lease.Ack(keep)
}

// A call is what one client asked for, and a reply what came back.
type call struct {
	do  string
	key string
	id  queue.ID // of the message, if it is about one that is known
}

type reply struct {
	outcome queue.Outcome
	id      queue.ID
	missing bool // there is no such dead letter
}

// useFromManySides uses a queue and returns what was called and replied. What each
// client tries is random, and a seed repeats it.
func useFromManySides(t *testing.T, q queue.Queue, random *rand.Rand) []porcupine.Operation {
	t.Helper()
	const clients, calls = 8, 250
	var all sync.WaitGroup
	histories := make([][]porcupine.Operation, clients)
	s := &sides{q: q, began: time.Now()}
	for n := range clients {
		c := &client{sides: s, t: t, number: n, random: rand.New(rand.NewPCG(random.Uint64(), 0))}
		all.Go(func() {
			for range calls {
				c.step()
			}
			histories[n] = c.history
		})
	}
	all.Wait()
	var history []porcupine.Operation
	for _, h := range histories {
		history = append(history, h...)
	}
	t.Logf("%d calls", len(history))
	return history
}

// sides is what the clients share: what is dead, and how far the keys are.
type sides struct {
	q     queue.Queue
	began time.Time

	mu      sync.Mutex
	buried  []call
	settled int
}

type client struct {
	*sides
	t       *testing.T
	number  int
	random  *rand.Rand
	history []porcupine.Operation
}

func (c *client) step() {
	switch n := c.random.IntN(20); {
	case n < 8:
		c.publish()
	case n < 17:
		c.deliver(n == 16)
	case n == 17:
		// It changes nothing of this, whatever it rewrites.
		if err := c.q.MakeReady(c.t.Context(), "here", nil); err != nil {
			c.t.Error(err)
		}
	default:
		c.admin(n == 19)
	}
}

// note does something and notes when.
func (c *client) note(in call, do func() (reply, error)) {
	c.t.Helper()
	op := porcupine.Operation{ClientId: c.number, Input: in, Call: int64(time.Since(c.began))}
	out, err := do()
	op.Output, op.Return = out, int64(time.Since(c.began))
	if err != nil {
		c.t.Errorf("%s: %v", in.do, err)
		return
	}
	c.history = append(c.history, op)
}

// publish takes one of eight keys, which change as messages are settled for good.
func (c *client) publish() {
	c.mu.Lock()
	name := string(rune('a' + c.random.IntN(8) + c.settled))
	c.mu.Unlock()
	m := sender.Message("here")
	m.Scheme = name
	c.note(call{do: "publish", key: name, id: m.ID}, func() (reply, error) {
		r, err := c.q.Publish(c.t.Context(), queue.Publication{Message: m, Keys: []queue.Key{queuetest.Key(name, time.Hour)}})
		return reply{outcome: r.Outcome, id: r.ID}, err
	})
}

func (c *client) deliver(probe bool) {
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Millisecond)
	defer cancel()
	op := porcupine.Operation{ClientId: c.number, Call: int64(time.Since(c.began))}
	var d queue.Delivery
	var err error
	if probe {
		d, err = c.q.Probe(ctx, "here", queue.Pick{Newest: c.random.IntN(2) == 0}, time.Hour)
	} else {
		d, err = c.q.Receive(ctx, "here", time.Hour)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return
	}
	op.Return = int64(time.Since(c.began))
	if err != nil {
		c.t.Error(err)
		return
	}
	key, id := d.Message.Scheme, d.Message.ID
	op.Input, op.Output = call{do: "receive", key: key}, reply{id: id}
	c.history = append(c.history, op)
	c.settle(d, call{key: key, id: id})
}

// settle settles a delivery. One that was settled before does not count: it is
// another client's.
func (c *client) settle(d queue.Delivery, in call) {
	h := queue.History{Attempts: d.History.Attempts + 1}
	done := func(err error) (reply, error) {
		if errors.Is(err, queue.ErrLeaseLost) {
			err = nil
		}
		return reply{}, err
	}
	switch c.random.IntN(6) {
	case 0, 1:
		in.do = "ack"
		c.note(in, func() (reply, error) { return done(d.Lease.Ack(time.Duration(c.random.IntN(2)) * time.Hour)) })
		c.mu.Lock()
		c.settled++
		c.mu.Unlock()
	case 2, 3:
		in.do = "nack"
		c.note(in, func() (reply, error) { return done(d.Lease.Nack(0, h)) })
	default:
		in.do = "bury"
		c.note(in, func() (reply, error) { return done(d.Lease.Bury("gone", h, time.Hour)) })
		c.mu.Lock()
		c.buried = append(c.buried, in)
		c.mu.Unlock()
	}
}

// admin does something to one of those that were buried last.
func (c *client) admin(discard bool) {
	c.mu.Lock()
	var in call
	if n := len(c.buried); n > 0 {
		in = c.buried[n-1-c.random.IntN(min(n, 6))]
	}
	c.mu.Unlock()
	if in.do == "" {
		return
	}
	in.do = "redrive"
	do := c.q.Redrive
	if discard {
		in.do, do = "discard", c.q.Discard
	}
	c.note(in, func() (reply, error) {
		err := do(c.t.Context(), "here", in.id)
		if errors.Is(err, queue.ErrNotFound) {
			return reply{missing: true}, nil
		}
		return reply{}, err
	})
}
