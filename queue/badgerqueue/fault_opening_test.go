// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-webhook-inbox/inbox/queue/badgerqueue/journal"
)

// The process was killed, and the disk reads nothing for a moment while the queue is
// opened again. It takes longer, and nothing is missing.
func TestFaultAMomentWhileOpeningLosesNothing(t *testing.T) {
	t.Parallel()
	p := newPast(t, seeded(t))
	q := p.open()
	given := giveLong(t, q, "here", 3, 9000)
	o := p.opts
	o.Dir = p.kill(q)
	cutOff(t, o.Dir) // and all is in the journal
	var fails atomic.Int64
	fails.Store(20)
	o.patient = time.Minute
	o.readAt = func(f *os.File, b []byte, at int64) (int, error) {
		if fails.Add(-1) >= 0 {
			return 0, syscall.EIO
		}
		return f.ReadAt(b, at)
	}
	core, logged := observer.New(zap.ErrorLevel)
	o.Logger = zap.New(core)
	q = openTest(t, o)
	if q.Lost() > 0 || logged.Len() > 0 {
		t.Errorf("%d commits are missing: %v", q.Lost(), logged.All())
	}
	delivers(t, q, "here", given...)
	nothing(t, q, "here")
}

// The disk cannot read a message, and the operator restarts the process, which a
// healed disk does not make know what it had been. What else is in the segment is
// delivered, and then the file is kept all the same.
func TestFaultASegmentThatNobodyReadIsKeptAfterARestart(t *testing.T) {
	t.Parallel()
	p := newPast(t, seeded(t))
	q := p.open()
	known := giveLong(t, q, "here", 1, 9000)[0]
	must(t, q.checkpointer.make(t.Context()))
	lost := giveLong(t, q, "here", 1, 9000)[0]
	bad := p.killOnBadDisk(q)
	page := bytes.Index(bad.before, lost.Request.Body)/pageSize + 1
	if page < 1 || !bytes.Contains(bad.before, known.Request.Body) {
		t.Fatal("the messages are not in one segment")
	}
	bad.spoil(bad.name, int64(page*pageSize))
	q = openTest(t, bad.opts)
	if q.Lost() == 0 {
		t.Error("nothing is said to be missing")
	}
	bad.heal()
	q = reopen(t, q)
	delivers(t, q, "here", known)
	giveLong(t, q, "there", 1, 100)
	must(t, q.rotate(t.Context()))
	for range 2 { // the first has what erases the message, the second drops
		must(t, q.checkpointer.make(t.Context()))
	}
	for deadline := time.Now().Add(10 * time.Second); bad.said() == 0 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond) // somebody has not left yet who reads
	}
	bad.isKept()
}

// The disk cannot read the first page of a segment for good, which the database has
// nothing of. The queue is opened and says what is missing, but the file is not deleted:
// it is kept under another name as it was, which is said once. What comes goes into
// other segments, and is there after restarts.
func TestFaultASegmentThatNobodyReadIsKept(t *testing.T) {
	t.Parallel()
	p := newPast(t, seeded(t))
	q := p.open()
	lost := giveLong(t, q, "here", 3, 9000)
	bad := p.killOnBadDisk(q)
	if !bytes.Contains(bad.before, lost[0].Request.Body) {
		t.Fatal("the messages are in another segment")
	}
	bad.spoil(bad.name, 0)

	q = openTest(t, bad.opts)
	if q.Lost() < int64(len(lost)) {
		t.Errorf("%d commits are said to be missing", q.Lost())
	}
	bad.isKept()
	nothing(t, q, "here")
	given := giveLong(t, q, "here", 3, 9000)
	for range 2 {
		q = reopen(t, q)
		if q.Lost() > 0 {
			t.Errorf("%d commits are missing again", q.Lost())
		}
	}
	delivers(t, q, "here", given...)
	if q.checkpointer.tail().Segment <= bad.segment {
		t.Errorf("segment %d is used again", bad.segment)
	}
	if used := q.Disk().SizeOnDisk; runtime.GOOS == "linux" && used < int64(len(lost)*9000) {
		t.Errorf("%d bytes are used", used)
	}
	bad.isKept()
}

// A badPast was killed, and has no logs. The disk is bad in the last segment then.
type badPast struct {
	*weakDisk
	t       testing.TB
	opts    Options
	segment uint32
	name    string
	before  []byte
	logged  *observer.ObservedLogs
}

func (p *past) killOnBadDisk(q *Queue) *badPast {
	core, logged := observer.New(zap.ErrorLevel)
	b := &badPast{weakDisk: newWeakDisk(), t: p.t, opts: p.opts, segment: q.checkpointer.tail().Segment, logged: logged}
	b.opts.Dir, b.opts.readAt, b.opts.Logger = p.kill(q), b.ReadAt, zap.New(core)
	removeLogs(p.t, b.opts.Dir)
	b.name = filepath.Join(b.opts.Dir, journal.FileName(b.segment))
	var err error
	b.before, err = os.ReadFile(b.name)
	must(p.t, err)
	return b
}

func (b *badPast) kept() string { return b.name + ".unreadable" }

// said is how often it was said that the segment is kept.
func (b *badPast) said() int {
	return b.logged.FilterField(zap.String("file", filepath.Base(b.kept()))).Len()
}

// isKept checks that the segment is kept as it was, which was said once.
func (b *badPast) isKept() {
	b.t.Helper()
	if n := b.said(); n != 1 {
		b.t.Errorf("that it is kept was said %d times: %v", n, b.logged.All())
	}
	if after, err := os.ReadFile(b.kept()); err != nil || !bytes.Equal(after, b.before) {
		b.t.Errorf("what is kept has %d bytes, before it had %d: %v", len(after), len(b.before), err)
	}
}
