// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v4"

	promise "github.com/caddy-webhook-inbox/inbox/queue/queuetest/ledger"
)

// How a directory with a damaged file may be found.
type damaged int

const (
	// Nothing is lost, and nothing said of it.
	damagedForNothing damaged = iota

	// It is not opened, with an error that names the file and says what to do; if
	// that is to delete it, nothing is lost then. Or nothing is lost.
	damagedOrRefused

	// What is lost is said: in the log, by Lost, or by a dead letter that is corrupt.
	damagedAndReported
)

// The files of a queue, and how each may be found. One that is not here fails the
// test, as does one that is here and not in the directory.
var damagedFiles = []struct {
	pattern string
	found   damaged
}{
	{"*.segment", damagedAndReported},
	{"*.mem", damagedOrRefused},
	{"*.sst", damagedOrRefused},
	{"MANIFEST", damagedOrRefused},
	{"*.vlog", damagedOrRefused},
	{"KEYREGISTRY", damagedOrRefused},
	{"DISCARD", damagedForNothing},
	{commitFileName, damagedForNothing},
	{ballastName, damagedForNothing},
	{"LOCK", damagedForNothing},
}

// Each file in the directory of a killed process, and of one that ended well, is
// taken away, cut off, and gets a flipped bit. What was accepted is delivered as it
// was sent, and once; or the directory is refused, with the name of the file; or it
// is said that there is a gap. Never comes a wrong byte. And what comes afterwards is
// kept as if nothing had happened, whatever becomes of what was there before.
func TestFaultDamage(t *testing.T) {
	random := seeded(t)
	for _, ended := range []string{"killed", "closed"} {
		p := newPast(t, random)
		dir := p.damageable(ended == "closed")
		files, err := os.ReadDir(dir)
		must(t, err)
		for _, kind := range damagedFiles {
			found, err := filepath.Glob(filepath.Join(dir, kind.pattern))
			must(t, err)
			if gone := ended == "closed" && kind.pattern == "*.mem"; len(found) == 0 && !gone { // it has become a table
				t.Errorf("%s: no file is damaged that is a %s", ended, kind.pattern)
			}
		}
		t.Run(ended, func(t *testing.T) {
			for _, f := range files {
				if ended == "closed" && !faultsAreLong && !strings.HasSuffix(f.Name(), ".sst") && f.Name() != "MANIFEST" {
					continue // as of the one that was killed
				}
				seed := random.Uint64()
				t.Run(f.Name(), func(t *testing.T) {
					t.Parallel()
					d := damaging{past: p, random: rand.New(rand.NewPCG(seed, 0)), dir: dir, file: f.Name()}
					d.each(t)
				})
			}
		})
	}
}

// damageable makes a directory that has every kind of file, and more than one table.
func (p *past) damageable(closed bool) (dir string) {
	p.t.Helper()
	for range 2 {
		q := p.open()
		p.use(q, 50)
		must(p.t, q.Close())
	}
	q := p.open()
	p.use(q, 50)
	must(p.t, q.checkpointer.make(p.t.Context())) // what is replayed begins here
	p.use(q, 50)
	if closed {
		must(p.t, q.Close())
	}
	dir = p.kill(q)
	if !closed {
		must(p.t, q.Close())
	}
	for _, name := range []string{"LOCK", ballastName} {
		must(p.t, os.WriteFile(filepath.Join(dir, name), []byte("1234567890"), 0o600))
	}
	return dir
}

// damaging is what is done to a file.
type damaging struct {
	*past
	random *rand.Rand
	dir    string
	file   string
}

func (d *damaging) each(t *testing.T) {
	whole, err := os.ReadFile(filepath.Join(d.dir, d.file))
	must(t, err)
	d.damage(t, "taken away", os.Remove)
	cuts := []int{0, d.random.IntN(len(whole)), len(whole) - 1}
	for range rounds(0, 20) {
		cuts = append(cuts, d.random.IntN(len(whole)))
	}
	for _, at := range cuts {
		d.damage(t, fmt.Sprintf("cut off at %d of %d", at, len(whole)), func(name string) error {
			return os.Truncate(name, int64(at))
		})
	}
	for range rounds(2, 100) {
		at, bit := d.somewhere(whole), d.random.IntN(8)
		d.damage(t, fmt.Sprintf("bit %d of byte %d of %d", bit, at, len(whole)), func(name string) error {
			flipped := []byte(string(whole))
			flipped[at] ^= 1 << bit
			return os.WriteFile(name, flipped, 0o600)
		})
	}
}

