// SPDX-License-Identifier: Apache-2.0

// Some hundred processes are started, which takes minutes with the race detector, and
// there is nothing for it to find.

//go:build !race

package badgerqueue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// These tests run a process that opens a queue, publishes a message and closes the
// queue, and tamper with the first system call of a kind that a thread of it makes, in
// another process with the second, and so on. One time there was no queue before, the
// other time one whose process was killed. Whatever is left can be opened, and what was
// published is there.

// The process is killed before a call that changes its files.
func TestAKillBeforeAnyCallLeavesAQueue(t *testing.T) {
	t.Parallel()
	calls := changingCalls
	if faultsAreLong {
		calls = append(calls, "openat", "mmap", "munmap", "close")
	}
	eachDirectory(t, func(t *testing.T, d directory) {
		var sum tally
		for _, call := range calls {
			sum.add(d.tampered(t, call, "signal=KILL", ""))
		}
		sum.enough(t)
	})
}

// A call that concerns the directory fails, one time only that, another time all those
// after it too: the process reports that, or can do without.
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
		var sum tally
		for call, errs := range faults {
			for _, err := range errs {
				for _, more := range []string{"", "+"} {
					if call == "pread64" && more != "" {
						continue // what can never be read is lost
					}
					sum.add(d.tampered(t, call, "error="+err, more))
				}
			}
		}
		sum.enough(t)
	})
}

// A tally is what became of processes.
type tally struct {
	tampered  int // with a call that concerns the directory
	elsewhere int // and with another one, which says nothing
	published int // in spite of that
	ended     int // by Badger
}

func (s *tally) add(more tally) {
	s.tampered += more.tampered
	s.elsewhere += more.elsewhere
	s.published += more.published
	s.ended += more.ended
}

// enough checks that there were faults before the message was published, and after it.
func (s *tally) enough(t *testing.T) {
	t.Helper()
	t.Logf("%+v", *s)
	if s.published == 0 || s.published == s.tampered {
		t.Errorf("those are too few: %+v", *s)
	}
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

// tampered does something to the first such call of any thread of a process, then to
// the second of any in another process, and so on until there are no more. With "+" it
// is also done to those after it.
func (d directory) tampered(t *testing.T, call, how, more string) (sum tally) {
	t.Helper()
	for n := 1; ; n++ {
		fault := fmt.Sprintf("%s:%s:when=%d%s", call, how, n, more)
		dir, err := filepath.EvalSymlinks(t.TempDir()) // for strace's lines
		must(t, err)
		copyFiles(t, d.name, dir)
		v := visited(t, dir, call, fault)
		if v.elsewhere {
			sum.elsewhere++
			continue
		}
		if v.problem != "" || !v.tampered && !v.published {
			t.Errorf("%s: tampered with: %v; published: %v; the process ended with %s", fault, v.tampered, v.published, v.problem)
		}
		if !v.tampered {
			return sum
		}
		sum.tampered++
		if v.endedByBadger {
			sum.ended++
		}
		least, most := d.waiting, d.waiting+1
		if v.published {
			sum.published++
			least = most
		}
		stillThere(t, dir, fault, least, most)
		must(t, os.RemoveAll(dir))
	}
}

// A visit is what became of a process.
type visit struct {
	published     bool
	tampered      bool // with a call
	elsewhere     bool // that does not concern the directory, or of which strace does not tell
	endedByBadger bool
	problem       string // if it ended as it must not
}

// visited runs the process with a fault.
func visited(t *testing.T, dir, call, fault string) (v visit) {
	t.Helper()
	calls := filepath.Join(t.TempDir(), "calls")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "strace", "-f", "-y", "-qq", "-o", calls, "-e", "trace="+call, "-e", "inject="+fault, os.Args[0])
	cmd.Env = append(os.Environ(), visitChild+"="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // strace would leave it
	var said, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &problems
	err := cmd.Run()
	switch complaint := problems.String(); {
	case !strings.Contains(complaint, "strace: "):
	case strings.Contains(complaint, "Operation not permitted"):
		t.Skipf("needs strace that may trace a process: %s", complaint)
	default:
		t.Fatal(complaint)
	}
	traced, e := os.ReadFile(calls)
	must(t, e)
	killed := ctx.Err() == nil && bytes.Contains(traced, []byte("killed by SIGKILL"))
	v.published, v.tampered = said.Len() > 0, killed
	for line := range bytes.Lines(traced) {
		if bytes.Contains(line, []byte("(INJECTED)")) {
			v.tampered = true
			if call != "msync" && !bytes.Contains(line, []byte(dir)) { // only we sync what is mapped
				v.elsewhere = true
			}
		}
	}
	v.endedByBadger = exitedWith(err, 1) && badgerEnds(problems.String(), dir)
	if err != nil && !exitedWith(err, couldNot) && !v.endedByBadger && (!killed || problems.Len() > 0) {
		v.problem = fmt.Sprintf("%v: %s", err, &problems)
	}
	return v
}

func exitedWith(err error, status int) bool {
	exit := (*exec.ExitError)(nil)
	return errors.As(err, &exit) && exit.ExitCode() == status
}

// badgerEnds reports whether Badger said why it ended the process: when it is opened it
// does if it cannot list the directory, or open DISCARD and give it its size.
func badgerEnds(said, dir string) bool {
	for _, why := range []string{"readdirent " + dir, "open " + dir + ": ", "while opening file: DISCARD"} {
		if strings.Contains(said, "err: "+why) {
			return true
		}
	}
	return false
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
