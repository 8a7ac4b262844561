// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

// A disk is the disk that the queue is on.
type disk interface {
	// free returns how many bytes are free.
	free() (int64, error)

	// reserve makes the ballast this large, or removes it with 0. It leaves
	// none behind if that cannot be reserved.
	reserve(size int64) error

	// reserved returns how much the ballast takes.
	reserved() int64
}

// isGone reports whether an error of free says that the directory is not there any
// more, and not that the disk failed to answer.
func isGone(err error) bool {
	return errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ESTALE)
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

func (d localDisk) reserved() int64 {
	info, err := os.Stat(filepath.Join(d.dir, ballastName))
	if err != nil {
		return 0
	}
	return blocksOf(info)
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
