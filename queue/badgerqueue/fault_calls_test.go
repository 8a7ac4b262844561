// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// These tests run a process that opens a queue, publishes a message and closes the
// queue, and tamper with each of its system calls in turn. One time there was no queue
// before, the other time one whose process was killed. Whatever is left can be opened,
// and what was published is there.

// visitChild is the environment variable that makes the test binary such a process.
const visitChild = "BADGERQUEUE_VISIT_CHILD"

// The process is killed before each of the calls that change its files.
func TestAKillBeforeAnyCallLeavesAQueue(t *testing.T) {
	t.Parallel()
	calls := changingCalls
	if faultsAreLong {
		calls = append(calls, "openat", "mmap", "munmap", "close")
	}
	eachDirectory(t, func(t *testing.T, d directory) {
		published, times := 0, 0
		for _, call := range calls {
			p, n := d.tampered(t, call, "signal=KILL", "")
			published, times = published+p, times+n
		}
		t.Logf("%d kills, %d of them after the message was published", times, published)
		if times-published < 5 || published < 5 {
			t.Errorf("%d kills, %d of them after the message was published; that is too few", times, published)
		}
	})
}

// Each of the calls fails that concerns the directory, one time only that, another
// time all those after it too: the process reports that, or can do without.
func TestACallThatFailsLeavesAQueue(t *testing.T) {
	t.Parallel()
	faults := map[string][]string{"renameat": {"EIO"}, "ftruncate": {"EIO"}, "unlinkat": {"EIO"}}
	if faultsAreLong {
		faults = map[string][]string{
			"openat": {"EIO", "EMFILE", "ENOSPC"}, "fallocate": {"EIO", "ENOSPC", "EOPNOTSUPP"}, "unlinkat": {"EIO", "EACCES"},
			"pread64": {"EIO"}, "getdents64": {"EIO"}, "newfstatat": {"EIO"}, "flock": {"EIO"}, "fdatasync": {"EIO"}, "msync": {"EIO"},
			"write": {"EIO", "ENOSPC"}, "pwrite64": {"EIO", "ENOSPC"}, "ftruncate": {"EIO", "ENOSPC"}, "fsync": {"EIO", "ENOSPC"}, "renameat": {"EIO", "ENOSPC"},
		}
	}
	eachDirectory(t, func(t *testing.T, d directory) {
		published, times := 0, 0
		for call, errs := range faults {
			for _, err := range errs {
				for _, more := range []string{"", "+"} {
					if call == "pread64" && more != "" {
						continue // what can never be read is lost
					}
					p, n := d.tampered(t, call, "error="+err, more)
					published, times = published+p, times+n
				}
			}
		}
		t.Logf("%d failures, in spite of %d of which the message was published", times, published)
		if times-published < 1 || published < 1 {
			t.Errorf("%d failures, in spite of %d of which the message was published; that is too few", times, published)
		}
	})
}

// changingCalls are the system calls with which files are changed. A file is made by
// openat, which is also most of what a start reads with.
var changingCalls = []string{"write", "pwrite64", "ftruncate", "fallocate", "fsync", "fdatasync", "msync", "renameat", "unlinkat"}

// A directory is what a process finds.
type directory struct {
	name    string
	waiting int64 // messages
}

func eachDirectory(t *testing.T, test func(t *testing.T, d directory)) {
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skipf("needs strace: %v", err)
	}
	t.Run("anew", func(t *testing.T) {
		t.Parallel()
		test(t, directory{t.TempDir(), 0})
	})
	t.Run("after a kill", func(t *testing.T) {
		t.Parallel()
		d := directory{t.TempDir(), 3}
		q := openTest(t, Options{Dir: d.name})
		give(t, q, "here", int(d.waiting))
		crash(t, q)
		test(t, d)
	})
}

// tampered does something to the first such call of each thread of a process, then to
// the second of another process, and so on until there are no more. With "+" it is also
// done to those after it. It returns how often that was, and in how many of these the
// message was published.
func (d directory) tampered(t *testing.T, call, how, more string) (published, times int) {
	t.Helper()
	for n := 1; ; n++ {
		fault := fmt.Sprintf("%s:%s:when=%d%s", call, how, n, more)
		dir := t.TempDir()
		copyFiles(t, d.name, dir)
		v := visited(t, dir, call, fault)
		if !v.tampered {
			return published, times
		}
		if v.elsewhere {
			continue
		}
		if v.problem != "" {
			t.Errorf("%s: the process ended with %s", fault, v.problem)
		}
		times++
		least, most := d.waiting, d.waiting+1
		if v.published {
			published++
			least = most
		}
		stillThere(t, dir, fault, least, most)
		must(t, os.RemoveAll(dir))
	}
}

// A visit is what became of a process.
type visit struct {
	published bool
	tampered  bool   // with a call
	elsewhere bool   // that does not concern the directory, or not only
	problem   string // if it ended as it must not
}

// visited runs the process with a fault.
func visited(t *testing.T, dir, call, fault string) (v visit) {
	t.Helper()
	calls := filepath.Join(t.TempDir(), "calls")
	cmd := exec.CommandContext(t.Context(), "strace", "-f", "-y", "-qq", "-o", calls, "-e", "trace="+call, "-e", "inject="+fault, os.Args[0])
	cmd.Env = append(os.Environ(), visitChild+"="+dir)
	var said, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &problems
	err := cmd.Run()
	traced, e := os.ReadFile(calls)
	must(t, e)
	killed := bytes.Contains(traced, []byte("killed by SIGKILL"))
	v.published, v.tampered = said.Len() > 0, killed
	for line := range bytes.Lines(traced) {
		if bytes.Contains(line, []byte("(INJECTED)")) {
			v.tampered = true
			if call != "msync" && !bytes.Contains(line, []byte(dir)) { // only we sync what is mapped
				v.elsewhere = true
			}
		}
	}
	exit := (*exec.ExitError)(nil)
	expected := killed && problems.Len() == 0 || err == nil ||
		errors.As(err, &exit) && (exit.ExitCode() == couldNot || exit.ExitCode() == badgerEnds)
	if !expected {
		v.problem = fmt.Sprintf("%v: %s", err, &problems)
	}
	return v
}

// stillThere checks that a directory that was left can be opened, and how many messages
// wait.
func stillThere(t *testing.T, dir, fault string, least, most int64) {
	t.Helper()
	q, err := Open(Options{Dir: dir})
	if err != nil {
		t.Errorf("%s: %v", fault, err)
		return
	}
	if n := stats(t, q, "here").Waiting; n < least || n > most {
		t.Errorf("%s: %d messages wait, want %d to %d", fault, n, least, most)
	}
	must(t, q.Close())
}

const (
	// couldNot is the status with which the process ends if something failed. A panic has
	// another.
	couldNot = 3

	// badgerEnds is that with which Badger ends it, which it does if it cannot read the
	// directory or open DISCARD when it is opened: a disk that fails from that moment on.
	badgerEnds = 1
)

// runVisitChild is the process. The calls that it makes itself are those of one thread.
func runVisitChild() int {
	runtime.LockOSThread()
	if err := use(os.Getenv(visitChild)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return couldNot
	}
	return 0
}

func use(dir string) error {
	q, err := Open(Options{Dir: dir})
	if err != nil {
		return err
	}
	if _, err := q.Publish(context.Background(), queue.Publication{Message: sender.Message("here")}); err != nil {
		return errors.Join(err, q.Close())
	}
	if _, err := fmt.Println("published"); err != nil {
		return errors.Join(err, q.Close())
	}
	return q.Close()
}
