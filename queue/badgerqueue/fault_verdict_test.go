// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-webhook-inbox/inbox/queue"
	promise "github.com/caddy-webhook-inbox/inbox/queue/queuetest/ledger"
)

// content is all of a message that its sender sees again.
func content(t testing.TB, m *queue.Message) []byte {
	t.Helper()
	request := m.Request
	request.Body = append([]byte{}, request.Body...) // none is empty
	text, err := json.Marshal(struct {
		queue.Request
		Scheme     string
		ReceivedAt int64
	}{request, m.Scheme, m.ReceivedAt.UnixMilli()})
	must(t, err)
	return text
}

// A verdict says what became of a past in a directory that was damaged.
type verdict struct {
	err        error // that the directory was not opened with
	reported   []string
	violations []promise.Violation
	later      []promise.Violation // those that are about what came after the damage
}

// broke reports whether an invariant was violated.
func (v verdict) broke(i promise.Invariant) bool {
	return slices.ContainsFunc(v.violations, func(found promise.Violation) bool { return found.Invariant == i })
}

// String says the first of each.
func (v verdict) String() string {
	first := func(n int, all any) string { return fmt.Sprintf("%d, such as %.300v", n, all) }
	text := "opened"
	if v.err != nil {
		text = v.err.Error()
	}
	if n := len(v.reported); n > 0 {
		text += "; reports: " + first(n, v.reported[0])
	}
	if n := len(v.violations); n > 0 {
		text += "; violations: " + first(n, v.violations[0])
	}
	if n := len(v.later); n > 0 {
		text += "; of what came later: " + first(n, v.later[0])
	}
	return text
}

// judge opens a directory that has the past, takes everything out of it, sends
// everything again, and holds what came against the ledger.
func (p *past) judge(t testing.TB, dir string) verdict { return p.judgeAnd(t, dir, nil) }

// judgeAnd is judge that goes on with the directory before it sends everything again.
func (p *past) judgeAnd(t testing.TB, dir string, goOn func(*judging)) (v verdict) {
	t.Helper()
	core, logged := observer.New(zap.ErrorLevel)
	o := p.opts
	o.Dir, o.Logger, o.disk, o.commit = dir, zap.New(core), endlessDisk{}, nil
	q, err := Open(o)
	if err != nil {
		return verdict{err: err}
	}
	j := judging{past: p, t: t, q: q, keys: make(map[queue.ID]string), end: promise.End{Dead: make(map[string]bool)}}
	defer func() {
		if err := j.q.Close(); err != nil {
			v.reported = append(v.reported, fmt.Sprintf("closing: %v", err))
		}
	}()
	l := &promise.Ledger{Noted: 1} // it was all durable
	for _, r := range p.all {
		l.Sent(r.ID.String(), content(t, r.Message))
		if !r.unanswered {
			l.Answered(r.ID.String(), 202)
		}
		for _, a := range r.attempts {
			l.Tried(r.ID.String(), content(t, r.Message), a)
		}
	}
	l.Fault(p.ended, p.ended)

	j.ledger = l
	for _, r := range p.all {
		j.keys[r.ID] = r.ID.String()
	}
	j.drain()
	j.listDead()
	before := l.Check(j.end) // what is sent again is no loss any more
	if goOn != nil {
		goOn(&j)
	}
	j.sendAgain()
	j.drain()
	if goOn != nil {
		j.listDead()
	}
	for range notFound + 1 {
		j.q.scheduler.lookForMissing()
	}
	for _, found := range slices.Concat(before, l.Check(j.end), j.violations) {
		if _, later := j.later[found.Key]; later {
			v.later = append(v.later, found)
		} else {
			v.violations = append(v.violations, found)
		}
	}
	v.reported = j.reported
	if n := q.Lost(); n > 0 {
		v.reported = append(v.reported, fmt.Sprintf("%d commits are lost", n))
	}
	for _, e := range logged.All() {
		v.reported = append(v.reported, e.Message)
	}
	return v
}

