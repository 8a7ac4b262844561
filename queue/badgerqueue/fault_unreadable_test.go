// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// The disk cannot read a page of a message: of one that is fresh, of one that retries,
// of a chunk of a large body. It becomes a dead letter that says where it is and that
// it may be readable again; all others are delivered, also after restarts. A redrive
// that comes too early changes nothing, one that does not has it delivered.
func TestFaultAnUnreadableMessageIsADeadLetter(t *testing.T) {
	t.Parallel()
	for _, what := range []string{"fresh", "retrying", "large"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			disk := newWeakDisk()
			q := openTest(t, Options{readAt: disk.ReadAt, every: undisturbed})
			size := 9000
			if what == "large" {
				size = 3 * maxChunk
			}
			given := giveLong(t, q, "here", 5, size)
			if what == "retrying" {
				for range given {
					must(t, receive(t, q, "here").Lease.Nack(time.Second, queue.History{Attempts: 1, LastError: "gone"}))
				}
			}
			q = reopen(t, q) // and nothing is in memory
			disk.spoilMessage(t, q.opts.Dir, given[0])
			if what == "retrying" {
				must(t, q.MakeReady(t.Context(), "here", nil))
			}
			delivers(t, q, "here", given[1:3]...)
			q = reopen(t, q)
			delivers(t, q, "here", given[3:]...)
			nothing(t, q, "here")
			isUnreadable(t, q, "here", given[0])

			for range 2 {
				must(t, q.Redrive(t.Context(), "here", given[0].ID))
				nothing(t, q, "here")
				q = reopen(t, q)
				isUnreadable(t, q, "here", given[0])
			}
			disk.heal()
			must(t, q.Redrive(t.Context(), "here", given[0].ID))
			delivers(t, q, "here", given[0])
			again := *given[0]
			again.ID = sender.Message("here").ID
			publish(t, q, queue.Duplicate, queue.Publication{Message: &again, Keys: keyOf(given[0].ID)})
		})
	}
}

// isUnreadable checks that a message is a dead letter because the disk cannot read it.
func isUnreadable(t testing.TB, q *Queue, endpoint string, m *queue.Message) {
	t.Helper()
	must(t, q.flush(t.Context()))
	if s := stats(t, q, endpoint); s.Dead != 1 || s.Waiting != 0 {
		t.Errorf("statistics are %+v", s)
	}
	dead, err := q.DeadLetter(t.Context(), endpoint, m.ID)
	must(t, err)
	if dead.Reason != "unreadable" || !dead.Until.IsZero() {
		t.Errorf("the reason is %q, until %v", dead.Reason, dead.Until)
	}
	for _, said := range []string{"segment 0000000", " at ", syscall.EIO.Error(), "redrive"} {
		if !strings.Contains(dead.History.LastError, said) {
			t.Errorf("the error does not say %q: %s", said, dead.History.LastError)
		}
	}
	if strings.Contains(dead.History.LastError, q.opts.Dir) {
		t.Errorf("the error names a path: %s", dead.History.LastError)
	}
	for s, err := range q.DeadLetters(t.Context(), endpoint, queue.ID{}) {
		must(t, err)
		if s.Message.ID != m.ID {
			t.Errorf("listed is %s", s.Message.ID)
		}
	}
}

// Nothing of the journal can be read for a while, as of storage on a network. What is
// dead or kept is listed, moved and discarded all the same; when it can be read again,
// all is there that was not discarded.
func TestFaultAnUnreadableJournalIsManaged(t *testing.T) {
	t.Parallel()
	disk := newWeakDisk()
	q := openTest(t, Options{readAt: disk.ReadAt, every: undisturbed})
	given := giveLong(t, q, "here", 6, 9000)
	must(t, receive(t, q, "here").Lease.Ack(time.Hour))
	for range 2 {
		must(t, receive(t, q, "here").Lease.Bury("gone", queue.History{}, 0))
	}
	must(t, q.flush(t.Context()))
	disk.failAll(syscall.EIO)

	listed := 0
	for _, err := range q.Kept(t.Context(), "here") {
		must(t, err)
		listed++
	}
	for _, err := range q.DeadLetters(t.Context(), "here", queue.ID{}) {
		must(t, err)
		listed++
	}
	if listed != 3 {
		t.Errorf("%d messages are listed, want 3", listed)
	}
	must(t, q.Discard(t.Context(), "here", given[1].ID))
	if n, err := q.Move(t.Context(), "here", "there"); err != nil || n != 4 {
		t.Errorf("%d messages were moved, want 4: %v", n, err)
	}
	must(t, q.refresh(t.Context()))
	must(t, q.reclaim(t.Context()))
	if n, err := q.RedriveAll(t.Context(), "there"); err != nil || n != 1 {
		t.Errorf("%d dead letters were redriven, want 1: %v", n, err)
	}
	nothing(t, q, "there")
	must(t, q.flush(t.Context()))
	if s := stats(t, q, "there"); s.Dead != 4 || s.Kept != 1 || s.Waiting != 0 {
		t.Errorf("statistics are %+v", s)
	}

	disk.heal()
	q = reopen(t, q)
	if n, err := q.RedriveAll(t.Context(), "there"); err != nil || n != 4 {
		t.Errorf("%d dead letters were redriven, want 4: %v", n, err)
	}
	delivers(t, q, "there", given[2:]...)
	for _, m := range given[2:] { // their keys have moved with them
		again := *m
		again.ID, again.Endpoint = sender.Message("there").ID, "there"
		publish(t, q, queue.Duplicate, queue.Publication{Message: &again, Keys: keyOf(m.ID)})
	}
}

// The system has no memory for reads. No message is called unreadable for that: they
// wait, and are delivered as soon as it has.
func TestFaultAWantOfMemoryBuriesNothing(t *testing.T) {
	t.Parallel()
	disk := newWeakDisk()
	q := openTest(t, Options{readAt: disk.ReadAt, every: undisturbed})
	given := giveLong(t, q, "here", 3, 9000)
	must(t, receive(t, q, "here").Lease.Nack(0, queue.History{Attempts: 1}))
	q = reopen(t, q)
	disk.failAll(syscall.ENOMEM)
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		_, err := q.Receive(ctx, "here", time.Hour)
		cancel()
		if !errors.Is(err, syscall.ENOMEM) {
			t.Errorf("received with %v", err)
		}
	}
	if s := stats(t, q, "here"); s.Dead != 0 || s.Waiting != 3 {
		t.Errorf("statistics are %+v", s)
	}
	disk.heal()
	delivers(t, q, "here", given...)
}
