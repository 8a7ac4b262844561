// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// visitChild is the environment variable that makes the test binary a process that
// opens a queue, publishes a message, and closes the queue.
const visitChild = "BADGERQUEUE_VISIT_CHILD"

// couldNot is the status with which it ends if something failed. A panic has another.
const couldNot = 3

// runVisitChild is the process. The calls that it makes itself are those of one thread.
func runVisitChild() int {
	runtime.LockOSThread()
	if err := use(os.Getenv(visitChild)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return couldNot
	}
	return 0
}

func use(dir string) error {
	q, err := Open(Options{Dir: dir})
	if err != nil {
		return err
	}
	if _, err := q.Publish(context.Background(), queue.Publication{Message: sender.Message("here")}); err != nil {
		return errors.Join(err, q.Close())
	}
	if _, err := fmt.Println("published"); err != nil {
		return errors.Join(err, q.Close())
	}
	return q.Close()
}
