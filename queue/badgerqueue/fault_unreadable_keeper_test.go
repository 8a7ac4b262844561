// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"maps"
	"os"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
	"github.com/caddy-webhook-inbox/inbox/queue/queuetest"
)

// One message of a segment that is to be emptied cannot be read. It stays, the others
// are moved, and the room of what was delivered is given back.
func TestFaultAnUnreadableMessageStaysWhenOthersAreMoved(t *testing.T) {
	t.Parallel()
	disk := newWeakDisk()
	q := openTest(t, Options{readAt: disk.ReadAt, segment: tiny, every: undisturbed})
	given := giveLong(t, q, "here", 60, 20<<10)
	dead := []*queue.Message{given[0], given[1], given[30]}
	for _, m := range given {
		d := receive(t, q, "here")
		if m == dead[0] || m == dead[1] || m == dead[2] {
			must(t, d.Lease.Bury("gone", queue.History{}, 0))
		} else {
			must(t, d.Lease.Ack(0))
		}
	}
	q = reopen(t, q)
	must(t, q.checkpointer.make(t.Context()))
	disk.spoilMessage(t, q.opts.Dir, dead[0])
	must(t, q.reclaim(t.Context()))
	must(t, q.reclaim(t.Context()))
	if n := count(t, q, tableMoved); n != 2 {
		t.Errorf("%d messages were moved, want 2", n)
	}
	if n := len(q.journal.Sizes()); n > 3 {
		t.Errorf("%d segments are left", n)
	}
	disk.heal()
	q = reopen(t, q)
	if n, err := q.RedriveAll(t.Context(), "here"); err != nil || n != 3 {
		t.Errorf("%d dead letters were redriven, want 3: %v", n, err)
	}
	delivers(t, q, "here", dead...)
}

// A message was moved, and its segment stays for one that cannot be read. Then nothing
// else of that segment can be read either: the message is where it was moved to.
func TestFaultAMovedMessageNeedsNotWhereItWas(t *testing.T) {
	t.Parallel()
	disk := newWeakDisk()
	unsynced := func(*os.File) error { return nil }
	q := openTest(t, Options{readAt: disk.ReadAt, segment: tiny, every: undisturbed, sync: unsynced})
	given := giveLong(t, q, "here", 60, 20<<10)
	dead := []*queue.Message{given[0], given[1]}
	for _, m := range given {
		d := receive(t, q, "here")
		if m == dead[0] || m == dead[1] {
			must(t, d.Lease.Bury("gone", queue.History{}, 0))
		} else {
			must(t, d.Lease.Ack(0))
		}
	}
	q = reopen(t, q)
	must(t, q.checkpointer.make(t.Context()))
	disk.spoilMessage(t, q.opts.Dir, dead[0])
	disk.spoilMessage(t, q.opts.Dir, dead[1])
	first := maps.Clone(disk.bad)
	disk.heal()
	disk.spoilMessage(t, q.opts.Dir, dead[0])
	must(t, q.reclaim(t.Context()))
	if n := count(t, q, tableMoved); n != 1 {
		t.Fatalf("%d messages were moved, want 1", n)
	}
	disk.mu.Lock()
	disk.bad = first
	disk.mu.Unlock()
	must(t, q.Redrive(t.Context(), "here", dead[1].ID))
	delivers(t, q, "here", dead[1])
}

// The keys of waiting messages are kept, but for those of one that cannot be read.
func TestFaultAnUnreadableMessageKeepsNoKeysFromBeingKept(t *testing.T) {
	t.Parallel()
	disk := newWeakDisk()
	q := openTest(t, Options{readAt: disk.ReadAt, every: undisturbed})
	var given []*queue.Message
	var keys []queue.Key
	for range 3 {
		m := long("here", 9000)
		k := queuetest.Key(m.ID.String(), time.Minute)
		publish(t, q, queue.Accepted, queue.Publication{Message: m, Keys: []queue.Key{k}})
		given, keys = append(given, m), append(keys, k)
	}
	before := droppedAt(t, q, keys[2])
	disk.spoilMessage(t, q.opts.Dir, given[0])
	e := q.scheduler.lookUp("here")
	must(t, q.change(t.Context(), &change{write: func(b *batch) error {
		return b.refresh(e, tableFresh, []uint64{1, 2, 3})
	}}))
	if after := droppedAt(t, q, keys[2]); after <= before {
		t.Errorf("a key is dropped at %d, as before", after)
	}
}
