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
		damage, err := checkTable(file, id, tables[id].Compression)
		if errors.Is(err, os.ErrNotExist) {
			continue // Badger will say so
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
func listTables(b badger.Options) (tables map[uint64]badger.TableManifest, err error) {
	f, err := os.Open(filepath.Join(b.Dir, badger.ManifestFilename))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing the tables: %w", err)
	}
	m, _, err := badger.ReplayManifestFile(f, b.ExternalMagicVersion, b)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("listing the tables: %w", err)
	}
	return m.Tables, nil
}

// checkTable reads a table to its end.
func checkTable(file string, id uint64, c options.CompressionType) (damage, err error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	// Badger panics at some of the values that are not possible.
	defer func() {
		if value := recover(); value != nil {
			damage = errors.New("it cannot be decoded")
		}
	}()
	if err := checkFooter(data); err != nil {
		return err, nil
	}
	t, err := table.OpenInMemoryTable(data, id, &table.Options{
		Compression: c,
		BlockSize:   4 << 10,
		ChkMode:     options.OnBlockRead,
	})
	if err != nil {
		return err, nil
	}
	it := t.NewIterator(table.NOCACHE)
	defer func() { _ = it.Close() }() // there is no file
	var last []byte
	for it.Rewind(); it.Valid(); it.Next() {
		last = append(last[:0], it.Key()...)
	}
	if !bytes.Equal(last, t.Biggest()) {
		return errors.New("a block is not what was written"), nil
	}
	return nil, nil
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
