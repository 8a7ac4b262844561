// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// A space guards the disk. Badger writes through memory maps: on a full disk
// that is not an error but a signal, which kills the process, and again at each
// start. So it is never let come to that:
//
//	free ≥ the limit            all is well
//	free < the limit            publishes are refused, settlements written
//	free < a quarter of it,     the ballast is released, which others of the
//	or 32 MiB                   system cannot have taken before
//	still below                 nothing is written at all, not even tables that
//	                            are compacted, and so that no settlements pile
//	                            up, nothing handed out
//
// The ballast is a file that holds an eighth of the limit, 64 MiB at most. It stays
// when the queue is closed. The 32 MiB are for what Badger writes between two looks:
// 2 MiB of changes, and what it has in memory as a table, which is 16 MiB at most. They
// are not for compactions: each table is looked for room for, but two compactions may
// build thirteen of 2 MiB at the same time each. For all of that a quarter of the limit
// is enough from 280 MiB on, which the default is above.
type space struct {
	disk disk
	log  *zap.Logger
	full func(bool) // told when the disk becomes full and when it is no longer

	// canOpen reports whether Badger can open a file: without, it must not be
	// written to either.
	canOpen func() bool

	mu      sync.Mutex
	maxSize int64
	minFree int64
	free    int64
	ballast int64     // held
	refused time.Time // when the ballast was last refused
	state   diskState
	gone    bool // for good
}

type diskState int

const (
	diskFine   diskState = iota
	diskLow              // publishes are refused
	diskFull             // nothing is written or handed out
	noFiles              // the same, because the process has too many open
	diskSilent           // the same, because the disk does not say what is free
)

const (
	maxBallast  = 64 << 20
	ballastName = "BALLAST"
	leastFree   = 32 << 20 // with less, nothing is written

	// reserveAgain is when to try for a ballast again that was refused. Where
	// space cannot be reserved, that is not asked for with every batch.
	reserveAgain = time.Hour
)

// errDiskLow is the answer to a publish while the disk is low.
var errDiskLow = fmt.Errorf("%w: the disk has too little free space, or too many files are open", queue.ErrFull)

func newSpace(o Options) *space {
	return &space{
		ballast: o.disk.reserved(),
		disk:    o.disk,
		log:     o.Logger,
		full:    func(bool) {},
		canOpen: func() bool { return true },
		maxSize: o.MaxSize,
		minFree: o.MinFreeSpace,
	}
}

// beforeOpen returns ErrDiskFull if the database must not even be opened. The
// ballast that the last process left is released if that helps.
func (s *space) beforeOpen() error {
	free, err := s.disk.free()
	if err == nil && judge(free, s.minFree) == diskFull {
		if err = s.disk.reserve(0); err == nil {
			s.ballast = 0
			free, err = s.disk.free()
		}
	}
	if err == nil && judge(free, s.minFree) == diskFull {
		err = fmt.Errorf("%w: %d MiB are free", ErrDiskFull, free>>20)
	}
	return err
}

func (s *space) setLimits(maxSize, minFree int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.maxSize, s.minFree = maxSize, minFree
	s.check()
}

// mayWrite looks at the disk, and reports whether a batch may be written.
func (s *space) mayWrite() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.check()
	return !s.state.stops()
}

// tableIsNext is how Badger says that a compaction is about to write a table, for
// which it may have to wait: it holds no lock. A compaction goes on for long after
// the last batch.
const tableIsNext = "[%d] LOG Compact. Added "

// awaitRoom returns when the database may write of itself, which it does to close
// too.
func (s *space) awaitRoom() {
	for !s.mayWrite() && !s.isGone() {
		time.Sleep(time.Second)
	}
}

func (s *space) isGone() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gone
}

// mayPublish reports whether a message may be accepted, going by the last look.
func (s *space) mayPublish() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == diskFine
}

func (s *space) limit() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.maxSize
}

// check looks at the disk and acts. It may be called as often as there are
// batches.
func (s *space) check() {
	if s.gone {
		return
	}
	free, err := s.disk.free()
	if err != nil {
		s.cannotTell(err)
		return
	}
	s.free = free
	want := s.wantBallast()
	again := s.refused.IsZero() || time.Since(s.refused) >= reserveAgain
	if want > s.ballast && !again {
		want = s.ballast
	}
	if want != s.ballast {
		err := s.disk.reserve(want)
		if err == nil {
			s.refused = time.Time{}
		} else {
			want = s.disk.reserved()
		}
		if err != nil && again {
			s.log.Warn("reserving space on the disk", zap.Error(err))
			s.refused = time.Now()
		}
		s.free += s.ballast - want
		s.ballast = want
	}
	s.become(s.judged())
}

// cannotTell is for a look that failed: what is not known to be free is not written
// to. The next look may succeed, unless the directory is gone.
func (s *space) cannotTell(err error) {
	switch s.gone = isGone(err); {
	case s.gone:
		// What Badger has open is written to nowhere, also if a directory of that
		// name comes back.
		s.log.Error("the directory of the queue is gone: nothing is accepted or delivered until Caddy is restarted", zap.Error(err))
	case s.state != diskSilent:
		s.log.Error("the disk does not say how much of it is free: nothing is accepted or delivered until it does", zap.Error(err))
	}
	s.become(diskSilent)
}

// wantBallast says how large the ballast should be.
func (s *space) wantBallast() int64 {
	full := min(maxBallast, s.minFree/8)
	switch {
	case judge(s.free, s.minFree) == diskFull:
		return 0
	case s.free+s.ballast-full >= s.minFree:
		return full
	default:
		return s.ballast
	}
}

func judge(free, minFree int64) diskState {
	switch {
	case free < max(minFree/4, leastFree):
		return diskFull
	case free < minFree:
		return diskLow
	default:
		return diskFine
	}
}

func (s *space) become(state diskState) {
	if state == s.state {
		return
	}
	if stops := state.stops(); stops != s.state.stops() {
		s.full(stops)
	}
	before := s.state
	s.state = state
	size := zap.Int64("free_mib", s.free>>20)
	switch state {
	case diskFine:
		s.log.Info(before.isOver(), size)
	case diskLow:
		s.log.Error("the disk has too little free space: messages are refused", size)
	case diskFull:
		s.log.Error("the disk is full: nothing is written or delivered", size)
	case noFiles:
		s.log.Error("the process has too many files and connections open: nothing is written or delivered until it can open a file again")
	}
}
