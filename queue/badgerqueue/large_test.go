// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// Room for two large messages of one endpoint, and four of all.
func openForLarge(t *testing.T) *Queue {
	return openTest(t, Options{budgets: budgets{
		all: 64 << 20, endpoint: 8 << 20, count: 4096, load: 256, retries: 512, flight: 5 * largeMessage,
	}})
}

func giveLarge(t *testing.T, q *Queue, endpoint string, n int) (given []*queue.Message) {
	t.Helper()
	for range n {
		m := large(largeMessage)
		m.Endpoint = endpoint
		publish(t, q, queue.Accepted, queue.Publication{Message: m})
		given = append(given, m)
	}
	return given
}

func (s *scheduler) largeInFlight() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.large
}

// An application that hangs must not take the memory of the process with as many
// large bodies as it may have attempts.
func TestLargeMessagesWaitForRoomInMemory(t *testing.T) {
	t.Parallel()
	q := openForLarge(t)
	given := giveLarge(t, q, "here", 5)
	first, second := receive(t, q, "here"), receive(t, q, "here")
	nothing(t, q, "here")

	must(t, first.Lease.Ack(0))
	third := receive(t, q, "here")
	if third.Message.ID != given[2].ID {
		t.Errorf("received %s, want the third", third.Message.ID)
	}
	nothing(t, q, "here")
	must(t, second.Lease.Nack(0, queue.History{Attempts: 1, Failures: 1}))
	must(t, third.Lease.Bury("for a test", queue.History{}, time.Hour))
	for range 3 {
		d := receive(t, q, "here")
		if len(d.Message.Request.Body) != largeMessage {
			t.Errorf("received %d bytes", len(d.Message.Request.Body))
		}
		must(t, d.Lease.Ack(0))
	}
	nothing(t, q, "here")
	if n := q.scheduler.largeInFlight(); n != 0 {
		t.Errorf("%d bytes count as in flight, and nothing is", n)
	}
}

func TestAMessageThatRetriesWaitsForRoomInMemory(t *testing.T) {
	t.Parallel()
	q := openForLarge(t)
	giveLarge(t, q, "here", 3)
	for range 3 { // none of them is fresh after this
		must(t, receive(t, q, "here").Lease.Nack(0, queue.History{Attempts: 1, Failures: 1}))
	}
	first := receive(t, q, "here")
	receive(t, q, "here")
	nothing(t, q, "here")
	must(t, first.Lease.Ack(0))
	receive(t, q, "here")
}

// Whoever has nothing large in flight gets one, whatever the others have.
func TestAnEndpointCanAlwaysHaveOneLargeMessage(t *testing.T) {
	t.Parallel()
	q := openForLarge(t)
	for _, endpoint := range []string{"one", "two", "three", "four"} {
		giveLarge(t, q, endpoint, 3)
	}
	receive(t, q, "one")
	receive(t, q, "one")
	receive(t, q, "two")
	receive(t, q, "two")
	three := receive(t, q, "three")
	receive(t, q, "four")
	nothing(t, q, "three")
	must(t, three.Lease.Ack(0))
	receive(t, q, "three")
}

func TestSmallMessagesNeedNoRoom(t *testing.T) {
	t.Parallel()
	q := openForLarge(t)
	giveLarge(t, q, "here", 2)
	give(t, q, "here", 100)
	for range 102 {
		receive(t, q, "here")
	}
}

func TestAProbeWaitsForRoomInMemory(t *testing.T) {
	t.Parallel()
	q := openForLarge(t)
	giveLarge(t, q, "here", 3)
	first := receive(t, q, "here")
	receive(t, q, "here")
	probed := make(chan error, 1)
	go func() {
		d, err := q.Probe(t.Context(), "here", queue.Pick{}, time.Hour)
		if err == nil && d.Message == nil {
			err = errors.New("no message")
		}
		probed <- err
	}()
	select {
	case err := <-probed:
		t.Fatalf("probed beyond the room: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	must(t, first.Lease.Ack(0))
	must(t, <-probed)
}

func TestMoreRoomIsUsedAtOnce(t *testing.T) {
	t.Parallel()
	q := openForLarge(t)
	giveLarge(t, q, "here", 4)
	receive(t, q, "here")
	receive(t, q, "here")
	nothing(t, q, "here")
	q.SetMaxInFlight(0)
	receive(t, q, "here")
	q.SetMaxInFlight(1)
	nothing(t, q, "here")
}

func TestWhoWaitsForRoomIsToldThatTheQueueIsClosed(t *testing.T) {
	t.Parallel()
	q := openForLarge(t)
	giveLarge(t, q, "here", 3)
	receive(t, q, "here")
	receive(t, q, "here")
	ended := make(chan error, 1)
	go func() {
		_, err := q.Receive(context.WithoutCancel(t.Context()), "here", time.Hour)
		ended <- err
	}()
	for q.scheduler.held("here") < 3 {
		time.Sleep(time.Millisecond)
	}
	must(t, q.Close())
	if err := <-ended; !errors.Is(err, queue.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

// The queue fails after a message was taken out of its line, and before it is found
// that there is no room for it: nobody makes any then.
func TestWhoComesForRoomIsToldThatTheQueueFailed(t *testing.T) {
	t.Parallel()
	q := openForLarge(t)
	giveLarge(t, q, "here", 3)
	receive(t, q, "here")
	receive(t, q, "here")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	h, err := q.next(ctx, q.scheduler.endpoint("here"))
	must(t, err)
	must(t, q.index.flush(context.Background())) // and nothing else is waited for
	_ = q.poison(errDisk)
	_, err = q.prepare(ctx, h)
	unavailable(t, "preparing", err)
	if ctx.Err() != nil {
		t.Error("it waited for what never comes")
	}
}

func (s *scheduler) held(endpoint string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.endpoints[endpoint].line.held)
}
