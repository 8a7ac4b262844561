// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-webhook-inbox/inbox/queue"
	promise "github.com/caddy-webhook-inbox/inbox/queue/queuetest/ledger"
)

// After the process ended, or was killed, some pages of the journal cannot be read any
// more, of headers, frames or where nothing is yet. The queue is opened; what was
// accepted is delivered as it was sent, or is a dead letter. What comes is accepted and
// delivered, and after another restart nothing more is missed. When the pages can be
// read again and the dead letters are redriven, nothing is missing at all.
//
// What only an unreadable part of the journal has is lost, because the database was
// behind. That is said, and so it is if a delivery is not remembered.
func TestFaultUnreadable(t *testing.T) {
	t.Parallel()
	random := seeded(t)
	for _, ended := range []string{"closed", "killed", "without its log", "uncounted"} {
		p := newPast(t, random)
		dir := p.damageable(ended == "closed")
		for round := range rounds(3, 300) {
			u := unreadable{past: p, disk: newWeakDisk(), whole: ended == "closed"}
			random := rand.New(rand.NewPCG(random.Uint64(), 0))
			t.Run(fmt.Sprintf("%s %d", ended, round), func(t *testing.T) {
				t.Parallel()
				u.dir = t.TempDir()
				copyFiles(t, dir, u.dir)
				if ended == "without its log" || ended == "uncounted" {
					removeLogs(t, u.dir)
				}
				if ended == "uncounted" {
					must(t, os.Remove(filepath.Join(u.dir, commitFileName)))
				}
				for range 1 + random.IntN(3) {
					u.spoilSomewhere(t, random)
				}
				u.lives(t)
			})
		}
	}
}

// The test before would notice an engine that gives up what it cannot read: here by
// discarding the dead letters.
func TestFaultUnreadableNoticesWhatIsGivenUp(t *testing.T) {
	t.Parallel()
	p := newPast(t, seeded(t))
	q := p.open()
	for range 10 {
		p.publish(q, 9000)
	}
	must(t, q.index.flush(t.Context())) // or only the journal has the last of them
	dir := p.kill(q)
	u := unreadable{past: p, disk: newWeakDisk(), dir: dir, whole: true, gaveUp: true}
	u.disk.spoilMessage(t, dir, p.all[3].Message)
	u.lives(t)
	if !slices.ContainsFunc(u.found, func(v promise.Violation) bool { return v.Invariant == promise.Loss }) {
		t.Errorf("not noticed: %v", u.found)
	}
}

func removeLogs(t testing.TB, dir string) {
	t.Helper()
	for _, name := range logs(t, dir) {
		must(t, os.Remove(filepath.Join(dir, filepath.Base(name))))
	}
}

// unreadable is a past of which some cannot be read.
type unreadable struct {
	*past
	disk   *weakDisk
	dir    string
	whole  bool // the index has everything
	gaveUp bool // the dead letters are discarded, in place of redriven
	found  []promise.Violation
}

// spoilSomewhere spoils a page of a segment that is written, or one behind that.
func (u *unreadable) spoilSomewhere(t testing.TB, random *rand.Rand) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(u.dir, "*.segment"))
	must(t, err)
	name := names[random.IntN(len(names))]
	data, err := os.ReadFile(name)
	must(t, err)
	used := len(strings.TrimRight(string(data), "\x00"))
	u.disk.spoil(name, random.Int64N(int64(used)+pageSize))
}

