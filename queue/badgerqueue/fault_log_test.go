// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// An entry of a log that claims to be 4 GiB long is not read, and what was in the log
// comes from the journal.
func TestFaultALengthInALogAsksForNoMemory(t *testing.T) {
	t.Parallel()
	p := newPast(t, seeded(t))
	q := p.open()
	p.use(q, 40)
	dir := p.kill(q)
	name := filepath.Join(dir, logs(t, dir)[0])
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	must(t, err)
	const value = 20 + 3 // where the first entry has the length of its value
	_, err = f.WriteAt([]byte{0xff, 0xff, 0xff, 0xff, 0x0f}, value)
	must(t, err)
	must(t, f.Close())
	must(t, cutLogs(dir))
	if info, err := os.Stat(name); err != nil || info.Size() != 20 {
		t.Errorf("it is not cut off there: %v", err)
	}
	if v := p.judge(t, dir); v.err != nil || len(v.violations) > 0 || len(v.reported) > 0 {
		t.Error(v)
	}
}

// A log that is whole is not cut off, nor one that is full.
func TestALogThatIsWholeIsNotCutOff(t *testing.T) {
	t.Parallel()
	p := newPast(t, seeded(t))
	q := p.open()
	p.use(q, 40)
	dir := p.kill(q)
	name := filepath.Join(dir, logs(t, dir)[0])
	whole, err := os.ReadFile(name)
	must(t, err)
	for _, log := range [][]byte{whole, bytes.TrimRight(whole, "\x00")} {
		if end := endOfLog(log); end < len(log) {
			t.Errorf("cut off at %d of %d", end, len(log))
		}
	}
}
