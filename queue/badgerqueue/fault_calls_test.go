// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// visitChild is the environment variable that makes the test binary a process that
// opens a queue, publishes a message, and closes it.
const visitChild = "BADGERQUEUE_VISIT_CHILD"

// A process that opens a queue, publishes a message and closes the queue is killed
// before each of the system calls in turn that change its files. One time there was no
// queue before, the other time one whose process was killed. What is left can be
// opened, and what was published is there.
func TestAKillBeforeAnyCallLeavesAQueue(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skipf("needs strace: %v", err)
	}
	for name, waiting := range map[string]int64{"anew": 0, "after a kill": 3} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := t.TempDir()
			if waiting > 0 {
				q := openTest(t, Options{Dir: before, tune: asShipped})
				give(t, q, "here", int(waiting))
				crash(t, q)
			}
			kills, published := 0, 0
			for _, call := range changingCalls() {
				for n := 1; ; n++ {
					dir := t.TempDir()
					copyFiles(t, before, dir)
					done, killed := visited(t, dir, call, n)
					if !killed {
						break
					}
					kills++
					least, most := waiting, waiting+1
					if done {
						published++
						least = most
					}
					stillThere(t, dir, fmt.Sprintf("before %s %d", call, n), least, most)
					must(t, os.RemoveAll(dir))
				}
			}
			t.Logf("%d kills, %d of them after the message was published", kills, published)
			if kills-published < 5 || published < 5 {
				t.Errorf("%d kills, %d of them after the message was published; that is too few", kills, published)
			}
		})
	}
}

// stillThere checks that a directory that was left can be opened, and how many messages
// wait.
func stillThere(t *testing.T, dir, when string, least, most int64) {
	t.Helper()
	q, err := Open(Options{Dir: dir})
	if err != nil {
		t.Errorf("killed %s: %v", when, err)
		return
	}
	if n := stats(t, q, "here").Waiting; n < least || n > most {
		t.Errorf("killed %s: %d messages wait, want %d to %d", when, n, least, most)
	}
	must(t, q.Close())
}

// changingCalls are the system calls with which files are changed. A file is made by
// openat, which is also most of what a start reads with.
func changingCalls() []string {
	calls := []string{"write", "pwrite64", "ftruncate", "fallocate", "fsync", "fdatasync", "msync", "renameat", "unlinkat"}
	if faultsAreLong {
		calls = append(calls, "openat", "mmap", "munmap", "close")
	}
	return calls
}

// visited has a process visit the queue in a directory that is killed before the nth
// such call of any of its threads. It reports whether it had published its message, and
// whether it was killed at all.
func visited(t *testing.T, dir, call string, n int) (published, killed bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "strace", "-f", "-qq", "-o", os.DevNull, "-e", "trace="+call,
		"-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", call, n), os.Args[0])
	cmd.Env = append(os.Environ(), visitChild+"="+dir)
	var said, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &problems
	err := cmd.Run()
	if problems.Len() > 0 {
		t.Fatalf("to be killed before %s %d, the process says: %v: %s", call, n, err, &problems)
	}
	return said.Len() > 0, err != nil
}

// runVisitChild is the process. The calls that it makes itself are those of one thread.
func runVisitChild() int {
	runtime.LockOSThread()
	if err := visit(os.Getenv(visitChild)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func visit(dir string) error {
	q, err := Open(Options{Dir: dir})
	if err != nil {
		return err
	}
	if _, err := q.Publish(context.Background(), queue.Publication{Message: sender.Message("here")}); err != nil {
		return err
	}
	if _, err := fmt.Println("published"); err != nil {
		return err
	}
	return q.Close()
}
