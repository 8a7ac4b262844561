// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import "testing"

func TestWhatIsInTheDatabaseIsErasedThere(t *testing.T) {
	t.Parallel()
	q := openTest(t, Options{})
	give(t, q, "here", 3)
	must(t, q.index.flush()) // the places are in the database
	first := receive(t, q, "here")
	must(t, receive(t, q, "here").Lease.Ack(0))
	must(t, q.flush(t.Context()))
	if n := count(t, q, tableFresh); n != 2 {
		t.Errorf("%d places are in the database, want 2", n)
	}
	must(t, first.Lease.Ack(0))
}

func TestWhatIsErasedBeforeItIsWrittenIsNeverWritten(t *testing.T) {
	t.Parallel()
	q := openTest(t, Options{every: undisturbed})
	must(t, q.index.flush())
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
