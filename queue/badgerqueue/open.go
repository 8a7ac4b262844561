// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"

	"github.com/dgraph-io/badger/v4"
	"go.uber.org/zap"

	"github.com/caddy-webhook-inbox/inbox/queue/badgerqueue/journal"
)

// schemaVersion is the version of the tables and records that are written.
const schemaVersion = 2

// Open opens the queue in a directory, which is created if it is missing.
// Messages that were in flight when it was last used are waiting again.
//
// A directory is open once at a time; see [ErrLocked], [ErrNewer] and
// [ErrDiskFull].
func Open(o Options) (*Queue, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("opening the queue: %w", err)
	}
	q, err := open(o)
	if err != nil {
		return nil, fmt.Errorf("opening the queue in %s: %w", o.Dir, err)
	}
	return q, nil
}

func open(o Options) (_ *Queue, err error) {
	q := &Queue{opts: o, log: o.Logger, clock: newSteadyClock(o.Now)}
	if err := q.prepareDir(); err != nil {
		return nil, err
	}
	q.space = newSpace(o)
	if err := q.space.beforeOpen(); err != nil {
		return nil, err
	}
	if runtime.GOOS != "linux" {
		q.log.Warn("free space is watched on Linux only: elsewhere a full disk can end the process")
	}
	b := o.badgerOptions()
	if err := errors.Join(checkTables(b), checkLogs(o.Dir)); err != nil {
		return nil, err
	}
	err = whileUnused(o.Dir, func() error { return errors.Join(removeEmptyLogs(o.Dir), cutLogs(o.Dir), listUnlisted(b, q.log)) })
	if err != nil {
		return nil, err
	}
	q.limits = limitsOf(b)
	q.spares = &spares{name: o.Dir}
	q.space.canOpen = q.spares.fill
	q.writer = &tableWriter{q: q}
	q.listen(&b)
	if err := enoughFiles(o.Dir); err != nil {
		return nil, err
	}
	if q.db, err = openDB(b); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			q.spares.end()
			err = errors.Join(err, q.closeDB())
		}
	}()
	var recorded uint64
	if q.commits, recorded, err = openCommitFile(o.Dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, q.commits.close())
		}
	}()
	if q.journal, err = journal.Open(o.Dir, o.journalOptions()); errors.Is(err, journal.ErrNewer) {
		return nil, fmt.Errorf("%w: %w", ErrNewer, err)
	} else if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, q.journal.Close())
		}
	}()
	q.scheduler = newScheduler(q)
	q.space.full = q.scheduler.suspend
	q.wanted = newWanted()
	q.committer = newCommitter(q)
	q.checkpointer = newCheckpointer(q)
	q.index = newIndex(q)
	anew, err := q.recover(recorded)
	if errors.Is(err, journal.ErrNoSpace) {
		return nil, fmt.Errorf("%w: %w", ErrDiskFull, err)
	} else if err != nil {
		return nil, err
	}
	q.spares.restore() // a replay may have begun a memtable
	q.opened.Store(true)
	go q.committer.run()
	q.checkpointer.start()
	q.index.start()
	if anew {
		// The next start begins behind it, if there is room for it.
		_ = q.change(context.Background(), &change{write: (*batch).force})
	}
	q.keeper = startKeeper(q)
	return q, nil
}

func openDB(b badger.Options) (*badger.DB, error) {
	db, err := badger.Open(b)
	switch {
	case err == nil:
		return db, nil
	case strings.Contains(err.Error(), "Another process is using this Badger database"):
		// Badger has no error of its own for it, and systems differ in theirs.
		return nil, fmt.Errorf("%w: %w", ErrLocked, err)
	default:
		awaitForked()
		return nil, err
	}
}

// limitsOf leaves room in a transaction for what an operation writes beyond
// its estimate: counters, and messages evicted or replaced.
func limitsOf(b badger.Options) batchLimits {
	const nodeSize = 100 // of Badger's skip list, for each entry; rounded up
	size := b.MemTableSize * 15 / 100
	return batchLimits{entries: int(size / nodeSize / 4), bytes: int(size * 6 / 10)}
}

