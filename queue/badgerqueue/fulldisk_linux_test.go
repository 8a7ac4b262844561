// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// On a disk that is really full Badger is killed by a signal. If that happens
// here, the whole test binary dies of it.
func TestTheProcessSurvivesAFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=160m"); err != nil {
		t.Skipf("needs root to mount a small disk: %v", err)
	}
	t.Cleanup(func() { must(t, unix.Unmount(dir, 0)) })
	o := Options{Dir: filepath.Join(dir, "queue"), MinFreeSpace: 64 << 20, disk: localDisk{dir}}
	o.every = intervals{disk: 10 * time.Millisecond, sweep: time.Hour, refresh: time.Hour, reclaim: time.Hour}
	q := openTest(t, o)
	accepted := 0
	body := make([]byte, 100<<10)
	random := rand.NewChaCha8([32]byte{})
	for range 2000 {
		_, _ = random.Read(body) // it never fails
		m := sender.Message("here")
		m.Request.Body = bytes.Clone(body)
		_, err := q.Publish(t.Context(), queue.Publication{Message: m})
		if errors.Is(err, queue.ErrFull) {
			break
		}
		must(t, err)
		accepted++
	}
	if accepted == 0 || accepted == 2000 {
		t.Fatalf("%d messages were accepted", accepted)
	}

	// Somebody else takes the rest, the ballast too if he can.
	hog, err := os.Create(filepath.Join(dir, "hog"))
	must(t, err)
	for {
		if _, err := hog.Write(body); err != nil {
			if !errors.Is(err, unix.ENOSPC) {
				t.Fatal(err)
			}
			break
		}
	}
	must(t, hog.Close())
	seenFull := func() bool {
		q.space.mu.Lock()
		defer q.space.mu.Unlock()
		return q.space.state == diskFull
	}
	for deadline := time.Now().Add(20 * time.Second); !seenFull(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the queue does not see that the disk is full")
		}
	}
	for range 100 {
		m := sender.Message("here")
		m.Request.Body = body
		if _, err := q.Publish(t.Context(), queue.Publication{Message: m}); !errors.Is(err, queue.ErrFull) {
			t.Fatalf("publishing on a full disk: %v", err)
		}
	}
	nothing(t, q, "here")
	must(t, q.Err())

	// There is space again.
	must(t, os.Remove(hog.Name()))
	for range accepted {
		must(t, receive(t, q, "here").Lease.Ack(0))
	}
	if s := stats(t, q, "here"); s.Waiting != 0 {
		t.Errorf("%d messages wait", s.Waiting)
	}
	must(t, q.Close())

	// A disk that is full at the start is not opened, and later it is.
	free, err := freeSpace(dir)
	must(t, err)
	must(t, localDisk{dir}.reserve(free-1<<20))
	must(t, os.Rename(filepath.Join(dir, ballastName), hog.Name()))
	if _, err := Open(q.opts); !errors.Is(err, ErrDiskFull) {
		t.Errorf("opening on a full disk: %v", err)
	}
	must(t, os.Remove(hog.Name()))
	q = openTest(t, q.opts)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := q.Receive(ctx, "here", time.Hour); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("drained, a receive says %v", err)
	}
}
