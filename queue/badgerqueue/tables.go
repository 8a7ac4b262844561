// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/badger/v4/y"
)

// A flipped bit in a table would take messages away without a word: Badger's
// iterators end at a block that they cannot read, and its compactions drop what
// is behind it for good. It has checks of its own at the start, but they end the
// process. So all tables are read before Badger may touch them.

// errDamaged says what to do, because there is nothing that we can.
var errDamaged = errors.New("the database is damaged: restore the directory from a copy, " +
	"or move it away to begin with an empty queue")

// checkTables returns errDamaged if a table is not as it was written. It reads
// all of them, one after the other.
func checkTables(b badger.Options) error {
	tables, err := listTables(b)
	if err != nil {
		return err
	}
	ids := make([]uint64, 0, len(tables))
	for id := range tables {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		file := table.NewFilename(id, b.Dir)
		_, damage, err := checkTable(file, id, tables[id].Compression)
		if errors.Is(err, os.ErrNotExist) {
			damage, err = errors.New("it is missing"), nil
		}
		if err != nil {
			return fmt.Errorf("checking a table: %w", err)
		}
		if damage == nil {
			continue
		}
		// Another process may have the directory open, and have just deleted it.
		now, err := listTables(b)
		if err != nil {
			return err
		}
		if _, there := now[id]; there {
			return fmt.Errorf("%w: %s: %w", errDamaged, filepath.Base(file), damage)
		}
	}
	return nil
}

// listTables returns the tables that the database consists of. Other files are
// what a crash left, and may be torn.
func listTables(b badger.Options) (map[uint64]badger.TableManifest, error) {
	tables, _, err := readManifest(b)
	return tables, err
}

// readManifest is listTables, and says where the list ends that can be read.
func readManifest(b badger.Options) (tables map[uint64]badger.TableManifest, end int64, err error) {
	f, err := os.Open(filepath.Join(b.Dir, badger.ManifestFilename))
	if errors.Is(err, os.ErrNotExist) {
		return nil, 0, checkEmpty(b.Dir)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("listing the tables: %w", err)
	}
	m, end, err := badger.ReplayManifestFile(f, b.ExternalMagicVersion, b)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, 0, fmt.Errorf("%w: %s: %w", errDamaged, badger.ManifestFilename, err)
	}
	return m.Tables, end, nil
}

// checkEmpty returns errDamaged if a directory without a list of tables has some:
// Badger would begin with an empty database, and delete them.
func checkEmpty(dir string) error {
	tables, err := filesOf(dir, ".sst")
	if err == nil && len(tables) > 0 {
		err = fmt.Errorf("%w: %s is missing", errDamaged, badger.ManifestFilename)
	}
	return err
}

// checkTable reads a table to its end. It returns the version of the newest record of
// the state in it.
func checkTable(file string, id uint64, c options.CompressionType) (newest uint64, damage, err error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return 0, nil, err
	}
	// Badger panics at some of the values that are not possible.
	defer func() {
		if value := recover(); value != nil {
			damage = errors.New("it cannot be decoded")
		}
	}()
	if err := checkFooter(data); err != nil {
		return 0, err, nil
	}
	t, err := table.OpenInMemoryTable(data, id, &table.Options{
		Compression: c,
		BlockSize:   4 << 10,
		ChkMode:     options.OnBlockRead,
	})
	if err != nil {
		return 0, err, nil
	}
	it := t.NewIterator(table.NOCACHE)
	defer func() { _ = it.Close() }() // there is no file
	var last []byte
	for it.Rewind(); it.Valid(); it.Next() {
		last = append(last[:0], it.Key()...)
		if bytes.Equal(y.ParseKey(last), stateKey()) {
			newest = max(newest, y.ParseTs(last))
		}
	}
	if !bytes.Equal(last, t.Biggest()) {
		return 0, errors.New("a block is not what was written"), nil
	}
	return newest, nil, nil
}

// checkFooter looks at the lengths at the end of a table, at which Badger would
// end the process: those of the index, its checksum, and after each its length.
func checkFooter(data []byte) error {
	rest := len(data)
	for range 2 {
		if rest < 4 {
			return errors.New("it is cut off")
		}
		rest -= 4
		length := int64(binary.BigEndian.Uint32(data[rest:]))
		if length > int64(rest) {
			return errors.New("its end is not what was written")
		}
		rest -= int(length)
	}
	return nil
}
