// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
	"github.com/caddy-webhook-inbox/inbox/queue/queuetest"
	"github.com/caddy-webhook-inbox/inbox/queue/queuetest/ledger"
)

// crashChild is the environment variable that makes the test binary a process
// that uses a queue until it is killed. It tells a [story].
const crashChild = "BADGERQUEUE_CRASH_CHILD"

// crashUnsynced is the environment variable that makes such a process one that
// acknowledges what is not synced.
const crashUnsynced = "BADGERQUEUE_CRASH_UNSYNCED"

// crashHasty makes it one that acknowledges what it is about to publish.
const crashHasty = "BADGERQUEUE_CRASH_HASTY"

const crashes = 20

func TestNothingAcknowledgedIsLostWhenTheProcessIsKilled(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it takes some seconds")
	}
	random := seeded(t)
	s, q := crashed(t, random, crashes)
	t.Logf("%+v, %d durable acks", s.Counts(), s.durable)
	if len(s.acknowledged) == 0 || s.durable == 0 {
		t.Fatal("the processes did nothing")
	}
	if q.Lost() != 0 {
		t.Errorf("%d commits are said to be lost", q.Lost())
	}
	for _, v := range s.Check(ledger.End{}) {
		t.Error(v)
	}
	if s := stats(t, q, "here"); s.Waiting != 0 || s.Bytes != 0 {
		t.Errorf("drained, the counters are %+v", s)
	}
	for n, i := range random.Perm(len(s.acknowledged)) { // keys are there if their messages are
		if n == 500 {
			break
		}
		publish(t, q, queue.Duplicate, queue.Publication{Message: sender.Message("here"), Keys: crashKey(s.acknowledged[i])})
	}
}

// The test before would notice what is acknowledged before it is stored.
func TestAKillLosesWhatIsAcknowledgedTooEarly(t *testing.T) {
	t.Parallel()
	var s *story
	random := seeded(t)
	for range 10 { // a kill may come when nothing is under way
		s, _ = crashed(t, random, 2, crashHasty+"=1")
		if slices.ContainsFunc(s.Check(ledger.End{}), func(v ledger.Violation) bool { return v.Invariant == ledger.Loss }) {
			return
		}
	}
	t.Errorf("nothing is lost of %+v", s.Counts())
}

// crashed has several processes killed, one after the other, and returns what they
// did and the queue that they left, of which everything was delivered then.
func crashed(t *testing.T, random *rand.Rand, times int, environment ...string) (*story, *Queue) {
	t.Helper()
	dir, s := t.TempDir(), newStory()
	for range times {
		s.read(t, killed(t, random, dir, environment...))
	}
	q := openTest(t, Options{Dir: dir, tune: asShipped})
	for range stats(t, q, "here").Waiting {
		d := receive(t, q, "here")
		must(t, d.Lease.Ack(0))
		s.begin(d.Message.ID.String(), sum(d.Message), 204)
		s.end(d.Message.ID.String())
	}
	nothing(t, q, "here")
	return s, q
}

// sum stands for the body in a story.
func sum(m *queue.Message) string { return fmt.Sprintf("%x", sha256.Sum256(m.Request.Body)) }

func crashKey(id string) []queue.Key { return []queue.Key{queuetest.Key(id, time.Hour)} }

// killed runs a process until it has acknowledged a hundred publishes, and for a
// moment more, and returns what it wrote.
func killed(t *testing.T, random *rand.Rand, dir string, environment ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(append(os.Environ(), crashChild+"="+dir, fmt.Sprintf("%s=%d", faultSeed, random.Uint64())), environment...)
	var out, problems bytes.Buffer
	cmd.Stderr = &problems
	said, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	enough, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		lines, acknowledged := bufio.NewReader(said), 0
		for err := error(nil); err == nil; {
			var line []byte
			line, err = lines.ReadBytes('\n')
			out.Write(line)
			if bytes.HasPrefix(line, []byte("P")) {
				if acknowledged++; acknowledged == 100 {
					close(enough)
				}
			}
		}
	}()
	select {
	case <-enough:
		time.Sleep(time.Duration(random.Int64N(int64(300 * time.Millisecond))))
	case <-ended:
	case <-time.After(time.Minute):
		t.Error("the process acknowledges nothing")
	}
	must(t, cmd.Process.Kill())
	<-ended
	if err := cmd.Wait(); err == nil || problems.Len() > 0 {
		t.Fatalf("the process ended by itself: %v: %s", err, problems.String())
	}
	return out.Bytes()
}

// runCrashChild is the process. It returns only if something is wrong.
func runCrashChild() int {
	seed, err := strconv.ParseUint(os.Getenv(faultSeed), 10, 64)
	if err == nil {
		err = useUntilKilled(os.Getenv(crashChild), rand.New(&sharedSource{Source: rand.NewPCG(seed, 0)}))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return 1
}

func useUntilKilled(dir string, random *rand.Rand) error {
	o := Options{Dir: dir}
	if os.Getenv(crashUnsynced) != "" {
		o.sync = func(*os.File) error { return nil }
	}
	q, err := Open(o)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	note := func(words ...any) error {
		mu.Lock()
		defer mu.Unlock()
		_, err := fmt.Fprintln(os.Stdout, words...)
		return err
	}
	ctx, hasty := context.Background(), os.Getenv(crashHasty) != ""
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
		if err := note("S", m.ID, sum(m)); err != nil {
			return err
		}
		if hasty {
			if err := note("P", m.ID); err != nil {
				return err
			}
		}
		_, err := q.Publish(ctx, queue.Publication{Message: m, Keys: crashKey(m.ID.String())})
		if err != nil || hasty {
			return err
		}
		return note("P", m.ID)
	})
	repeat(4, func() error {
		d, err := q.Receive(ctx, "here", time.Minute)
		if err != nil {
			return err
		}
		status := 204
		if random.IntN(10) == 0 {
			status = 503
		}
		if err := note("D", d.Message.ID, sum(d.Message), status); err != nil {
			return err
		}
		if status == 503 {
			return d.Lease.Nack(time.Duration(random.Int64N(int64(10*time.Millisecond))), queue.History{Attempts: d.History.Attempts + 1})
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
