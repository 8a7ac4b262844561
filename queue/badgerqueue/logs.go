// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/dgraph-io/badger/v4"
)

// Badger can encrypt, so that its logs begin with the number of a key, and there is
// a file for keys. It opens neither if a bit of that is flipped, and does not say
// why. We encrypt nothing, so that they can be told to be damaged, and done
// without: what is in a log is in the journal too.

var errDamagedLog = errors.New("a log of the database is damaged: delete it, and what was in it is read from the journal")

// registry is what the file for keys ends with. Before it are 16 random bytes.
const registry = "Hello Badger"

// checkLogs returns an error if Badger would not open a log, or the file for keys.
// One that is empty is not begun yet.
func checkLogs(dir string) error {
	names, err := filesOf(dir, ".mem", ".vlog")
	if err != nil {
		return err
	}
	for _, name := range names {
		var key [8]byte
		if err := readBeginning(name, key[:]); err != nil {
			return fmt.Errorf("checking a log: %w", err)
		}
		if key != [8]byte{} {
			return fmt.Errorf("%w: %s", errDamagedLog, filepath.Base(name))
		}
	}
	keys, err := os.ReadFile(filepath.Join(dir, badger.KeyRegistryFileName))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("checking the keys of the database: %w", err)
	}
	if len(keys) != 16+len(registry) || !bytes.HasSuffix(keys, []byte(registry)) {
		return fmt.Errorf("%s is damaged: delete it, there is nothing in it", badger.KeyRegistryFileName)
	}
	return nil
}

// filesOf returns the files of a directory with one of the extensions.
func filesOf(dir string, extensions ...string) (names []string, err error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		if slices.Contains(extensions, filepath.Ext(f.Name())) {
			names = append(names, filepath.Join(dir, f.Name()))
		}
	}
	return names, nil
}

// readBeginning reads the first bytes of a file, as far as there are any.
func readBeginning(name string, b []byte) error {
	f, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil // somebody else has the directory open
	}
	if err != nil {
		return err
	}
	if _, err = f.ReadAt(b, 0); errors.Is(err, io.EOF) {
		err = nil
	}
	return errors.Join(err, f.Close())
}

// cutLogs cuts logs off at an entry that does not fit into its log. Badger would do
// so too, but ask for as much memory first, which one flipped bit makes up to 8 GiB.
// Nobody else may use the directory.
func cutLogs(dir string) error {
	names, err := filesOf(dir, ".mem")
	if err != nil {
		return err
	}
	for _, name := range names {
		log, err := os.ReadFile(name)
		if err != nil {
			return fmt.Errorf("checking a log: %w", err)
		}
		if end := endOfLog(log); end < len(log) {
			if err := os.Truncate(name, int64(end)); err != nil {
				return fmt.Errorf("cutting off a damaged log: %w", err)
			}
		}
	}
	return nil
}

// endOfLog returns where the first entry begins that does not fit into a log; if all
// do, the length of the log.
//
// An entry is two bytes, the lengths of its key and its value, and when it expires,
// as varints, then both, and a checksum.
func endOfLog(log []byte) int {
	const header, checksum = 20, 4
	for at := header; at < len(log); {
		rest := log[at:]
		size, lengths := 2, [3]uint64{}
		for i := range lengths {
			n, read := binary.Uvarint(rest[min(size, len(rest)):])
			if read <= 0 {
				return at
			}
			lengths[i], size = n, size+read
		}
		k, v := uint64(uint32(lengths[0])), uint64(uint32(lengths[1]))
		if k == 0 && v == 0 {
			return len(log) // all behind it is filled up with zeros
		}
		if uint64(size)+k+v+checksum > uint64(len(rest)) {
			return at
		}
		at += size + int(k+v) + checksum
	}
	return len(log)
}

// removeEmptyLogs removes files that Badger had created, and not yet given a
// length, when a crash came. It would fail to open them. Nobody else may use the
// directory.
func removeEmptyLogs(dir string) error {
	names, err := filesOf(dir, ".mem", ".vlog")
	if err != nil {
		return err
	}
	for _, name := range names {
		info, err := os.Stat(name)
		if err == nil && info.Size() == 0 {
			err = os.Remove(name)
		}
		if err != nil {
			return fmt.Errorf("removing an empty log: %w", err)
		}
	}
	return nil
}
