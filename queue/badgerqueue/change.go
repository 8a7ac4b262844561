// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"context"
	"errors"
)

// A change is an operation that somebody waits for and that is not worth a type
// of its own.
type change struct {
	entries, bytes int
	write          func(b *batch) error
	durable        func() // if not nil, called when it is

	finished chan struct{}
	err      error
}

func (op *change) cost() (entries, bytes int) { return op.entries, op.bytes }

func (op *change) apply(b *batch) error { return op.write(b) }

func (op *change) done(err error) {
	if err == nil && op.durable != nil {
		op.durable()
	}
	op.err = err
	close(op.finished)
}

// change makes a change durable. If ctx is done before, it may or may not be.
func (q *Queue) change(ctx context.Context, op *change) error {
	op.finished = make(chan struct{})
	if err := q.committer.submit(op); err != nil {
		return err
	}
	select {
	case <-op.finished:
		return op.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// changePlaces is change for what moves places in a line that is paused. It
// returns when nothing of op is under way any more, done ctx or not: a line that
// went on before would hand out what is at the old places.
func (q *Queue) changePlaces(ctx context.Context, op *change) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return q.change(context.WithoutCancel(ctx), op)
}

// flush makes durable what was settled so far, so that it is seen.
func (q *Queue) flush(ctx context.Context) error {
	if q.committer.idle() {
		return q.Err()
	}
	return q.change(ctx, &change{write: func(*batch) error { return nil }})
}

// use is for methods that read and write what is settled: it brings the disk up
// to date first. It wants a q.gate.leave if there is no error.
func (q *Queue) use(ctx context.Context) error {
	if err := q.gate.enter(); err != nil {
		return err
	}
	// On a full disk what was settled last is not seen. It is better than nothing.
	if err := q.flush(ctx); err != nil && !errors.Is(err, errDiskLow) {
		q.gate.leave()
		return err
	}
	return nil
}