// somewhere returns where to flip a bit: anywhere, or in the body of a message that
// waits.
func (d *damaging) somewhere(whole []byte) int {
	if d.random.IntN(2) == 0 {
		for _, i := range d.random.Perm(len(d.all)) {
			body := d.all[i].Request.Body
			if at := bytes.Index(whole, body); at >= 0 && len(body) > 100 && len(d.all[i].attempts) == 0 {
				return at + d.random.IntN(len(body))
			}
		}
	}
	used := len(bytes.TrimRight(whole, "\x00")) // most files are filled up with zeros
	return d.random.IntN(used+1) % len(whole)
}

// damage damages the file in a copy of the directory, and judges what is found.
func (d *damaging) damage(t *testing.T, how string, do func(name string) error) {
	t.Helper()
	dir := t.TempDir()
	defer func() { must(t, os.RemoveAll(dir)) }()
	files, err := os.ReadDir(d.dir)
	must(t, err)
	for _, f := range files {
		copySparse(t, filepath.Join(d.dir, f.Name()), filepath.Join(dir, f.Name()))
	}
	must(t, do(filepath.Join(dir, d.file)))
	goOn := d.goOn
	if !faultsAreLong && filepath.Ext(d.file) != ".segment" && d.random.IntN(3) > 0 {
		goOn = nil
	}
	v := d.judgeAnd(t, dir, goOn)
	if v.err != nil && !strings.Contains(v.err.Error(), d.file) {
		t.Errorf("%s, it is not named: %v", how, v)
	}
	if v.err != nil && strings.Contains(v.err.Error(), "delete it") {
		must(t, os.Remove(filepath.Join(dir, d.file)))
		v = d.judgeAnd(t, dir, goOn)
	}
	if !v.maybe(d.file) {
		t.Errorf("%s: %v", how, v)
	}
}

// maybe reports whether a directory may be found like that in which a file is damaged.
func (v verdict) maybe(file string) bool {
	for _, f := range damagedFiles {
		if ok, _ := filepath.Match(f.pattern, file); !ok {
			continue
		}
		if len(v.later) > 0 {
			return false
		}
		whole := v.err == nil && len(v.violations) == 0 && len(v.reported) == 0
		switch f.found {
		case damagedOrRefused:
			return whole || errors.Is(v.err, errDamaged)
		case damagedAndReported:
			return whole || v.err == nil && len(v.reported) > 0 && !v.broke(promise.Invention)
		default:
			return whole
		}
	}
	return false
}

// Where a wrong byte has the right checksum, as if there were none, it is delivered:
// and the ledger has it.
func TestFaultDamageWithItsChecksumIsAnInvention(t *testing.T) {
	t.Parallel()
	p := newPast(t, seeded(t))
	q := p.open()
	p.publish(q, 1000)
	var at waitingRecord
	must(t, q.view(context.Background(), func(tx *badger.Txn) error {
		value, _, err := get(tx, freshKey(1, 1))
		must(t, err)
		at, err = decodeWaiting(value)
		return err
	}))
	dir := p.kill(q)
	name := filepath.Join(dir, fmt.Sprintf("%08x.segment", at.record.Segment))
	segment, err := os.ReadFile(name)
	must(t, err)
	castagnoli := crc32.MakeTable(crc32.Castagnoli)
	blob := segment[at.record.Offset+8:][:at.record.Length]
	blob[strings.Index(string(blob), string(p.all[0].Request.Body))+500] ^= 1
	salt := crc32.Checksum(segment[16:24], castagnoli)
	binary.LittleEndian.PutUint32(segment[at.record.Offset+4:], crc32.Update(salt, castagnoli, blob))
	must(t, os.WriteFile(name, segment, 0o600))
	if v := p.judge(t, dir); !v.broke(promise.Invention) {
		t.Errorf("not noticed: %v", v)
	}
}