// recover reads what the queue was like, and notices if it was cut off. It reports
// whether commits are numbered anew from here, because some before are not known.
func (q *Queue) recover(recorded uint64) (anew bool, err error) {
	// What a newer version wrote must not be replayed.
	if err := q.view(context.Background(), q.readState); err != nil {
		return false, err
	}
	before := q.state.state
	replayed, err := q.replay(before.commits)
	if err != nil {
		return false, err
	}
	if had := before.commits; had < replayed.Begin.Number && replayed.Lost == 0 {
		q.log.Warn("the database was damaged: what it lacked is from the journal again",
			zap.Uint64("commits", replayed.Begin.Number-had))
	}
	if err := q.view(context.Background(), q.readState); err != nil {
		return false, err
	}
	for _, p := range replayed.Unreadable {
		q.log.Error("the disk cannot read a part of the journal: what the database lacks of it is not delivered, and messages in it become dead letters",
			zap.String("file", journal.FileName(p.Segment)), zap.Uint32("offset", p.Offset), zap.Uint32("bytes", p.Length))
	}
	// Of a frame that is damaged the database may have the changes.
	recorded = max(recorded, before.commits, q.state.commits) + replayed.Lost
	if q.lost = int64(recorded - q.state.commits); q.lost > 0 {
		q.log.Error("commits are missing: the journal was damaged or cut off, and messages in them are lost",
			zap.Int64("commits", q.lost))
	}
	anew = q.lost > 0 || replayed.Hidden > 0
	if anew {
		// What comes must not look like what was lost, or may be readable again.
		q.state.commits = recorded + replayed.Hidden
		q.state.seq = max(before.seq, q.state.seq)
		q.state.endpoint = max(before.endpoint, q.state.endpoint)
		if err := q.recount(); err != nil {
			return false, err
		}
	}
	err = q.view(context.Background(), func(tx *badger.Txn) error {
		if err := q.wanted.read(tx, q.journal.Has); err != nil {
			return err
		}
		return q.readEndpoints(tx)
	})
	if err != nil {
		return false, err
	}
	if err := q.journal.Drop(q.wanted.unwanted(replayed.Empty)); err != nil {
		return false, err
	}
	q.journal.After(q.wanted.newest)
	if err := q.journal.Start(q.state.commits); err != nil {
		return false, err
	}
	q.clock.before = q.db.MaxVersion()
	q.checkpointer.begun(replayed.Begin, q.journal.Tail())
	if anew {
		q.checkpointer.changed()
		err = q.checkpointer.sync() // so that a restart does not miss them again
	}
	q.missSegments()
	return anew, err
}

// missSegments says which segments of the journal are not there although something
// is wanted of them. Each had one commit at least.
func (q *Queue) missSegments() {
	if len(q.wanted.lost) == 0 {
		return
	}
	var names []string
	bytes := int64(0)
	for _, segment := range slices.Sorted(maps.Keys(q.wanted.lost)) {
		names = append(names, journal.FileName(segment))
		bytes += q.wanted.lost[segment]
	}
	q.log.Error("files of the journal are missing, and the messages in them are lost",
		zap.Strings("files", names), zap.Int64("bytes", bytes))
	q.lost = max(q.lost, int64(len(names)))
}

func (q *Queue) readState(tx *badger.Txn) error {
	value, ok, err := get(tx, stateKey())
	if err != nil {
		return err
	}
	q.state.state = state{schema: schemaVersion, seq: 1, endpoint: 1}
	if !ok {
		return nil
	}
	s, err := decodeState(value)
	if errors.Is(err, errNewerRecord) || err == nil && s.schema > schemaVersion {
		return fmt.Errorf("%w: schema %d, known up to %d", ErrNewer, s.schema, schemaVersion)
	}
	if err != nil {
		return fmt.Errorf("reading the state: %w", err)
	}
	if s.schema < schemaVersion {
		return fmt.Errorf("the directory was written before the first release, with schema %d: move it away", s.schema)
	}
	s.schema = schemaVersion
	q.state.state = s
	return nil
}

func (q *Queue) readEndpoints(tx *badger.Txn) error {
	it := tx.NewIterator(badger.IteratorOptions{Prefix: newKey(tableNames), PrefetchValues: true, PrefetchSize: 100})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		name := string(it.Item().Key()[1:])
		value, err := it.Item().ValueCopy(nil)
		if err != nil || len(value) != 4 {
			return fmt.Errorf("reading the number of endpoint %q: %w", name, errors.Join(err, errMalformed))
		}
		number := binary.BigEndian.Uint32(value)
		record, _, err := get(tx, countersKey(number))
		if err != nil {
			return err
		}
		c, err := decodeCounters(record)
		if err != nil {
			return fmt.Errorf("reading the counters of endpoint %q: %w", name, err)
		}
		q.scheduler.restore(name, number, c, q.state.seq)
		q.state.total += c.bytes
	}
	return nil
}
