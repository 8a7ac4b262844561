// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
)

// Whoever holds enough connections leaves Caddy without a file that it could open.
// Badger can do without one in all it does but this: if it cannot open the log of its
// next memtable, it has none from then on, reads through a nil pointer and ends the
// process with the next write. So a few files are held open for nothing, and closed
// in the moment before that.

// rotates is how Badger says that it is about to begin a memtable.
const rotates = "Flushing memtable"

// spareFiles is how many are held: Badger can begin as many memtables (NumMemtables
// and one) without having written one as a table, for which it needs a file too, and
// then would wait for that. With none left, nothing is written instead.
const spareFiles = 3

// filesToOpen is how many files must be free to open a database, beside those of its
// tables and logs: it needs about ten, and connections may take others meanwhile.
const filesToOpen = 32

// enoughFiles returns an error if a database could not be opened for want of files.
// Badger itself ends the process if it cannot open the directory or DISCARD then.
func enoughFiles(dir string) error {
	names, err := filesOf(dir, ".mem", ".vlog", ".sst")
	if err != nil {
		return fmt.Errorf("counting the files of the database: %w", err)
	}
	needed := len(names) + filesToOpen
	for range needed {
		f, err := os.Open(dir)
		if err != nil {
			return fmt.Errorf("opening the database needs room for %d open files (see ulimit -n): %w", needed, err)
		}
		defer func() { _ = f.Close() }() // all of them at the end, and nothing was done with it
	}
	return nil
}

// spares are files that are open for nothing.
type spares struct {
	name string // of what is opened

	mu    sync.Mutex
	files []*os.File
	lent  bool // until restore
	ended bool
}

// restore is called when who needed a file has it.
func (s *spares) restore() {
	s.mu.Lock()
	s.lent = false
	s.mu.Unlock()
	s.fill()
}

// fill opens those that are missing. It reports false if there is none: nothing must
// be written to the database then.
func (s *spares) fill() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.files) < spareFiles && !s.lent && !s.ended {
		f, err := os.Open(s.name)
		if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
			return len(s.files) > 0
		}
		if err != nil {
			return true // it is not for want of files
		}
		s.files = append(s.files, f)
	}
	return true
}

// release closes all until restore, for somebody to open files in their place.
func (s *spares) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.files {
		_ = f.Close() // nothing was done with it
	}
	s.files, s.lent = s.files[:0], true
}

// end closes all for good.
func (s *spares) end() {
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.release()
}

// stops reports whether nothing is written.
func (s diskState) stops() bool { return s >= diskFull }

func (s diskState) isOver() string {
	if s == noFiles {
		return "files can be opened again"
	}
	return "the disk has space again"
}

// judged is judge that also looks whether a file can be opened.
func (s *space) judged() diskState {
	state := judge(s.free, s.minFree)
	if !state.stops() && !s.canOpen() {
		return noFiles
	}
	return state
}
