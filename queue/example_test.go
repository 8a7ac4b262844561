// SPDX-License-Identifier: Apache-2.0

package queue_test

import (
	"context"
	"fmt"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
	"github.com/caddy-webhook-inbox/inbox/queue/queuetest"
)

// A dispatcher runs until its context is done. Here, that is when the message
// was delivered, at the second attempt.
func ExampleDispatcher() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	policy := queue.DefaultPolicy()
	policy.Backoff.First = time.Second
	target := queue.Target{
		Policy: policy,
		Route:  "reverse_proxy app:8080",
		Deliver: func(_ context.Context, m *queue.Message, attempt int) queue.Result {
			fmt.Printf("attempt %d: %s %s\n", attempt, m.Request.Method, m.Request.URI)
			if attempt == 1 {
				return queue.Result{Status: 503}
			}
			return queue.Result{Status: 204}
		},
	}

	q := queuetest.NewMemory()
	var sender queuetest.Sender
	if _, err := q.Publish(ctx, queue.Publication{Message: sender.Message("shop")}); err != nil {
		fmt.Println(err)
		return
	}
	queue.NewDispatcher(q, "shop", target, printer{cancel}).Run(ctx)
	// Output:
	// attempt 1: POST /hook
	// retried: status 503
	// attempt 2: POST /hook
	// delivered: status 204
}

// A printer is an observer that prints, and stops after a delivery.
type printer struct {
	stop func()
}

func (p printer) Attempted(a queue.Attempt) {
	fmt.Printf("%s: status %d\n", a.Outcome, a.Result.Status)
	if a.Outcome == queue.Delivered {
		p.stop()
	}
}

func (printer) OutageBegan(queue.Outage, bool)     {}
func (printer) OutageEnded(queue.Outage)           {}
func (printer) StaleTimestamp(*queue.Message, int) {}
func (printer) EngineFailed(error)                 {}
