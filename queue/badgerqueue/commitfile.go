// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// A commitFile counts commits beside the journal. The end of a journal cannot be
// told from one that was cut off there; one that counts fewer commits than this
// file has lost some.
//
// It is not synced. After a power cut it may be older than the database or torn,
// which says nothing, but never newer.
type commitFile struct {
	f *os.File
}

const commitFileName = "COMMITS"

// openCommitFile returns the number in the file too, 0 if it cannot be told.
func openCommitFile(dir string) (*commitFile, uint64, error) {
	f, err := os.OpenFile(filepath.Join(dir, commitFileName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, 0, fmt.Errorf("counting commits: %w", err)
	}
	var b [12]byte
	if _, err := f.ReadAt(b[:], 0); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, syscall.EIO) {
		return nil, 0, fmt.Errorf("counting commits: %w", errors.Join(err, f.Close()))
	}
	if crc32.ChecksumIEEE(b[:8]) != binary.BigEndian.Uint32(b[8:]) {
		return &commitFile{f}, 0, nil
	}
	return &commitFile{f}, binary.BigEndian.Uint64(b[:8]), nil
}

// note writes the number of commits. It may fail, at the cost of a warning less
// at the next start.
func (c *commitFile) note(commits uint64) {
	var b [12]byte
	binary.BigEndian.PutUint64(b[:8], commits)
	binary.BigEndian.PutUint32(b[8:], crc32.ChecksumIEEE(b[:8]))
	_, _ = c.f.WriteAt(b[:], 0)
}

func (c *commitFile) close() error {
	if err := c.f.Close(); err != nil {
		return fmt.Errorf("counting commits: %w", err)
	}
	return nil
}
