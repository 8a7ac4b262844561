// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/caddy-webhook-inbox/inbox/caddymodule"
	"github.com/caddy-webhook-inbox/inbox/queue"
)

// The mutations that an engine can have, each of which breaks a promise. With none
// of them, or with refuses_some alone, it keeps them all.
const (
	answersBeforeCommit = "answers_before_commit" // stores what it accepts a moment later
	keyBeforeMessage    = "key_before_message"    // remembers, on disk, the key of what it does not store
	forgetsKeys         = "forgets_keys"          // finds no duplicates
	ackBeforeAnswer     = "ack_before_answer"     // acks what it hands out, and ignores what becomes of it
	acksLate            = "acks_late"             // notes a delivery when nothing comes in for a second
	deliversTwice       = "delivers_twice"        // hands out once more what was delivered
	changesAByte        = "changes_a_byte"        // of the body that it hands out
	ignoresBackoff      = "ignores_backoff"       // hands out at once what is to wait
	forgetsAttempts     = "forgets_attempts"      // so that each is the first
	bearsAGrudge        = "bears_a_grudge"        // refuses for ever what it refused once
	answersAfterFailure = "answers_after_failure" // takes it for stored when the disk failed
	oneAtATime          = "one_at_a_time"         // hands out nothing while an attempt is under way, at any endpoint
	clearsWhatFails     = "clears_what_fails"     // begins anew when it cannot open its directory
	refusesSome         = "refuses_some"          // every tenth publication, as a full disk would; breaks nothing
)

// registerBrokenEngine registers the engine only where it is used, so that no test
// finds it.
var registerBrokenEngine = sync.OnceFunc(func() { caddy.RegisterModule(new(brokenEngine)) })

// brokenBy returns the global options of a Caddyfile for s whose engine has the
// mutations. It is for load and for startCaddy.
func (s *server) brokenBy(mutations ...string) string {
	sub := *s
	sub.mutations = append([]string{""}, mutations...)
	return fmt.Sprintf("webhook_inbox {\n\tqueue %s {\n\t\tmin_free_space 64MiB\n\t}\n}", sub.engine())
}

// engine returns the name of the engine and its directory. Without mutations it is
// the one that everybody has.
func (s *server) engine() string {
	if len(s.mutations) == 0 {
		return "badger " + s.dir
	}
	registerBrokenEngine()
	return fmt.Sprintf("broken %q %s", strings.Join(s.mutations, " "), s.dir)
}

// brokenEngine is the Badger engine with mutations.
type brokenEngine struct {
	caddymodule.BadgerEngine

	Mutations []string `json:"mutations,omitempty"`
}

func (*brokenEngine) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "webhook_inbox.queues.broken",
		New: func() caddy.Module { return new(brokenEngine) },
	}
}

// UnmarshalCaddyfile reads
//
//	broken "<mutations…>" [<directory>] { <as of badger> }
func (e *brokenEngine) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // its name
	if !d.NextArg() {
		return d.ArgErr()
	}
	e.Mutations = strings.Fields(d.Val())
	d.Prev() // the rest is that of badger, whose name the mutations stand for
	return e.BadgerEngine.UnmarshalCaddyfile(d)
}

func (e *brokenEngine) Open(o caddymodule.EngineObserver, log *zap.Logger) (queue.Queue, error) {
	q, err := e.BadgerEngine.Open(o, log)
	if err != nil && slices.Contains(e.Mutations, clearsWhatFails) {
		if err := os.RemoveAll(e.Dir()); err != nil {
			return nil, err
		}
		q, err = e.BadgerEngine.Open(o, log)
	}
	if err != nil {
		return nil, err
	}
	keys, err := os.OpenFile(e.Dir()+".keys", os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, errors.Join(err, q.Close())
	}
	known, err := os.ReadFile(keys.Name())
	b := &brokenQueue{Queue: q, mutations: e.Mutations, keys: keys, known: string(known), marked: make(map[string]bool), turn: make(chan struct{}, 1)}
	return b, err
}

func (e *brokenEngine) Configure(q queue.Queue) { e.BadgerEngine.Configure(q.(*brokenQueue).Queue) }

func (e *brokenEngine) Health(q queue.Queue) caddymodule.Health {
	return e.BadgerEngine.Health(q.(*brokenQueue).Queue)
}

// brokenQueue is a queue with mutations.
type brokenQueue struct {
	queue.Queue
	mutations []string
	keys      *os.File      // that keyBeforeMessage knows; survives a kill
	known     string        // what was in it
	turn      chan struct{} // of whose message is out, with oneAtATime

	mu        sync.Mutex
	published int
	last      time.Time
	marked    map[string]bool // messages and keys that a mutation had its way with
}

func (q *brokenQueue) is(mutation string) bool { return slices.Contains(q.mutations, mutation) }

// mark reports whether it is the first time.
func (q *brokenQueue) mark(what string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	first := !q.marked[what]
	q.marked[what] = true
	return first
}

