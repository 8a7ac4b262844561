// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"errors"
	"testing"

	"github.com/dgraph-io/badger/v4"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestMessagesThatCannotBeFoundAreReportedOnce(t *testing.T) {
	t.Parallel()
	core, logged := observer.New(zap.ErrorLevel)
	q := openTest(t, Options{Logger: zap.New(core), every: undisturbed})
	give(t, q, "here", 3)
	must(t, q.Close())
	edit(t, q.opts, func(tx *badger.Txn) error {
		value, _, err := get(tx, freshKey(1, 3))
		must(t, err)
		lost, err := decodeWaiting(value)
		must(t, err)
		return errors.Join(giveUp(tx, lost.record), tx.Delete(freshKey(1, 3)))
	})
	q = openTest(t, q.opts)
	for range 2 {
		must(t, receive(t, q, "here").Lease.Ack(0))
	}
	nothing(t, q, "here")
	give(t, q, "here", 1)
	must(t, receive(t, q, "here").Lease.Ack(0))
	must(t, q.flush(t.Context()))
	if low := q.scheduler.statsOf(q.scheduler.lookUp("here")).fresh; low > 3 {
		t.Errorf("the low-water mark is %d, behind the missing message", low)
	}
	for range 2 * notFound {
		q.scheduler.lookForMissing()
	}
	if n := logged.Len(); n != 1 {
		t.Errorf("%d errors are logged, want 1: %v", n, logged.All())
	}
}
