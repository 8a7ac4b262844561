// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/badger/v4"
	"go.uber.org/zap"

	"github.com/caddy-webhook-inbox/inbox/queue"
	"github.com/caddy-webhook-inbox/inbox/queue/badgerqueue/journal"
)

// The errors of Open that a caller may want to tell apart.
var (
	// ErrLocked: another process, or another Queue, has the directory open.
	ErrLocked = errors.New("directory is in use")

	// ErrNewer: a newer version of this module wrote to the directory.
	ErrNewer = errors.New("directory was written by a newer version")

	// ErrDiskFull: too little of the disk is free to open the queue. Nothing
	// was touched; it can be tried again later.
	ErrDiskFull = errors.New("too little free space on the disk")
)

// A Queue is a [queue.Queue] in a directory of the local disk.
type Queue struct {
	opts   Options
	limits batchLimits
	log    *zap.Logger
	clock  steadyClock

	journal      *journal.Journal
	db           *badger.DB
	writer       *tableWriter
	spares       *spares
	flushes      tableFlushes
	commits      *commitFile
	lost         int64
	space        *space
	scheduler    *scheduler
	wanted       *wanted
	committer    *committer
	checkpointer *checkpointer
	index        *index
	keeper       *keeper
	reclaimer    reclaimer

	state     queueState  // of the committer
	opened    atomic.Bool // it is in use
	failure   atomic.Pointer[error]
	gate      gate // of those who read the database
	closeOnce sync.Once
}

var _ queue.Queue = (*Queue)(nil)

// queueState is what the committer keeps in memory of the whole queue.
type queueState struct {
	state
	total int64 // bytes of all endpoints
}

// batchLimits keep a batch within a transaction of Badger.
type batchLimits struct {
	entries int
	bytes   int
}

// Err returns nil, or why the queue is unavailable until it is opened again.
func (q *Queue) Err() error {
	if err := q.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// Lost returns how many commits the last process had made that were not there
// any more when the queue was opened: the journal was damaged or cut off. For a file
// of it that is missing it is one at least, until nobody wants a message of it.
func (q *Queue) Lost() int64 { return q.lost }

// SetLimits replaces the limits that the queue was opened with. Zero is the
// default, and of free space less than LeastFreeSpace is that. It takes effect with
// the next publish.
func (q *Queue) SetLimits(maxSize, minFreeSpace int64) {
	if maxSize <= 0 {
		maxSize = defaultMaxSize
	}
	if minFreeSpace <= 0 {
		minFreeSpace = defaultMinFreeSpace
	}
	q.space.setLimits(maxSize, max(minFreeSpace, LeastFreeSpace))
}

// poison makes the queue unavailable, and returns the error to say so. After a
// failed commit nobody knows what is on the disk, and a sync that is tried again
// may succeed without having written anything.
func (q *Queue) poison(cause error) error {
	err := fmt.Errorf("%w: %w", queue.ErrUnavailable, cause)
	if q.failure.CompareAndSwap(nil, &err) {
		q.log.Error("a commit failed: nothing more is accepted or delivered until the queue is opened again",
			zap.Error(cause))
		q.scheduler.fail(err)
		q.committer.fail(err)
		q.index.lookAgain()
	}
	return q.Err()
}

// Close implements [queue.Queue]. It returns within about two seconds, or ten if the
// disk is slow. If the database is being compacted, the disk is full, or the queue
// failed, it takes longer to let go of the directory.
func (q *Queue) Close() error {
	err := queue.ErrClosed
	q.closeOnce.Do(func() { err = q.close() })
	return err
}

// patience is how long Close waits for what may take for ever: a compaction, room on
// a full disk, or Badger, which tries to write a table until it can.
const patience = 2 * time.Second

func (q *Queue) close() error {
	closed := make(chan error, 1)
	go func() { closed <- q.shut() }()
	select {
	case err := <-closed:
		return err
	case <-time.After(patience):
	}
	if q.healthy() {
		select {
		case err := <-closed:
			return err
		case <-time.After(4 * patience): // it is only slow
		}
	}
	q.log.Warn("the directory is in use until the database is closed", zap.NamedError("failure", q.Err()))
	go func() {
		if err := <-closed; err != nil {
			q.log.Error("closing the queue", zap.Error(err))
		}
	}()
	return nil
}

// healthy reports whether the queue is closed as fast as the disk is.
func (q *Queue) healthy() bool {
	select {
	case <-q.keeper.ended:
		return q.Err() == nil && q.space.mayWrite() && !q.flushes.failed.Load()
	default:
		return false // it compacts
	}
}

func (q *Queue) shut() error {
	q.gate.shut()
	q.keeper.cancel()
	q.scheduler.fail(queue.ErrClosed)
	q.checkpointer.end()
	q.committer.close(queue.ErrClosed)
	q.gate.wait()
	q.scheduler.stopTimers()
	<-q.keeper.ended
	err := q.seal()
	q.index.close()
	q.spares.end() // Badger begins no memtable any more, but may open files to be closed
	q.standIn()
	q.space.awaitRoom()
	return errors.Join(err, q.journal.Close(), q.commits.close(), q.closeDB())
}

// seal ends the journal with a frame that says that nothing need be replayed.
func (q *Queue) seal() error {
	if q.Err() != nil || !q.space.mayWrite() {
		return nil // the next start replays what there is
	}
	if err := q.checkpointer.sync(); err != nil {
		return err
	}
	b, err := q.newBatch(0, 0)
	if err != nil {
		return err
	}
	defer b.close()
	b.always = true
	return b.finish()
}

// closeDB lets go of the directory.
func (q *Queue) closeDB() error {
	defer awaitForked()
	if err := q.db.Close(); err != nil {
		return fmt.Errorf("closing the database: %w", err)
	}
	return nil
}

// A gate counts who is using the database, which must not be closed under them.
type gate struct {
	mu     sync.Mutex
	closed bool
	users  sync.WaitGroup
}

// enter returns ErrClosed, or nil and then wants a leave.
func (g *gate) enter() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return queue.ErrClosed
	}
	g.users.Add(1)
	return nil
}

func (g *gate) leave() { g.users.Done() }

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
}

func (g *gate) wait() { g.users.Wait() }