// quiet calls then when nothing was published for a second.
func (q *brokenQueue) quiet(then func()) {
	q.mu.Lock()
	rest := time.Second - time.Since(q.last)
	q.mu.Unlock()
	if rest <= 0 {
		then()
		return
	}
	time.AfterFunc(rest, func() { q.quiet(then) })
}

func (q *brokenQueue) Publish(ctx context.Context, p queue.Publication) (queue.Receipt, error) {
	q.mu.Lock()
	q.published++
	tenth := q.published%10 == 0
	q.last = time.Now()
	q.mu.Unlock()
	key := fmt.Sprintf("%x\n", p.Keys)
	if q.is(keyBeforeMessage) {
		if strings.Contains(q.known, key) || !q.mark(key) {
			return queue.Receipt{Outcome: queue.Duplicate, ID: p.Message.ID}, nil
		}
		if _, err := q.keys.WriteString(key); err != nil {
			return queue.Receipt{}, err
		}
		time.Sleep(5 * time.Millisecond) // in which a kill may come
		p.Keys = nil
	}
	if q.is(forgetsKeys) {
		p.Keys = nil
	}
	if q.is(refusesSome) && tenth || q.is(bearsAGrudge) && (q.grudge(key) || tenth && q.mark(key)) {
		return queue.Receipt{}, queue.ErrFull
	}
	if q.is(answersBeforeCommit) {
		time.AfterFunc(50*time.Millisecond, func() { _, _ = q.Queue.Publish(context.WithoutCancel(ctx), p) })
		return queue.Receipt{Outcome: queue.Accepted, ID: p.Message.ID}, nil
	}
	r, err := q.Queue.Publish(ctx, p)
	if err != nil && q.is(answersAfterFailure) {
		return queue.Receipt{Outcome: queue.Accepted, ID: p.Message.ID}, nil
	}
	return r, err
}

// grudge reports whether the key is marked.
func (q *brokenQueue) grudge(key string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.marked[key]
}

func (q *brokenQueue) Receive(ctx context.Context, endpoint string, lease time.Duration) (queue.Delivery, error) {
	d, err := q.Queue.Receive(ctx, endpoint, lease)
	if err != nil {
		return d, err
	}
	return q.broken(ctx, d)
}

func (q *brokenQueue) Probe(ctx context.Context, endpoint string, pick queue.Pick, lease time.Duration) (queue.Delivery, error) {
	d, err := q.Queue.Probe(ctx, endpoint, pick, lease)
	if err != nil {
		return d, err
	}
	return q.broken(ctx, d)
}

func (q *brokenQueue) broken(ctx context.Context, d queue.Delivery) (queue.Delivery, error) {
	if q.is(oneAtATime) {
		select {
		case q.turn <- struct{}{}:
		case <-ctx.Done():
			return queue.Delivery{}, errors.Join(ctx.Err(), d.Lease.Nack(0, d.History))
		}
	}
	l := brokenLease{d.Lease, q, d.Message.ID.String(), d.History}
	d.Lease = l
	if n := len(d.Message.Request.Body); n > 0 && q.is(changesAByte) {
		changed := *d.Message
		changed.Request.Body = slices.Clone(changed.Request.Body)
		changed.Request.Body[n-1] ^= 1
		d.Message = &changed
	}
	if q.is(ackBeforeAnswer) {
		return d, l.Lease.Ack(0)
	}
	return d, nil
}

func (q *brokenQueue) Close() error { return errors.Join(q.Queue.Close(), q.keys.Close()) }

// brokenLease is the hold on a message of a brokenQueue.
type brokenLease struct {
	queue.Lease
	q       *brokenQueue
	id      string
	history queue.History
}

// passOn ends the turn.
func (l brokenLease) passOn() {
	select {
	case <-l.q.turn:
	default: // without oneAtATime
	}
}

func (l brokenLease) Ack(keep time.Duration) error {
	defer l.passOn()
	switch {
	case l.q.is(ackBeforeAnswer):
		return nil
	case l.q.is(deliversTwice) && l.q.mark(l.id):
		l.history.Attempts++
		return l.Lease.Nack(0, l.history)
	case l.q.is(acksLate):
		l.q.quiet(func() { _ = l.Lease.Ack(keep) })
		return nil
	}
	return l.Lease.Ack(keep)
}

func (l brokenLease) Nack(delay time.Duration, h queue.History) error {
	defer l.passOn()
	if l.q.is(ackBeforeAnswer) {
		return nil
	}
	if l.q.is(ignoresBackoff) {
		delay = 0
	}
	if l.q.is(forgetsAttempts) {
		h.Attempts = 0
	}
	return l.Lease.Nack(delay, h)
}

func (l brokenLease) Bury(reason string, h queue.History, keep time.Duration) error {
	defer l.passOn()
	if l.q.is(ackBeforeAnswer) {
		return nil
	}
	return l.Lease.Bury(reason, h, keep)
}

var (
	_ caddymodule.Engine         = (*brokenEngine)(nil)
	_ caddymodule.HealthReporter = (*brokenEngine)(nil)
	_ caddyfile.Unmarshaler      = (*brokenEngine)(nil)
)
