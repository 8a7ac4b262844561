// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestADamagedTableIsNotOpened(t *testing.T) {
	t.Parallel()
	q := openTest(t, Options{})
	given := give(t, q, "here", 500)
	must(t, q.Close())
	tables, err := filepath.Glob(filepath.Join(q.opts.Dir, "*.sst"))
	must(t, err)
	if len(tables) != 1 {
		t.Fatalf("there are %d tables", len(tables))
	}
	whole, err := os.ReadFile(tables[0])
	must(t, err)
	refused := func(name string, data []byte) {
		t.Helper()
		must(t, os.WriteFile(tables[0], data, 0o600))
		q, err := Open(q.opts)
		if err == nil {
			// Compressed data may say the same in two ways.
			for _, m := range given {
				if d := receive(t, q, "here"); d.Message.ID != m.ID {
					t.Errorf("%s: received %s, want %s", name, d.Message.ID, m.ID)
				}
			}
			must(t, q.Close())
			return
		}
		if !errors.Is(err, errDamaged) || !strings.Contains(err.Error(), filepath.Base(tables[0])) {
			t.Errorf("%s: %v", name, err)
		}
	}
	const places = 200
	for i := range places {
		data := []byte(string(whole))
		at := (len(data) - 1) * i / (places - 1)
		data[at] ^= 1 << (i % 8)
		refused(fmt.Sprintf("a flipped bit in byte %d of %d", at, len(data)), data)
	}
	for i := 1; i <= 40; i++ {
		data := []byte(string(whole))
		data[len(data)-i] ^= 0xff
		refused(fmt.Sprintf("byte %d from the end", i), data)
	}
	refused("an empty file", nil)
	refused("half a file", whole[:len(whole)/2])

	must(t, os.WriteFile(tables[0], whole, 0o600))
	q = openTest(t, q.opts)
	for range 500 {
		must(t, receive(t, q, "here").Lease.Ack(0))
	}
}

func TestATableThatDoesNotBelongToTheDatabaseIsIgnored(t *testing.T) {
	t.Parallel()
	q := openTest(t, Options{})
	give(t, q, "here", 1)
	must(t, q.Close())
	must(t, os.WriteFile(filepath.Join(q.opts.Dir, "000777.sst"), []byte("torn"), 0o600))
	q = openTest(t, q.opts)
	receive(t, q, "here")
}
