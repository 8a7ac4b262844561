// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"go.uber.org/zap"

	"github.com/caddy-webhook-inbox/inbox/queue/badgerqueue/journal"
)

// Options say how to open a queue.
type Options struct {
	// Dir is the directory that holds the queue, and nothing else. It is
	// created if it is missing.
	Dir string

	// MaxSize is the room for all messages in bytes, waiting, kept and dead
	// together. Default: 10 GiB.
	MaxSize int64

	// MinFreeSpace is the free space of the disk in bytes, below which nothing
	// more is accepted; LeastFreeSpace at least. Default: 512 MiB.
	MinFreeSpace int64

	// Logger is told what an operator should know. Default: nobody is.
	Logger *zap.Logger

	// Now is the wall clock, for what is stored: due times, windows, retention.
	// Default: time.Now.
	Now func() time.Time

	// OnCommit, if not nil, is called after each commit, by the goroutine that
	// commits: it must be quick.
	OnCommit func(CommitStats)

	// What tests change.
	tune    func(*badger.Options)
	commit  func(*batch) error // in place of the batch's own
	sync    func(*os.File) error
	readAt  func(f *os.File, b []byte, at int64) (int, error)
	patient time.Duration // with a disk that cannot read the journal, while it is opened
	segment int64         // the size of the journal's segments
	disk    disk
	budgets budgets
	every   intervals
}

// CommitStats says what one commit made durable.
type CommitStats struct {
	Messages   int   // that were accepted
	Operations int   // these among them
	Bytes      int64 // written
	Duration   time.Duration
}

// LeastFreeSpace is the least that MinFreeSpace may be. When nothing more is
// accepted, deliveries are still noted, and the database is compacted, which takes
// space before it gives more back. With less the queue alone would fill the disk.
const LeastFreeSpace = 64 << 20

const (
	defaultMaxSize      = 10 << 30
	defaultMinFreeSpace = 512 << 20
)

func (o Options) withDefaults() (Options, error) {
	if o.Dir == "" {
		return o, errors.New("directory is missing")
	}
	if o.MaxSize < 0 || o.MinFreeSpace < 0 {
		return o, fmt.Errorf("negative size: max size %d, free space %d", o.MaxSize, o.MinFreeSpace)
	}
	if o.MaxSize == 0 {
		o.MaxSize = defaultMaxSize
	}
	if o.MinFreeSpace == 0 {
		o.MinFreeSpace = defaultMinFreeSpace
	}
	if o.MinFreeSpace < LeastFreeSpace {
		return o, fmt.Errorf("free space of %d bytes: it must be %d at least", o.MinFreeSpace, LeastFreeSpace)
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.commit == nil {
		o.commit = (*batch).commit
	}
	if o.segment == 0 {
		o.segment = 64 << 20
	}
	if o.disk == nil {
		o.disk = localDisk{dir: o.Dir}
	}
	o.budgets = o.budgets.withDefaults()
	o.every = o.every.withDefaults()
	return o, nil
}

func (o Options) journalOptions() journal.Options {
	return journal.Options{
		SegmentSize: o.segment,
		Runway:      o.segment / 16,
		Sync:        o.sync,
		ReadAt:      o.readAt,
		Patience:    o.patient,
		SetAside: func(name string) {
			o.Logger.Error("a part of the journal is kept that could not be read: it may have messages that were never delivered",
				zap.String("file", name))
		},
	}
}

// badgerOptions are sized for a sidecar: little memory when idle, no value log,
// and a log that keeps up with a burst. Nothing is synced but tables: the journal
// has it.
//
// A compaction builds up to thirteen tables at once, each in three times the memory
// of a table, and as much again for what is compressed. So they are small, on all
// levels, and not compressed, which would save a fifteenth of the whole on disk:
// with millions of messages the process took a gigabyte for moments.
func (o Options) badgerOptions() badger.Options {
	b := badger.DefaultOptions(o.Dir).
		WithSyncWrites(false).
		WithDetectConflicts(false). // there is a single writer
		WithMemTableSize(16 << 20).
		WithNumMemtables(2).
		WithValueThreshold(1 << 20).
		WithValueLogFileSize(16 << 20).
		WithNumLevelZeroTables(8).
		WithNumLevelZeroTablesStall(16).
		WithBaseTableSize(2 << 20).
		WithBaseLevelSize(64 << 20).
		WithNumCompactors(2).
		WithBlockCacheSize(8 << 20).
		WithIndexCacheSize(8 << 20).
		WithCompression(options.None).
		WithChecksumVerificationMode(options.OnBlockRead).
		WithVerifyValueChecksum(true).
		WithMetricsEnabled(false)
	b.TableSizeMultiplier = 1
	if o.tune != nil {
		o.tune(&b)
	}
	return b.WithLogger(badgerLog{o.Logger.Named("badger").Sugar(), nil})
}
