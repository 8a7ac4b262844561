// SPDX-License-Identifier: Apache-2.0

package queuetest

import "github.com/caddy-webhook-inbox/inbox/queue"

// A Step is something that Memory is about to do, by which faults are chosen.
type Step struct {
	Op       Op
	Endpoint string
	ID       queue.ID // of the message, if it is about one
}

// Op names the method of the queue or of a lease that makes a step.
type Op string

// The steps. All but OpReceive and OpProbe write; a Fault that does not apply
// one of these two must return an error.
const (
	OpPublish   Op = "publish"
	OpReceive   Op = "receive"
	OpProbe     Op = "probe"
	OpMakeReady Op = "make ready"
	OpSetOutage Op = "set outage"
	OpAck       Op = "ack"
	OpNack      Op = "nack"
	OpBury      Op = "bury"
	OpRedrive   Op = "redrive"
	OpDiscard   Op = "discard"
	OpForget    Op = "forget"
	OpMove      Op = "move"
)

// step asks for a fault.
func (q *Memory) step(op Op, endpoint string, id queue.ID) (apply bool, err error) {
	if q.Fault == nil {
		return true, nil
	}
	return q.Fault(Step{Op: op, Endpoint: endpoint, ID: id})
}

// write runs apply under the lock, unless a fault or the end of the queue is in
// the way.
func (q *Memory) write(op Op, endpoint string, id queue.ID, apply func() error) error {
	wanted, fault := q.step(op, endpoint, id)
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.isClosed() {
		return queue.ErrClosed
	}
	if !wanted {
		return fault
	}
	if err := apply(); err != nil {
		return err
	}
	return fault
}
