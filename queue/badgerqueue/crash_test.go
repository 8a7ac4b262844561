// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
	"github.com/caddy-webhook-inbox/inbox/queue/queuetest"
)

// crashChild is the environment variable that makes the test binary a process
// that uses a queue until it is killed. It writes a ledger to its output:
//
//	P id    a publish was acknowledged
//	D id    a message was delivered
//	A id    its ack returned
//	B n     flush n begins
//	F n     flush n ended: what was acked before B n is durable
const crashChild = "BADGERQUEUE_CRASH_CHILD"

// crashUnsynced is the environment variable that makes such a process one that
// acknowledges what is not synced.
const crashUnsynced = "BADGERQUEUE_CRASH_UNSYNCED"

const crashes = 20

func TestNothingAcknowledgedIsLostWhenTheProcessIsKilled(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it takes some seconds")
	}
	dir := t.TempDir()
	l := ledger{published: make(map[string]bool), delivered: make(map[string]int), durable: make(map[string]bool)}
	for range crashes {
		l.read(t, killed(t, dir))
	}
	t.Logf("%d published, %d deliveries, %d durable acks", len(l.published), l.deliveries, len(l.durable))
	if len(l.published) == 0 || len(l.durable) == 0 {
		t.Fatal("the processes did nothing")
	}

	q := openTest(t, Options{Dir: dir, tune: asShipped})
	if q.Lost() != 0 {
		t.Errorf("%d commits are said to be lost", q.Lost())
	}
	waiting := stats(t, q, "here").Waiting
	l.duplicates(t, q)
	for range waiting {
		d := receive(t, q, "here")
		l.deliver(t, d.Message.ID.String())
		must(t, d.Lease.Ack(0))
	}
	nothing(t, q, "here")
	for id := range l.published {
		if l.delivered[id] == 0 {
			t.Errorf("%s was acknowledged and is lost", id)
		}
	}
	if s := stats(t, q, "here"); s.Waiting != 0 || s.Bytes != 0 {
		t.Errorf("drained, the counters are %+v", s)
	}
}

// A ledger is what several processes wrote before they were killed.
type ledger struct {
	published  map[string]bool
	delivered  map[string]int
	deliveries int
	durable    map[string]bool // acked for good
}

func (l *ledger) read(t *testing.T, out []byte) {
	t.Helper()
	var acked []string
	flushes := make(map[string][]string)
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		what, id, ok := strings.Cut(lines.Text(), " ")
		if !ok {
			continue // cut off by the kill
		}
		switch what {
		case "P":
			l.published[id] = true
		case "D":
			l.deliver(t, id)
		case "A":
			acked = append(acked, id)
		case "B":
			flushes[id], acked = acked, nil
		case "F":
			for _, id := range flushes[id] {
				l.durable[id] = true
			}
		default:
			t.Fatalf("the process says %q", lines.Text())
		}
	}
}

func (l *ledger) deliver(t *testing.T, id string) {
	t.Helper()
	l.delivered[id]++
	l.deliveries++
	if l.durable[id] {
		t.Errorf("%s was delivered again after its ack was durable", id)
	}
}

// duplicates checks that keys are there if their messages are.
func (l *ledger) duplicates(t *testing.T, q *Queue) {
	t.Helper()
	checked := 0
	for id := range l.published {
		publish(t, q, queue.Duplicate, queue.Publication{Message: sender.Message("here"), Keys: crashKey(id)})
		if checked++; checked == 500 {
			return
		}
	}
}

func crashKey(id string) []queue.Key { return []queue.Key{queuetest.Key(id, time.Hour)} }

// killed runs a process for a moment, and returns what it wrote.
func killed(t *testing.T, dir string, environment ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(append(os.Environ(), crashChild+"="+dir), environment...)
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	must(t, cmd.Start())
	time.Sleep(300*time.Millisecond + rand.N(400*time.Millisecond))
	must(t, cmd.Process.Kill())
	if err := cmd.Wait(); err == nil || problems.Len() > 0 {
		t.Fatalf("the process ended by itself: %v: %s", err, problems.String())
	}
	return out.Bytes()
}

// runCrashChild is the process. It returns only if something is wrong.
func runCrashChild() int {
	if err := useUntilKilled(os.Getenv(crashChild)); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return 1
}

func useUntilKilled(dir string) error {
	o := Options{Dir: dir}
	if os.Getenv(crashUnsynced) != "" {
		o.sync = func(*os.File) error { return nil }
	}
	q, err := Open(o)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	note := func(what string, id any) error {
		mu.Lock()
		defer mu.Unlock()
		_, err := fmt.Fprintf(os.Stdout, "%s %v\n", what, id)
		return err
	}
	ctx := context.Background()
	failed := make(chan error)
	repeat := func(n int, do func() error) {
		for range n {
			go func() {
				for {
					if err := do(); err != nil {
						failed <- err
					}
				}
			}()
		}
	}
	repeat(16, func() error {
		m := sender.Message("here")
		_, err := q.Publish(ctx, queue.Publication{Message: m, Keys: crashKey(m.ID.String())})
		if err != nil {
			return err
		}
		return note("P", m.ID)
	})
	repeat(4, func() error {
		d, err := q.Receive(ctx, "here", time.Minute)
		if err != nil {
			return err
		}
		if err := note("D", d.Message.ID); err != nil {
			return err
		}
		if rand.N(10) == 0 {
			return d.Lease.Nack(rand.N(10*time.Millisecond), queue.History{Attempts: d.History.Attempts + 1})
		}
		if err := d.Lease.Ack(0); err != nil {
			return err
		}
		return note("A", d.Message.ID)
	})
	flushes := 0
	repeat(1, func() error {
		time.Sleep(10 * time.Millisecond)
		flushes++
		if err := note("B", flushes); err != nil {
			return err
		}
		if err := q.flush(ctx); err != nil {
			return err
		}
		return note("F", flushes)
	})
	return <-failed
}
