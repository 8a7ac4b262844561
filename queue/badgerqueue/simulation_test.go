// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// simulationSeed names the environment variable that repeats a simulation. What is
// done is done by one goroutine, so that it is the same; only what the engine does by
// itself, in the moments between, may come in another order.
const simulationSeed = "BADGERQUEUE_SIMULATION_SEED"

// Whatever is done with the engine, for weeks and across set clocks, failed commits,
// kills and restarts, it does what the memory engine does: the same receipts, errors,
// deliveries, histories and lists. After a kill it has a beginning of what was settled
// last, and nothing of what it was about to do or all of it.
//
// It runs in a bubble, in which time passes at once: Badger's goroutines wait for
// channels and timers only, and a file is read or written without leaving the bubble.
// Its compactors would look every 50 ms of all those weeks, so there are none.
func TestFaultEngineDoesWhatTheModelDoes(t *testing.T) {
	t.Parallel()
	seeds, first := rounds(10, 3000), uint64(rand.Uint32())
	if n, err := strconv.ParseUint(os.Getenv(simulationSeed), 10, 64); err == nil {
		seeds, first = 1, n
	}
	const shards = 2
	for shard := range shards {
		t.Run(fmt.Sprint("shard ", shard+1), func(t *testing.T) {
			t.Parallel()
			var crashes, known int
			for n := shard; n < seeds; n += shards {
				w, wrong := simulate(t, first+uint64(n), nil)
				if wrong != "" {
					t.Fatalf("%s=%d: %s", simulationSeed, w.seed, wrong)
				}
				crashes += w.crashes
				known += w.known
			}
			t.Logf("%d crashes, %d of them in a commit", crashes, known)
		})
	}
}

func TestFaultEngineThatIsBrokenIsUnlikeTheModel(t *testing.T) {
	t.Parallel()
	for name, broken := range map[string]func(queue.Queue) queue.Queue{
		"forgets keys":       func(q queue.Queue) queue.Queue { return keyless{q} },
		"hands out twice":    func(q queue.Queue) queue.Queue { return &twice{Queue: q} },
		"acks and hands out": func(q queue.Queue) queue.Queue { return unsettled{q} },
		"delays nothing":     func(q queue.Queue) queue.Queue { return hasty{q} },
		"answers at once":    func(q queue.Queue) queue.Queue { return unstored{q} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(20) {
				if _, wrong := simulate(t, seed, broken); wrong != "" {
					t.Logf("seed %d: %s", seed, wrong)
					return
				}
			}
			t.Error("nothing is different")
		})
	}
}

// hasty delays no message that is to wait.
type hasty struct{ queue.Queue }

func (q hasty) Receive(ctx context.Context, endpoint string, lease time.Duration) (queue.Delivery, error) {
	d, err := q.Queue.Receive(ctx, endpoint, lease)
	d.Lease = hastyLease{d.Lease}
	return d, err
}

type hastyLease struct{ queue.Lease }

func (l hastyLease) Nack(_ time.Duration, h queue.History) error { return l.Lease.Nack(0, h) }

// unstored answers one publish in ten before it stores anything.
type unstored struct{ queue.Queue }

func (q unstored) Publish(ctx context.Context, p queue.Publication) (queue.Receipt, error) {
	if rand.IntN(10) == 0 {
		return queue.Receipt{Outcome: queue.Accepted, ID: p.Message.ID}, nil
	}
	return q.Queue.Publish(ctx, p)
}

// simulate runs one simulation and returns what was wrong, if anything.
func simulate(t *testing.T, seed uint64, broken func(queue.Queue) queue.Queue) (w *twins, wrong string) {
	t.Helper()
	dir := memoryDir(t)
	synctest.Test(t, func(t *testing.T) {
		w = newTwins(t, dir, seed, broken)
		defer func() {
			w.fuse.Store(0)
			switch problem := recover().(type) {
			case nil:
			case difference:
				wrong = fmt.Sprintf("step %d: %s", w.steps, problem)
			default:
				panic(problem)
			}
		}()
		for w.steps < 150 {
			w.steps++
			w.something()
			w.compare()
		}
		w.restart(true)
	})
	must(t, os.RemoveAll(dir))
	return w, wrong
}

// memoryDir is an empty directory without a disk, where there is such a thing: nobody
// cuts the power here, and Badger syncs whenever it is closed.
func memoryDir(t *testing.T) string {
	t.Helper()
	const memory = "/dev/shm"
	if _, err := os.Stat(memory); err != nil {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp(memory, "simulation")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	return dir
}

// something is one of all that can be done with a queue.
func (w *twins) something() {
	switch n := w.random.IntN(60); {
	case n < 14:
		w.publish()
	case n < 26:
		w.receive()
	case n < 28:
		w.probe()
	case n < 42:
		w.settle()
	case n < 44:
		w.makeReady()
	case n < 50:
		w.admin()
	case n < 51:
		w.move()
	case n < 52:
		w.light()
	case n < 53:
		w.restart(w.random.IntN(3) == 0)
	case n < 54 && w.sets:
		w.setClock()
	case n < 56:
		w.pass(time.Duration(w.random.Int64N(int64(w.longest))))
	default:
		w.pass(time.Duration(w.random.Int64N(int64(40 * time.Millisecond))))
	}
}
