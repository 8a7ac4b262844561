// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/caddy-webhook-inbox/inbox/queue"
	"github.com/caddy-webhook-inbox/inbox/queue/queuetest"
)

// still is a keeper that does nothing on its own.
var still = intervals{disk: time.Hour, sweep: time.Hour, refresh: time.Hour, reclaim: time.Hour}

// A latch holds commits up. It is open at first.
type latch struct {
	shut    chan struct{} // holds one; the next commit takes it
	reached chan struct{} // by a commit, which then waits
	opened  chan struct{}
	open    func() // closes opened
}

func newLatch() *latch {
	l := &latch{shut: make(chan struct{}, 1), reached: make(chan struct{}), opened: make(chan struct{})}
	l.open = sync.OnceFunc(func() { close(l.opened) })
	return l
}

func (l *latch) commit(b *batch) error {
	select {
	case <-l.shut:
		l.reached <- struct{}{}
		<-l.opened
	default:
	}
	return b.commit()
}

// cancelled runs an operation whose ctx is done while its commit is under way,
// and returns when it has no choice but to wait for that.
func (l *latch) cancelled(t *testing.T, q *Queue, endpoint string, do func(ctx context.Context) error) <-chan error {
	t.Helper()
	t.Cleanup(l.open)
	must(t, q.flush(t.Context()))
	for !q.committer.idle() {
		runtime.Gosched()
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	l.shut <- struct{}{}
	ended := make(chan error, 1)
	go func() { ended <- do(ctx) }()
	<-l.reached
	cancel()
	nothing(t, q, endpoint)
	return ended
}

func TestACancelledMoveDeliversNoMessageTwiceAndLosesNone(t *testing.T) {
	t.Parallel()
	l := newLatch()
	q := openTest(t, Options{commit: l.commit, every: still})
	m := give(t, q, "from", 1)[0]
	ended := l.cancelled(t, q, "from", func(ctx context.Context) error {
		_, err := q.Move(ctx, "from", "to")
		return err
	})
	l.open()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if d := receive(t, q, "to"); d.Message.ID != m.ID {
		t.Errorf("received %s", d.Message.ID)
	}
	nothing(t, q, "from")
	if s := stats(t, q, "from"); s != (queue.Stats{}) {
		t.Errorf("statistics are %+v", s)
	}
	last := give(t, q, "from", 1)[0]
	q = reopen(t, q)
	if d := receive(t, q, "from"); d.Message.ID != last.ID {
		t.Errorf("received %s", d.Message.ID)
	}
}

func TestAMessageThatIsBeingMadeReadyIsNotHandedOutBefore(t *testing.T) {
	t.Parallel()
	l := newLatch()
	q := openTest(t, Options{commit: l.commit, every: still})
	give(t, q, "here", 1)
	must(t, receive(t, q, "here").Lease.Nack(time.Millisecond, queue.History{Attempts: 1}))
	ended := l.cancelled(t, q, "here", func(ctx context.Context) error {
		return q.MakeReady(ctx, "here", nil)
	})
	l.open()
	if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	must(t, receive(t, q, "here").Lease.Nack(time.Hour, queue.History{Attempts: 2}))
	must(t, q.flush(t.Context()))
	if n := count(t, q, tableDue); n != 1 {
		t.Errorf("%d places for one message", n)
	}
	nothing(t, reopen(t, q), "here")
}

func TestWhatTheCountersDoNotCountIsDeliveredAllTheSame(t *testing.T) {
	t.Parallel()
	q := openTest(t, Options{})
	given := give(t, q, "here", 2)
	must(t, receive(t, q, "here").Lease.Nack(time.Millisecond, queue.History{Attempts: 1}))
	must(t, q.Close())
	edit(t, q.opts, func(tx *badger.Txn) error {
		value, _, err := get(tx, countersKey(1))
		if err != nil {
			return err
		}
		c, err := decodeCounters(value)
		if err != nil {
			return err
		}
		c.waiting, c.retrying = 0, -1
		return tx.Set(countersKey(1), c.encode())
	})
	q = openTest(t, q.opts)
	for range given {
		receive(t, q, "here")
	}
}

func TestALoadUnderWayWhenALineIsPausedIsDiscarded(t *testing.T) {
	t.Parallel()
	q := openTest(t, Options{})
	given := give(t, q, "here", 1)
	must(t, q.Close())
	damage(t, q.opts.Dir, given[0].Request.Body)
	q = openTest(t, q.opts)
	e := q.scheduler.lookUp("here")
	q.scheduler.mu.Lock()
	e.line.beginLoad()
	q.scheduler.mu.Unlock()
	q.scheduler.pause(e)
	must(t, q.load(context.Background(), e))
	if _, busy := q.scheduler.movable(e); busy {
		t.Error("the broken message is being buried while places change")
	}
	q.scheduler.resume(e)
}

func TestWhatArrivesWithTheEndOfAMoveIsCounted(t *testing.T) {
	t.Parallel()
	q := openTest(t, Options{})
	give(t, q, "here", 1)
	must(t, receive(t, q, "here").Lease.Ack(0))
	must(t, q.flush(t.Context()))
	e := q.scheduler.lookUp("here")
	m := sender.Message("here")
	q.scheduler.pause(e)
	p := &publication{
		q: q, endpoint: e, message: m, size: 1,
		record:   (&messageRecord{message: m}).encode(),
		finished: make(chan struct{}),
	}
	must(t, q.changePlaces(t.Context(), &change{
		write: func(b *batch) error {
			b.retire(e)
			return p.apply(b)
		},
		durable: func() {
			q.scheduler.retired(e)
			p.done(nil)
		},
	}))
	q.scheduler.resume(e)
	if s := stats(t, q, "here"); s.Waiting != 1 {
		t.Errorf("statistics are %+v", s)
	}
}

func TestWhatMovedBeforeMovesAgain(t *testing.T) {
	t.Parallel()
	q := openTest(t, Options{})
	m := give(t, q, "a", 1)[0]
	for _, names := range [][2]string{{"a", "b"}, {"b", "c"}, {"c", "a"}} {
		n, err := q.Move(t.Context(), names[0], names[1])
		must(t, err)
		if n != 1 {
			t.Fatalf("%d messages moved from %s to %s", n, names[0], names[1])
		}
	}
	if d := receive(t, q, "a"); d.Message.ID != m.ID {
		t.Errorf("received %s", d.Message.ID)
	}
}

func TestAMessageMovesWithItsKeys(t *testing.T) {
	t.Parallel()
	var c clock
	l := newLatch()
	q := openTest(t, Options{Now: c.now, commit: l.commit, every: still})
	p := func(endpoint, key string) queue.Publication {
		return queue.Publication{Message: sender.Message(endpoint), Keys: []queue.Key{queuetest.Key(key, time.Hour)}}
	}
	publish(t, q, queue.Accepted, p("from", "dead"))
	must(t, receive(t, q, "from").Lease.Bury("gone", queue.History{}, 0))
	publish(t, q, queue.Accepted, p("from", "waiting"))
	c.set(2 * time.Hour) // the windows are over
	ended := l.cancelled(t, q, "from", func(ctx context.Context) error {
		_, err := q.Move(ctx, "from", "to")
		return err
	})
	l.open()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	publish(t, q, queue.Duplicate, p("to", "waiting"))
	n, err := q.Move(t.Context(), "from", "to")
	must(t, err)
	if n != 1 {
		t.Errorf("%d messages were left to move", n)
	}
	publish(t, q, queue.Duplicate, p("to", "waiting"))
	publish(t, q, queue.Revived, p("to", "dead"))
	publish(t, q, queue.Accepted, p("from", "waiting"))
}

func TestOfTwoMessagesWithAKeyTheOneThatIsDeadGivesWay(t *testing.T) {
	t.Parallel()
	for _, dead := range []string{"from", "to"} {
		var c clock
		q := openTest(t, Options{Now: c.now, every: still})
		p := func(endpoint string) queue.Publication {
			return queue.Publication{Message: sender.Message(endpoint), Keys: []queue.Key{queuetest.Key("k", time.Hour)}}
		}
		alive := map[string]string{"from": "to", "to": "from"}[dead]
		publish(t, q, queue.Accepted, p(alive))
		c.set(time.Minute)
		publish(t, q, queue.Accepted, p(dead))
		must(t, receive(t, q, dead).Lease.Bury("gone", queue.History{}, 0))
		_, err := q.Move(t.Context(), "from", "to")
		must(t, err)
		publish(t, q, queue.Duplicate, p("to"))
	}
}

func TestAKeyOfTwoMessagesIsKnownForAsLongAsBothSay(t *testing.T) {
	t.Parallel()
	begun := time.Now()
	holder := func(seq uint64, c claim, hours int) keyHolder {
		return keyHolder{keyRecord: keyRecord{seq: seq, expiry: begun.Add(time.Duration(hours) * time.Hour)}, claim: c, dropped: int64(hours)}
	}
	for _, test := range []struct {
		name string
		a, b keyHolder
		want keyHolder
	}{
		{"the later window", holder(1, claimWindow, 1), holder(2, claimWindow, 2), holder(2, claimWindow, 2)},
		{"one that waits, and the longer window", holder(1, claimWaits, 1), holder(2, claimWindow, 2), holder(1, claimWaits, 2)},
		{"not that of a dead letter", holder(1, claimWindow, 1), holder(2, claimDead, 2), holder(1, claimWindow, 1)},
		{"a dead letter rather than nothing", holder(1, claimDead, 1), holder(2, claimOver, 2), holder(1, claimDead, 1)},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, got := range []keyHolder{test.a.or(test.b), test.b.or(test.a)} {
				if got != test.want {
					t.Errorf("got %+v, want %+v", got, test.want)
				}
			}
		})
	}
}
