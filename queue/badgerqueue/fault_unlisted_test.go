// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// The list of the database's tables is cut off at any byte behind its beginning, of
// a directory that was closed, and of one that was killed, which has newer changes in
// its log. Badger would delete the tables that are not listed any more: what is in
// them is all there.
func TestFaultTheListOfTablesIsCutOff(t *testing.T) {
	t.Parallel()
	p := newPast(t, seeded(t))
	for range 2 {
		q := p.open()
		p.use(q, 40)
		must(t, q.Close())
	}
	p.ended = time.Now()
	p.listCutOff("closed", p.opts.Dir)
	q := p.open()
	p.use(q, 40)
	p.listCutOff("killed", p.kill(q))
}

func (p *past) listCutOff(name, dir string) {
	p.t.Helper()
	whole, err := os.ReadFile(filepath.Join(dir, "MANIFEST"))
	must(p.t, err)
	const begins = 8
	for at := begins; at < len(whole); at += 1 + p.random.IntN(rounds(len(whole)/3, 1)) {
		c := p.t.TempDir()
		copyFiles(p.t, dir, c)
		must(p.t, os.Truncate(filepath.Join(c, "MANIFEST"), int64(at)))
		if v := p.judge(p.t, c); v.err != nil || len(v.violations) > 0 || len(v.reported) > 0 {
			p.t.Errorf("%s, cut off at %d of %d: %v", name, at, len(whole), v)
		}
		must(p.t, os.RemoveAll(c))
	}
}

// A table that a kill left before it was listed is in the log too. One that was
// compacted away is older than what came of it: with it, what was erased since would
// be back. Neither is listed again.
func TestFaultAnUnlistedTableThatIsNotNeededIsNotListed(t *testing.T) {
	t.Parallel()
	p := newPast(t, seeded(t))
	q := p.open()
	p.use(q, 40)
	must(t, q.Close())
	old, err := os.ReadFile(filepath.Join(p.opts.Dir, "000001.sst"))
	must(t, err)
	q = p.open()
	p.use(q, 40)
	must(t, q.index.flush(context.Background()))
	killed := p.kill(q)
	must(t, q.Close())
	logged, err := os.ReadFile(filepath.Join(p.opts.Dir, "000002.sst"))
	must(t, err)
	closed := t.TempDir()
	copyFiles(t, p.opts.Dir, closed)
	for _, c := range []struct {
		what, dir string
		table     []byte
	}{
		{"in the log", killed, logged},
		{"older, of a killed process", killed, old},
		{"older, of a closed queue", closed, old},
	} {
		dir := t.TempDir()
		copyFiles(t, c.dir, dir)
		listed, err := os.ReadFile(filepath.Join(dir, "MANIFEST"))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, "000099.sst"), c.table, 0o600))
		o := p.opts
		o.Dir = dir
		q := openTest(t, o)
		now, err := os.ReadFile(filepath.Join(dir, "MANIFEST"))
		must(t, err)
		if !bytes.HasPrefix(now, listed) || bytes.Contains(now[len(listed):], []byte{1 << 3, 99}) {
			t.Errorf("%s: it is listed", c.what)
		}
		must(t, q.Close())
		if v := p.judge(t, dir); v.err != nil || len(v.violations) > 0 || len(v.reported) > 0 {
			t.Errorf("%s: %v", c.what, v)
		}
	}
}