type judging struct {
	*past
	t          testing.TB
	q          *Queue
	ledger     *promise.Ledger
	keys       map[queue.ID]string
	end        promise.End
	reported   []string
	violations []promise.Violation
	later      map[string]*queue.Message // what came after the damage, by key
}

// drain delivers all that waits, as far as it can be found.
func (j *judging) drain() {
	j.t.Helper()
	left, gone := int64(0), false
	for {
		if left == 0 {
			if left = stats(j.t, j.q, "here").Waiting; left == 0 {
				return
			}
		}
		d, err := j.receive()
		switch {
		case err == nil:
			left--
		case !errors.Is(err, context.DeadlineExceeded):
			j.reported = append(j.reported, fmt.Sprintf("receiving: %v", err))
			return
		case gone:
			return
		default:
			left, gone = 0, j.missing() > 0
			continue
		}
		j.ledger.Tried(j.keyOf(d.Message.ID), content(j.t, d.Message), attempt(d, 204))
		must(j.t, d.Lease.Ack(0))
	}
}

// keyOf returns the key that a message was sent with. One that nobody sent has none,
// and is known by its id.
func (j *judging) keyOf(id queue.ID) string {
	if key, ok := j.keys[id]; ok {
		return key
	}
	return id.String()
}

func (j *judging) receive() (queue.Delivery, error) {
	ctx, cancel := context.WithTimeout(j.t.Context(), 20*time.Millisecond)
	defer cancel()
	return j.q.Receive(ctx, "here", time.Hour)
}

// missing returns how many messages are counted, and were looked for in vain.
func (j *judging) missing() int64 {
	must(j.t, j.q.flush(j.t.Context())) // what is settled is not counted any more
	e := j.q.scheduler.lookUp("here")
	j.q.scheduler.mu.Lock()
	defer j.q.scheduler.mu.Unlock()
	return e.line.missing()
}

// listDead notes what is dead, and whether that is as it was sent.
func (j *judging) listDead() {
	j.t.Helper()
	for s, err := range j.q.DeadLetters(j.t.Context(), "here", queue.ID{}) {
		if err != nil {
			j.reported = append(j.reported, fmt.Sprintf("listing dead letters: %v", err))
			return
		}
		key := j.keyOf(s.Message.ID)
		sent := j.later[key]
		for _, r := range j.all {
			if r.ID == s.Message.ID {
				sent = r.Message
			}
		}
		j.end.Dead[key] = true
		whole, err := j.q.DeadLetter(j.t.Context(), "here", s.Message.ID)
		switch {
		case err != nil:
			j.reported = append(j.reported, fmt.Sprintf("reading a dead letter: %v", err))
		case s.Reason == "corrupt" || whole.Damaged:
			j.reported = append(j.reported, "a message is buried as corrupt")
			if j.later[key] != nil {
				j.violations = append(j.violations, promise.Violation{Invariant: promise.Loss, Key: key, What: "it cannot be read"})
			}
		case sent != nil && string(content(j.t, whole.Message)) != string(content(j.t, sent)):
			j.violations = append(j.violations, promise.Violation{Invariant: promise.Invention, Key: key, What: "the dead letter was never sent"})
		}
	}
}

// sendAgain sends again what was accepted and is not dead. It is to be a duplicate.
func (j *judging) sendAgain() {
	j.t.Helper()
	for _, r := range j.all {
		if r.dead {
			continue
		}
		again := *r.Message
		again.ID = sender.Message("here").ID
		j.keys[again.ID] = r.ID.String()
		_, err := j.q.Publish(j.t.Context(), queue.Publication{Message: &again, Keys: keyOf(r.ID)})
		if err != nil {
			j.reported = append(j.reported, fmt.Sprintf("publishing: %v", err))
			return
		}
		j.ledger.Answered(r.ID.String(), 202)
	}
}
