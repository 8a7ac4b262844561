// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/dgraph-io/badger/v4"
)

// A platter is what a disk has for certain of the logs of a database, which are
// synced with checkpoints: what they were then. Of tables and of the journal it
// has all, which are synced when they are written.
type platter struct {
	mu     sync.Mutex
	synced map[string][]byte
}

// sync is for Options.
func (p *platter) sync(f *os.File) error {
	if filepath.Ext(f.Name()) == ".mem" {
		data, err := os.ReadFile(f.Name())
		if err != nil {
			return err
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.synced == nil {
			p.synced = make(map[string][]byte)
		}
		p.synced[filepath.Base(f.Name())] = data
	}
	return f.Sync()
}

// now is what it has now.
func (p *platter) now() *platter {
	p.mu.Lock()
	defer p.mu.Unlock()
	return &platter{synced: maps.Clone(p.synced)}
}

// logs returns the names of the logs in a directory.
func logs(t testing.TB, dir string) (names []string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.mem"))
	must(t, err)
	for _, p := range paths {
		names = append(names, filepath.Base(p))
	}
	return names
}

// cut cuts the power for a copy of the directory. It returns how many logs were
// new, and how many are there again that had become tables.
func (p *platter) cut(t testing.TB, dir string, left func(synced, now []byte) []byte) (begun, ended int) {
	t.Helper()
	again := p.now().synced
	for _, name := range logs(t, dir) {
		now, err := os.ReadFile(filepath.Join(dir, name))
		must(t, err)
		if again[name] == nil {
			begun++
		}
		must(t, os.WriteFile(filepath.Join(dir, name), left(again[name], now), 0o600))
		delete(again, name)
	}
	for name, data := range again {
		ended++
		must(t, os.WriteFile(filepath.Join(dir, name), data, 0o600))
	}
	return begun, ended
}

// powerCuts are what a power cut leaves of the logs: what was synced, and anything
// of what was written since.
func powerCuts(t *testing.T) map[string]func(synced, now []byte) []byte {
	random := seeded(t)
	beginning, pages := rand.New(rand.NewPCG(random.Uint64(), 0)), rand.New(rand.NewPCG(random.Uint64(), 0))
	return map[string]func(synced, now []byte) []byte{
		"nothing is left": nothingLeft,
		"all is left":     func(_, now []byte) []byte { return now },
		"the beginning is left": func(synced, now []byte) []byte {
			return upTo(synced, now, beginning.IntN(size(synced, now)+1))
		},
		"all but a byte is left": func(synced, now []byte) []byte {
			return upTo(synced, now, max(0, size(synced, now)-1))
		},
		"some pages are left": func(synced, now []byte) []byte {
			left := bytes.Clone(now)
			for at := 0; at < len(left); at += 4 << 10 {
				if pages.IntN(2) == 0 {
					left = upToFrom(left, synced, at, at+4<<10)
				}
			}
			return left
		},
		"the length is lost": func(synced, _ []byte) []byte {
			if synced == nil {
				return []byte{} // of a file that was new
			}
			return synced
		},
	}
}

func nothingLeft(synced, _ []byte) []byte { return synced }

// size is where the last byte is that was written since.
func size(synced, now []byte) int {
	n := len(now)
	for n > 0 && now[n-1] == at(synced, n-1) {
		n--
	}
	return n
}

func at(data []byte, i int) byte {
	if i < len(data) {
		return data[i]
	}
	return 0
}

func upTo(synced, now []byte, n int) []byte { return upToFrom(bytes.Clone(now), synced, n, len(now)) }

// upToFrom puts what was synced in the place of what is there now.
func upToFrom(now, synced []byte, from, to int) []byte {
	for i := from; i < min(to, len(now)); i++ {
		now[i] = at(synced, i)
	}
	return now
}

// smaller makes a database whose logs can be copied often.
func smaller(b *badger.Options) {
	small(b)
	b.MemTableSize, b.ValueThreshold = 2<<20, 300<<10
}

func TestAPowerCutBetweenCheckpointsLosesNothing(t *testing.T) {
	t.Parallel()
	var disk platter
	m := newModel(t, Options{tune: smaller, sync: disk.sync})
	cuts, begun, ended := powerCuts(t), 0, 0
	for range 2 {
		m.change(100)
		must(t, m.checkpointer.make(t.Context()))
		for range 2 {
			m.change(100)
			must(t, m.fillMemtable(t.Context())) // a log becomes a table
			m.change(100)
			for how, left := range cuts {
				c := m.copied(func(dir string) {
					b, e := disk.cut(t, dir, left)
					begun, ended = begun+b, ended+e
				})
				c.check()
				if t.Failed() {
					t.Fatalf("of the logs, %s", how)
				}
				must(t, c.Close())
			}
		}
	}
	if begun == 0 || ended == 0 {
		t.Errorf("%d logs were new, %d became tables: that is no power cut", begun, ended)
	}
}
