// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

func TestWhatIsInTheDatabaseIsErasedThere(t *testing.T) {
	t.Parallel()
	q := openTest(t, Options{})
	give(t, q, "here", 3)
	must(t, q.index.flush(context.Background())) // the places are in the database
	first := receive(t, q, "here")
	must(t, receive(t, q, "here").Lease.Ack(0))
	must(t, q.flush(t.Context()))
	if n := count(t, q, tableFresh); n != 2 {
		t.Errorf("%d places are in the database, want 2", n)
	}
	must(t, first.Lease.Ack(0))
}

// The database takes nothing for a while, and who wants to look at its tables gives up.
// Nothing else comes of it: when the database goes on, all is there.
func TestALookAtTheTablesEndsWithItsContext(t *testing.T) {
	t.Parallel()
	q := openTest(t, Options{every: undisturbed, budgets: budgets{all: 1, endpoint: 1, count: 1, load: 1, retries: 1}})
	given := give(t, q, "here", 3)
	q.writer.mu.Lock()
	for what, look := range map[string]func(context.Context) error{
		"a receive": func(ctx context.Context) error { _, err := q.Receive(ctx, "here", time.Hour); return err },
		"a probe":   func(ctx context.Context) error { _, err := q.Probe(ctx, "here", queue.Pick{}, time.Hour); return err },
		"counting":  func(ctx context.Context) error { _, err := q.Endpoints(ctx); return err },
		"an outage": func(ctx context.Context) error { _, err := q.Outage(ctx, "here"); return err },
		"a search":  func(ctx context.Context) error { _, err := q.DeadLetter(ctx, "here", given[0].ID); return err },
		"a list": func(ctx context.Context) error {
			for _, err := range q.DeadLetters(ctx, "here", queue.ID{}) {
				return err
			}
			return nil
		},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		ended := make(chan error, 1)
		go func() { ended <- look(ctx) }()
		select {
		case err := <-ended:
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s ended with %v", what, err)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("%s does not end", what)
		}
		cancel()
	}
	q.writer.mu.Unlock()
	for _, m := range given {
		if d := receive(t, q, "here"); d.Message.ID != m.ID {
			t.Errorf("received %s, want %s", d.Message.ID, m.ID)
		}
	}
	nothing(t, q, "here")
}

func TestWhatIsErasedBeforeItIsWrittenIsNeverWritten(t *testing.T) {
	t.Parallel()
	q := openTest(t, Options{every: undisturbed})
	must(t, q.index.flush(context.Background()))
	give(t, q, "here", 1)
	must(t, receive(t, q, "here").Lease.Ack(0))
	must(t, q.flush(t.Context()))
	q.index.mu.Lock()
	defer q.index.mu.Unlock()
	for k := range q.index.pending.entries {
		if k[0] == tableFresh {
			t.Errorf("%x is still to be written", k)
		}
	}
}
