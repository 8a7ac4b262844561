// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/badger/v4/y"
	"go.uber.org/zap"
)

// Badger deletes the tables that are not on its list. Where the end of that is torn,
// which a flipped bit is enough for, it would take them with it. So a table is put
// on the list again if what is in it is nowhere else:
//
//   - it is newer than all that are on the list, so that it is none that was
//     compacted, nor one that came of that, and
//   - it is in no log, so that it is none that a crash left before it was listed.
//
// How new a table is, the record of the state says, which is in every transaction
// and never erased.

// listUnlisted puts such tables on the list. Nobody else may use the directory.
func listUnlisted(b badger.Options, log *zap.Logger) error {
	listed, end, err := readManifest(b)
	if err != nil || listed == nil {
		return err
	}
	unlisted, err := unlistedTables(b, listed)
	if err != nil || len(unlisted) == 0 {
		return err
	}
	var newest uint64
	for id, t := range listed {
		found, damage, err := checkTable(table.NewFilename(id, b.Dir), id, t.Compression)
		if err = errors.Join(damage, err); err != nil {
			return fmt.Errorf("looking for tables that are not listed: %w", err)
		}
		newest = max(newest, found)
	}
	maps.DeleteFunc(unlisted, func(_, version uint64) bool { return version <= newest })
	if len(unlisted) == 0 {
		return nil
	}
	ids := slices.Sorted(maps.Keys(unlisted))
	log.Warn("the list of the database's tables was cut off: those that it lacks are on it again", zap.Uint64s("tables", ids))
	if err := appendTables(b, end, ids); err != nil {
		return fmt.Errorf("listing tables: %w", err)
	}
	return nil
}

// unlistedTables returns the versions of the state in the tables that are whole, not
// on the list, and in no log.
func unlistedTables(b badger.Options, listed map[uint64]badger.TableManifest) (map[uint64]uint64, error) {
	names, err := filesOf(b.Dir, ".sst")
	if err != nil {
		return nil, err
	}
	unlisted := make(map[uint64]uint64)
	for _, name := range names {
		id, ok := table.ParseFileID(name)
		if _, is := listed[id]; is || !ok {
			continue
		}
		version, damage, err := checkTable(name, id, b.Compression)
		if err != nil {
			return nil, fmt.Errorf("looking for tables that are not listed: %w", err)
		}
		if damage != nil || version == 0 {
			continue
		}
		logged, err := inLogs(b.Dir, y.KeyWithTs(stateKey(), version))
		if err != nil {
			return nil, err
		}
		if !logged {
			unlisted[id] = version
		}
	}
	return unlisted, nil
}

// inLogs reports whether the logs of the database have a key with its version.
func inLogs(dir string, k []byte) (bool, error) {
	names, err := filesOf(dir, ".mem")
	if err != nil {
		return false, err
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			return false, fmt.Errorf("reading a log: %w", err)
		}
		if bytes.Contains(data, k) {
			return true, nil
		}
	}
	return false, nil
}

// appendTables writes tables to the list, behind where it can be read.
func appendTables(b badger.Options, end int64, ids []uint64) error {
	var changes []byte
	for _, id := range ids {
		// Creates a table on level zero: its number, and how it is compressed.
		change := binary.AppendUvarint([]byte{1 << 3}, id)
		change = append(change, 6<<3, byte(b.Compression))
		changes = append(changes, 1<<3|2, byte(len(change)))
		changes = append(changes, change...)
	}
	record := binary.BigEndian.AppendUint32(nil, uint32(len(changes)))
	record = binary.BigEndian.AppendUint32(record, crc32.Checksum(changes, y.CastagnoliCrcTable))
	record = append(record, changes...)
	f, err := os.OpenFile(filepath.Join(b.Dir, badger.ManifestFilename), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err = f.Truncate(end); err == nil {
		if _, err = f.WriteAt(record, end); err == nil {
			err = f.Sync()
		}
	}
	return errors.Join(err, f.Close())
}
