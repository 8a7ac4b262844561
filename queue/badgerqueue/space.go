// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"fmt"
	"os"
	"path/filepath"
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
//	free < a quarter of it      the ballast is released, which others of the
//	                            system cannot have taken before
//	still below                 nothing is written at all, and so that no
//	                            settlements pile up, nothing handed out
//
// The ballast is a file that holds an eighth of the limit, 64 MiB at most.
type space struct {
	disk disk
	log  *zap.Logger
	full func(bool) // told when the disk becomes full and when it is no longer

	mu      sync.Mutex
	maxSize int64
	minFree int64
	free    int64
	ballast int64     // held
	refused time.Time // when the ballast was last refused
	state   diskState
	gone    bool // for good
}

// A disk is the disk that the queue is on.
type disk interface {
	// free returns how many bytes are free.
	free() (int64, error)

	// reserve makes the ballast this large, or removes it with 0. It leaves
	// none behind if it fails.
	reserve(size int64) error
}

type diskState int

const (
	diskFine diskState = iota
	diskLow            // publishes are refused
	diskFull           // nothing is written or handed out
)

const (
	maxBallast  = 64 << 20
	ballastName = "BALLAST"

	// reserveAgain is when to try for a ballast again that was refused. Where
	// space cannot be reserved, that is not asked for with every batch.
	reserveAgain = time.Hour
)

// errDiskLow is the answer to a publish while the disk is low.
var errDiskLow = fmt.Errorf("%w: the disk has too little free space", queue.ErrFull)

func newSpace(o Options) *space {
	return &space{
		disk:    o.disk,
		log:     o.Logger,
		full:    func(bool) {},
		maxSize: o.MaxSize,
		minFree: o.MinFreeSpace,
	}
}

// beforeOpen returns ErrDiskFull if the database must not even be opened. The
// ballast that the last process left is released if that helps.
func (s *space) beforeOpen() error {
	free, err := s.disk.free()
	if err == nil && judge(free, s.minFree) == diskFull {
		err = s.disk.reserve(0)
	}
	if err == nil {
		free, err = s.disk.free()
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
	return s.state != diskFull
}

// awaitRoom returns when the database can be closed: that writes to a memory map too.
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
		// The directory was removed, or its disk. What Badger has open is written
		// to nowhere, also if a directory of that name comes back.
		s.log.Error("the directory of the queue is gone: nothing is accepted or delivered until Caddy is restarted", zap.Error(err))
		s.gone = true
		s.become(diskFull)
		return
	}
	s.free = free
	want := s.wantBallast()
	if want > s.ballast && !s.refused.IsZero() && time.Since(s.refused) < reserveAgain {
		want = s.ballast
	}
	if want != s.ballast {
		s.refused = time.Time{}
		if err := s.disk.reserve(want); err != nil {
			s.log.Warn("reserving space on the disk", zap.Error(err))
			want = 0
			s.refused = time.Now()
		}
		s.free += s.ballast - want
		s.ballast = want
	}
	s.become(judge(s.free, s.minFree))
}

// wantBallast says how large the ballast should be.
func (s *space) wantBallast() int64 {
	full := min(maxBallast, s.minFree/8)
	switch {
	case s.free < s.minFree/4:
		return 0
	case s.free+s.ballast >= s.minFree+full:
		return full
	default:
		return s.ballast
	}
}

func judge(free, minFree int64) diskState {
	switch {
	case free < minFree/4:
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
	if full := state == diskFull; full != (s.state == diskFull) {
		s.full(full)
	}
	s.state = state
	size := zap.Int64("free_mib", s.free>>20)
	switch state {
	case diskFine:
		s.log.Info("the disk has space again", size)
	case diskLow:
		s.log.Error("the disk has too little free space: messages are refused", size)
	case diskFull:
		s.log.Error("the disk is full: nothing is written or delivered", size)
	}
}

// DiskStats says how much room the queue takes and has.
type DiskStats struct {
	SizeOnDisk int64 // of the directory, but for the ballast
	Bytes      int64 // that the messages are accounted with
	MaxSize    int64 // for them
	Free       int64 // of the disk
	MinFree    int64
	Refusing   bool // the disk is too full to accept messages
}

// Disk returns how much room the queue takes and has, as of a second ago.
func (q *Queue) Disk() DiskStats {
	d := DiskStats{Bytes: q.scheduler.bytes()}
	if q.gate.enter() == nil {
		d.SizeOnDisk = usedSpace(q.opts.Dir)
		q.gate.leave()
	}
	s := q.space
	s.mu.Lock()
	defer s.mu.Unlock()
	d.MaxSize, d.Free, d.MinFree, d.Refusing = s.maxSize, s.free, s.minFree, s.state != diskFine
	return d
}

func (s *scheduler) bytes() (sum int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.endpoints {
		sum += e.stats.bytes
	}
	return sum
}

// usedSpace is what the files in a directory take. One that goes away meanwhile
// takes nothing.
func usedSpace(dir string) (sum int64) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return 0
	}
	for _, f := range files {
		if info, err := f.Info(); err == nil && f.Name() != ballastName {
			sum += blocksOf(info)
		}
	}
	return sum
}

// localDisk is the disk that a directory is on.
type localDisk struct{ dir string }

func (d localDisk) free() (int64, error) { return freeSpace(d.dir) }

func (d localDisk) reserve(size int64) error {
	name := filepath.Join(d.dir, ballastName)
	if size == 0 {
		if err := os.Remove(name); err != nil && !os.IsNotExist(err) {
			return err
		}
		return nil
	}
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := allocate(f, size); err != nil {
		_ = f.Close()
		_ = os.Remove(name)
		return err
	}
	return f.Close()
}
