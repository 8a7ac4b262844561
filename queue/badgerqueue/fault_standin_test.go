// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/table"
)

// What is left of a table that Badger listed, and deleted because it could not sync
// the list, is its place there. Without a table in it the database is not opened.
func TestFaultTheListOfTablesCouldNotBeSynced(t *testing.T) {
	t.Parallel()
	for name, replaced := range map[string]bool{"and one stands in": true, "which goes unnoticed": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := openTest(t, Options{})
			given := give(t, q, "here", 10)
			must(t, q.Close())
			const table = "\x0a\x04\x08\x63\x30\x01" // one, 99, with Snappy
			list(t, q.opts.Dir, table)
			if replaced {
				must(t, standIn(q.opts.badgerOptions()))
			}
			again, err := Open(q.opts)
			if !replaced {
				if err == nil {
					t.Fatal(errors.Join(errors.New("it is opened all the same"), again.Close()))
				}
				return
			}
			must(t, err)
			defer func() { must(t, again.Close()) }()
			for _, m := range given {
				if d := receive(t, again, "here"); d.Message.ID != m.ID {
					t.Errorf("received %s, want %s", d.Message.ID, m.ID)
				}
			}
			nothing(t, again, "here")
		})
	}
}

// A table that took the place of others is not replaced: what they had would be lost.
func TestFaultTheResultOfACompactionIsMissing(t *testing.T) {
	t.Parallel()
	q := openTest(t, Options{})
	give(t, q, "here", 10)
	must(t, q.Close())
	tables, err := listTables(q.opts.badgerOptions())
	must(t, err)
	for id := range tables {
		list(t, q.opts.Dir, "\x0a\x04\x08\x63\x30\x01"+"\x0a\x04\x08"+string(rune(id))+"\x10\x01")
	}
	must(t, standIn(q.opts.badgerOptions()))
	if _, err := os.Stat(table.NewFilename(99, q.opts.Dir)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is replaced: %v", err)
	}
	if again, err := Open(q.opts); err == nil {
		t.Error(errors.Join(errors.New("it is opened all the same"), again.Close()))
	}
}

// list appends a change to the list of tables.
func list(t *testing.T, dir, change string) {
	t.Helper()
	record := binary.BigEndian.AppendUint32(nil, uint32(len(change)))
	record = binary.BigEndian.AppendUint32(record, crc32.Checksum([]byte(change), crc32.MakeTable(crc32.Castagnoli)))
	f, err := os.OpenFile(filepath.Join(dir, badger.ManifestFilename), os.O_WRONLY|os.O_APPEND, 0)
	must(t, err)
	_, err = f.Write(append(record, change...))
	must(t, errors.Join(err, f.Close()))
}
