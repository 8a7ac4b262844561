// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// tight is so little memory that almost all is on disk only.
var tight = budgets{all: 40_000, endpoint: 10_000, count: 8, load: 4, retries: 6}

func (s *scheduler) inMemory() (bytes int64, fresh, retries int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.endpoints {
		fresh += len(e.line.buffer)
		retries += len(e.line.retries)
	}
	return s.buffered, fresh, retries
}

func TestMemoryStaysWithinItsBudgetsWhateverWaits(t *testing.T) {
	t.Parallel()
	q := openTest(t, Options{budgets: tight})
	for i := range 20 {
		give(t, q, fmt.Sprintf("endpoint-%d", i), 50)
	}
	check := func() {
		t.Helper()
		if bytes, _, _ := q.scheduler.inMemory(); bytes > tight.all {
			t.Errorf("%d bytes in memory, the budget is %d", bytes, tight.all)
		}
	}
	check()
	for range 50 {
		for i := range 20 {
			must(t, receive(t, q, fmt.Sprintf("endpoint-%d", i)).Lease.Ack(0))
			check()
		}
	}
}

func TestABacklogCostsNoMoreMemoryThanAFewMessages(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it takes some seconds")
	}
	q := openTest(t, Options{tune: asShipped})
	fill(t, q, 200_000)
	bytes, fresh, _ := q.scheduler.inMemory()
	if b := q.scheduler.budgets; bytes > b.endpoint || fresh > b.count {
		t.Errorf("%d messages of %d bytes in memory", fresh, bytes)
	}
}

func TestMessagesComeInOrderWhateverIsInMemory(t *testing.T) {
	t.Parallel()
	q := openTest(t, Options{budgets: tight})
	given := give(t, q, "here", 100)
	for i, m := range given {
		if i%10 == 0 {
			given = append(given, give(t, q, "here", 3)...)
		}
		d := receive(t, q, "here")
		if d.Message.ID != m.ID {
			t.Fatalf("number %d is %s, want %s", i, d.Message.Request.Body, m.Request.Body)
		}
		must(t, d.Lease.Ack(0))
	}
}

func TestAMessageLargerThanAllBudgetsIsDelivered(t *testing.T) {
	t.Parallel()
	q := openTest(t, Options{budgets: tight})
	var given []*queue.Message
	for range 5 {
		m := large(100_000)
		publish(t, q, queue.Accepted, queue.Publication{Message: m})
		given = append(given, m)
	}
	for _, m := range given {
		if d := receive(t, q, "here"); d.Message.ID != m.ID {
			t.Errorf("received %s", d.Message.ID)
		}
	}
}

func TestRetriesAreDueInOrderWhateverIsInMemory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		q := openTest(t, Options{Dir: dir, budgets: tight})
		const n = 40
		given := give(t, q, "here", n)
		begun := time.Now()
		due := make(map[queue.ID]time.Duration)
		for i, m := range given {
			delay := time.Duration((i*17)%n+1) * time.Minute
			due[m.ID] = delay
			must(t, receive(t, q, "here").Lease.Nack(delay, queue.History{Attempts: 1}))
		}
		for range n {
			d, err := q.Receive(t.Context(), "here", time.Hour)
			must(t, err)
			if late := time.Since(begun) - due[d.Message.ID]; late < 0 || late > time.Second {
				t.Errorf("due after %v, received %v later", due[d.Message.ID], late)
			}
			must(t, d.Lease.Ack(0))
		}
	})
}

func TestNoMessageIsLostOrDoubledUnderLoad(t *testing.T) {
	t.Parallel()
	q := openTest(t, Options{budgets: tight})
	const n = 3000
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() { give(t, q, "here", n/8) })
	}
	var mu sync.Mutex
	acked := make(map[queue.ID]int)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for i := range 8 {
		all.Go(func() {
			for {
				// Some receives are given up at any moment.
				patience := time.Duration(i+1) * time.Millisecond
				c, stop := context.WithTimeout(ctx, patience)
				d, err := q.Receive(c, "here", time.Hour)
				stop()
				if ctx.Err() != nil {
					return
				}
				if err != nil {
					if !errors.Is(err, context.DeadlineExceeded) {
						t.Error(err)
					}
					continue
				}
				if d.History.Attempts < i%3 {
					must(t, d.Lease.Nack(time.Millisecond, queue.History{Attempts: d.History.Attempts + 1}))
					continue
				}
				must(t, d.Lease.Ack(0))
				mu.Lock()
				acked[d.Message.ID]++
				over := len(acked) == n
				mu.Unlock()
				if over {
					cancel()
				}
			}
		})
	}
	all.Wait()
	if len(acked) != n {
		t.Errorf("%d of %d messages were delivered", len(acked), n)
	}
	for id, times := range acked {
		if times != 1 {
			t.Errorf("%s was delivered %d times", id, times)
		}
	}
}

func TestManyIdleEndpointsCostLittle(t *testing.T) {
	t.Parallel()
	q := openTest(t, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for i := range 1000 {
		all.Go(func() {
			if _, err := q.Receive(ctx, fmt.Sprint(i), time.Hour); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		})
	}
	give(t, q, "here", 1)
	receive(t, q, "here")
	cancel()
	all.Wait()
}

func TestWhatIsSettledDuringALoadDoesNotComeBack(t *testing.T) {
	t.Parallel()
	q := openTest(t, Options{})
	given := give(t, q, "here", 3)
	q = reopen(t, q) // now they are on disk only
	e := q.scheduler.endpoint("here")

	q.scheduler.mu.Lock()
	e.line.beginLoad()
	plan := loadPlan{number: e.number.Load(), fresh: true, cursor: e.line.cursor, last: e.line.last, count: 100, bytes: 1 << 20}
	q.scheduler.mu.Unlock()
	read, err := q.read(context.Background(), e, plan)
	must(t, err)
	if len(read.fresh) != 3 {
		t.Fatalf("%d messages were read", len(read.fresh))
	}
	d, err := q.Probe(t.Context(), "here", queue.Pick{Newest: true}, time.Hour)
	must(t, err)
	must(t, d.Lease.Ack(0))
	must(t, q.flush(t.Context()))

	q.scheduler.mu.Lock()
	e.line.takeIn(read, plan)
	e.line.loading = false
	q.scheduler.mu.Unlock()
	for _, m := range given[:2] {
		if d := receive(t, q, "here"); d.Message.ID != m.ID {
			t.Errorf("received %s", d.Message.Request.Body)
		}
	}
	nothing(t, q, "here")
}