// lives opens the queue several times, and judges what comes out of it.
func (u *unreadable) lives(t testing.TB) {
	t.Helper()
	l := u.asked(t)
	q, logged := u.openWeak(t)
	missed := q.Lost() > 0 || !u.whole && logged.Len() > 0
	must(t, q.Close())
	if q, _ = u.openWeak(t); q.Lost() > 0 {
		t.Errorf("%d commits are missed again at once", q.Lost())
	}
	j := u.judging(t, q, l)
	j.drain()
	j.listDead()
	for s, err := range q.DeadLetters(t.Context(), "here", queue.ID{}) {
		if must(t, err); s.Reason == "corrupt" && !missed {
			t.Errorf("%s is dead as corrupt", s.Message.ID)
		}
	}
	u.judged(t, "at first", missed, append(l.Check(j.end), j.violations...))

	q = u.goesOn(t, q)
	u.disk.heal()
	must(t, q.Close())
	q, logged = u.openWeak(t)
	if q.Lost() > 0 || logged.Len() > 0 {
		t.Errorf("%d commits are missed when all can be read again: %v", q.Lost(), logged.All())
	}
	for s, err := range q.DeadLetters(t.Context(), "here", queue.ID{}) {
		must(t, err)
		switch {
		case s.Reason != "unreadable":
		case u.gaveUp:
			must(t, q.Discard(t.Context(), "here", s.Message.ID))
		default:
			must(t, q.Redrive(t.Context(), "here", s.Message.ID))
		}
	}
	j = u.judging(t, q, l)
	j.drain()
	j.listDead()
	u.found = append(l.Check(j.end), j.violations...)
	if !u.gaveUp {
		u.judged(t, "when all can be read again", missed, u.found)
	}
	if !missed && len(j.end.Dead) > u.dead() {
		t.Errorf("%d messages are dead in the end, want %d", len(j.end.Dead), u.dead())
	}
	must(t, q.Close())
}

// judged checks what broke an invariant. Redriven, attempts are counted anew.
func (u *unreadable) judged(t testing.TB, when string, missed bool, all []promise.Violation) {
	t.Helper()
	for _, v := range all {
		switch v.Invariant {
		case promise.Haste:
		case promise.Invention:
			t.Errorf("%s: %v", when, v)
		case promise.Loss:
			if u.whole || !missed {
				t.Errorf("%s: %v", when, v)
			}
		default:
			if !missed {
				t.Errorf("%s: %v", when, v)
			}
		}
	}
}

// dead counts the messages that the application has rejected.
func (p *past) dead() (n int) {
	for _, r := range p.all {
		if r.dead {
			n++
		}
	}
	return n
}

// asked returns the ledger of the past.
func (u *unreadable) asked(t testing.TB) *promise.Ledger {
	t.Helper()
	l := &promise.Ledger{Noted: 1}
	for _, r := range u.all {
		l.Sent(r.ID.String(), content(t, r.Message))
		l.Answered(r.ID.String(), 202)
		for _, a := range r.attempts {
			l.Tried(r.ID.String(), content(t, r.Message), a)
		}
	}
	l.Fault(u.ended, u.ended)
	return l
}

func (u *unreadable) judging(t testing.TB, q *Queue, l *promise.Ledger) *judging {
	j := &judging{past: u.past, t: t, q: q, ledger: l, keys: make(map[queue.ID]string), end: promise.End{Dead: make(map[string]bool)}}
	for _, r := range u.all {
		j.keys[r.ID] = r.ID.String()
	}
	return j
}

func (u *unreadable) openWeak(t testing.TB) (*Queue, *observer.ObservedLogs) {
	t.Helper()
	core, logged := observer.New(zap.ErrorLevel)
	o := u.opts
	o.Dir, o.Logger, o.readAt = u.dir, zap.New(core), u.disk.ReadAt
	return openTest(t, o), logged
}

// goesOn checks that messages come and go at another endpoint, also after restarts
// that have nothing to do with the journal, and that nothing more is missed.
func (u *unreadable) goesOn(t testing.TB, q *Queue) *Queue {
	t.Helper()
	for range 2 {
		given := giveLong(t, q, "there", 4, 5000)
		delivers(t, q, "there", given[:2]...)
		must(t, q.Close())
		var logged *observer.ObservedLogs
		if q, logged = u.openWeak(t); q.Lost() > 0 {
			t.Errorf("%d commits are missed again: %v", q.Lost(), logged.All())
		}
		delivers(t, q, "there", given[2:]...)
		must(t, q.Close())
		if q, logged = u.openWeak(t); q.Lost() > 0 { // nothing was written but acks
			t.Errorf("%d commits are missed again: %v", q.Lost(), logged.All())
		}
	}
	must(t, q.refresh(t.Context()))
	must(t, q.reclaim(t.Context()))
	return q
}
