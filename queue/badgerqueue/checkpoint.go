// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"go.uber.org/zap"

	"github.com/caddy-webhook-inbox/inbox/queue/badgerqueue/journal"
)

// A checkpointer makes the database durable now and then, so that a restart
// need not replay more than the last of the journal, and drops the segments that
// nothing is wanted of any more.
//
// Badger's logs are memory maps that it does not sync here. After a kill they
// are whole, because the kernel has them; after a power cut they may lack
// anything since the last checkpoint. A replay writes all of that again.
type checkpointer struct {
	q    *Queue
	wake chan struct{} // holds one token
	stop chan struct{}
	done sync.WaitGroup
	one  sync.Mutex // held by who makes one

	mu      sync.Mutex
	last    journal.Position // of all frames
	applied journal.Position // all frames before it are in the database
	from    journal.Position // all frames before it are durable there
	bytes   int64            // committed since
	beyond  bool             // the database has what is in no frame, not durable yet
}

// checkpointEvery is how much of a segment is written between two checkpoints:
// 16 MiB.
const checkpointEvery = 1. / 4

func newCheckpointer(q *Queue) *checkpointer {
	return &checkpointer{q: q, wake: make(chan struct{}, 1), stop: make(chan struct{})}
}

func (c *checkpointer) start() {
	c.done.Go(func() {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		for {
			select {
			case <-c.stop:
				return
			case <-c.wake:
				if err := c.make(ctx); err != nil && c.q.Err() == nil {
					c.q.log.Warn("making the database durable", zap.Error(err))
				}
			}
		}
	})
}

func (c *checkpointer) end() {
	close(c.stop)
	c.done.Wait()
}

// begun is told where the last replay began, and where the next frame will be.
func (c *checkpointer) begun(from, tail journal.Position) {
	c.from, c.applied, c.last = from, tail, tail
	if from == (journal.Position{}) {
		c.from = tail
		return
	}
	// The next start need not replay this again, however often it comes to that.
	c.wake <- struct{}{}
}

// changed is told that something was written to the database that no replay finds.
func (c *checkpointer) changed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.beyond = true
}

// begin returns where a replay has to begin.
func (c *checkpointer) begin() journal.Position {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.from
}

// tail returns where all frames end.
func (c *checkpointer) tail() journal.Position {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

// advance is told what is in the database now.
func (c *checkpointer) advance(to journal.Position) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.applied = to
}

// committed is told where the last frame ends, and how many bytes it has.
func (c *checkpointer) committed(end journal.Position, bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = end
	if c.bytes += bytes; c.bytes >= int64(checkpointEvery*float64(c.q.opts.segment)) {
		select {
		case c.wake <- struct{}{}:
		default: // it has not looked since the last time
		}
	}
}

// errNotSynced: nobody knows what of a file is on the disk, and never will. The kernel
// tells only once that it could not write a page: the next sync would succeed.
var errNotSynced = errors.New("not synced")

// sync makes durable what is in the database. If that fails, the queue does: the next
// checkpoint would drop what the journal has and the database may not.
func (c *checkpointer) sync() error {
	if err := c.q.index.flush(context.Background()); err != nil {
		return err
	}
	if err := c.q.Err(); err != nil {
		return err
	}
	c.mu.Lock()
	applied, same := c.applied, c.applied == c.from && !c.beyond
	c.bytes = 0
	c.mu.Unlock()
	if same {
		return nil // as it was
	}
	if err := syncIndex(c.q.opts.Dir, c.q.opts.sync); errors.Is(err, errNotSynced) {
		return c.q.poison(fmt.Errorf("syncing the database: %w", err))
	} else if err != nil {
		return fmt.Errorf("syncing the database: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.from, c.beyond = applied, false
	return nil
}

// make makes a checkpoint, and drops what is behind it.
func (c *checkpointer) make(ctx context.Context) error {
	c.one.Lock()
	defer c.one.Unlock()
	if err := c.sync(); err != nil {
		return err
	}
	from := c.begin()
	var behind []uint32
	for _, s := range c.q.journal.Segments() {
		if s < from.Segment {
			behind = append(behind, s)
		}
	}
	free := c.q.wanted.unwanted(behind)
	if len(free) == 0 {
		return nil
	}
	// The next frame says where to begin. Until it is durable, a replay may need
	// all that is there.
	if err := c.q.change(ctx, &change{write: (*batch).force}); err != nil {
		return err
	}
	return c.q.journal.Drop(free)
}

// syncIndex syncs the logs of the database. Its tables are synced when they are
// made.
func syncIndex(dir string, sync func(*os.File) error) error {
	if sync == nil {
		sync = (*os.File).Sync
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	names := []string{dir}
	for _, f := range files {
		if filepath.Ext(f.Name()) == ".mem" {
			names = append(names, filepath.Join(dir, f.Name()))
		}
	}
	for _, name := range names {
		f, err := os.Open(name)
		if errors.Is(err, os.ErrNotExist) {
			continue // it became a table
		}
		if err != nil {
			return err
		}
		err = sync(f)
		_ = f.Close() // it was only read
		if err != nil {
			return fmt.Errorf("%w: %w", errNotSynced, err)
		}
	}
	return nil
}
