// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	promise "github.com/caddy-webhook-inbox/inbox/queue/queuetest/ledger"
)

// The process is killed while it writes a message: of its record in the journal there
// is as much as up to any byte, before zeros, before what the file had there, or
// before the end of the file. What was accepted before is all there, and nothing
// said to be lost. The message, which nobody had an answer for, is not there or
// whole; sent again, it is delivered once.
func TestFaultTornTail(t *testing.T) {
	t.Parallel()
	random := seeded(t)
	p := newPast(t, random)
	q := p.open()
	p.use(q, 20)
	before, began := p.kill(q), q.checkpointer.tail()
	p.publish(q, 300)
	p.all[len(p.all)-1].unanswered = true
	after, ended := p.kill(q), q.checkpointer.tail()
	if began.Segment != ended.Segment {
		t.Fatal("the record is in a segment of its own")
	}
	segment := fmt.Sprintf("%08x.segment", began.Segment)
	written, err := os.ReadFile(filepath.Join(after, segment))
	must(t, err)

	first, last := int(began.Offset), int(ended.Offset)
	all := make([]int, 0, last-first)
	for at := first; at <= last; at++ {
		all = append(all, at)
	}
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for i, at := range all[:min(len(all), rounds(10, len(all)))] {
		rest := written[at:]
		befores := [][]byte{make([]byte, len(rest)), bytes.Repeat([]byte{0xff}, len(rest)), nil}
		for how, rest := range befores {
			if !faultsAreLong && how != i%len(befores) {
				continue
			}
			dir := t.TempDir()
			copyFiles(t, before, dir)
			must(t, os.WriteFile(filepath.Join(dir, segment), slices.Concat(written[:at], rest), 0o600))
			if v := p.judge(t, dir); v.err != nil || len(v.violations) > 0 || len(v.reported) > 0 {
				t.Errorf("torn at byte %d of %d, way %d: %v", at-first, last-first, how, v)
			}
			must(t, os.RemoveAll(dir))
		}
	}
}

// An engine that answers before it writes loses what it accepted.
func TestFaultTornTailOfAnEngineThatAnswersBeforeItWrites(t *testing.T) {
	t.Parallel()
	p := newPast(t, seeded(t))
	answersFirst := false
	p.opts.commit = func(b *batch) error {
		if answersFirst {
			return nil
		}
		return b.commit()
	}
	q := p.open()
	p.use(q, 20)
	answersFirst = true
	p.publish(q, 300)
	if v := p.judge(t, p.kill(q)); !v.broke(promise.Loss) {
		t.Errorf("not noticed: %v", v)
	}
}
