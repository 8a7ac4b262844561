// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// A fakeDisk has as much free space as a test says.
type fakeDisk struct {
	mu      sync.Mutex
	space   int64 // without the ballast
	ballast int64
}

func (d *fakeDisk) free() (int64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.space - d.ballast, nil
}

func (d *fakeDisk) reserve(size int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ballast = size
	return nil
}

func (d *fakeDisk) reserved() int64 { return d.held() }

func (d *fakeDisk) set(space int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.space = space
}

func (d *fakeDisk) held() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ballast
}

const minFree = 512 << 20

func TestTheDiskIsJudgedByItsFreeSpace(t *testing.T) {
	t.Parallel()
	// Each step starts from the state that the one before left.
	steps := []struct {
		name      string
		space     int64 // without the ballast, in MiB
		mayWrite  bool
		mayAccept bool
		ballast   int64 // in MiB
	}{
		{"plenty", 2000, true, true, 64},
		{"less, but enough", 576, true, true, 64},
		{"just too little", 575, true, false, 64},
		{"very little", 200, true, false, 64},
		{"an emergency: the ballast helps", 180, true, false, 0},
		{"the ballast is not taken back at once", 200, true, false, 0},
		{"nothing", 100, false, false, 0},
		{"none at all", 0, false, false, 0},
		{"a little", 130, true, false, 0},
		{"enough, but not for the ballast too", 550, true, true, 0},
		{"plenty again", 576, true, true, 64},
	}
	d := &fakeDisk{}
	s := newSpace(Options{MinFreeSpace: minFree, Logger: zap.NewNop(), disk: d})
	for _, step := range steps {
		d.set(step.space << 20)
		if got := s.mayWrite(); got != step.mayWrite {
			t.Errorf("%s: may write: %v", step.name, got)
		}
		if got := s.mayPublish(); got != step.mayAccept {
			t.Errorf("%s: may accept: %v", step.name, got)
		}
		if got := d.held() >> 20; got != step.ballast {
			t.Errorf("%s: ballast of %d MiB, want %d", step.name, got, step.ballast)
		}
	}
}

// A disk that cannot reserve space, as some file systems cannot.
type unreservingDisk struct {
	fakeDisk
	tries int
}

func (d *unreservingDisk) reserve(size int64) error {
	if size == 0 {
		return nil
	}
	d.tries++
	return errors.ErrUnsupported
}

func TestABallastThatIsRefusedIsTriedAgainRarely(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &unreservingDisk{fakeDisk: fakeDisk{space: 10 << 30}}
		s := newSpace(Options{MinFreeSpace: minFree, Logger: zap.NewNop(), disk: d})
		for range 100 {
			if !s.mayWrite() || !s.mayPublish() {
				t.Error("without a ballast, nothing may be written")
			}
		}
		if d.tries != 1 {
			t.Errorf("it was tried %d times, want once", d.tries)
		}
		time.Sleep(reserveAgain)
		s.mayWrite()
		if d.tries != 2 {
			t.Errorf("it was tried %d times after an hour, want twice", d.tries)
		}
	})
}

func TestALowDiskRefusesMessagesButSettlesThem(t *testing.T) {
	t.Parallel()
	d := &fakeDisk{space: 10 << 30}
	q := openTest(t, Options{disk: d})
	give(t, q, "here", 2)
	d.set(300 << 20)
	_, err := q.Publish(t.Context(), queue.Publication{Message: sender.Message("here")})
	if !errors.Is(err, queue.ErrFull) {
		t.Errorf("publishing: %v", err)
	}
	for range 2 {
		must(t, receive(t, q, "here").Lease.Ack(0))
	}
	if s := stats(t, q, "here"); s.Waiting != 0 {
		t.Errorf("%d messages wait", s.Waiting)
	}
	if !q.Disk().Refusing {
		t.Error("it is not said that messages are refused")
	}
	d.set(10 << 30)
	publishSoon(t, q)
	must(t, q.Err())
}

func TestAFullDiskLosesNoSettlement(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := &fakeDisk{space: 10 << 30}
		q := openTest(t, Options{Dir: dir, disk: d})
		give(t, q, "here", 2)
		taken := receive(t, q, "here")
		d.set(1 << 20)
		time.Sleep(2 * time.Second) // it notices
		must(t, taken.Lease.Ack(0))
		if _, err := q.Publish(t.Context(), queue.Publication{Message: sender.Message("here")}); !errors.Is(err, queue.ErrFull) {
			t.Errorf("publishing: %v", err)
		}
		time.Sleep(time.Minute)
		if n := q.state.commits; n != 2 {
			t.Errorf("%d commits, want the 2 of before", n)
		}
		d.set(10 << 30)
		time.Sleep(2 * time.Second)
		if s := stats(t, q, "here"); s.Waiting != 1 {
			t.Errorf("%d messages wait, want 1", s.Waiting)
		}
		publishSoon(t, q)
	})
}

func TestAFullDiskIsNotOpened(t *testing.T) {
	t.Parallel()
	d := &fakeDisk{space: 1 << 20}
	dir := filepath.Join(t.TempDir(), "queue")
	_, err := Open(Options{Dir: dir, disk: d, tune: small})
	if !errors.Is(err, ErrDiskFull) {
		t.Errorf("got %v", err)
	}
	files, err := os.ReadDir(dir)
	must(t, err)
	if len(files) > 0 {
		t.Errorf("it left %v", files)
	}
	d.set(10 << 30)
	openTest(t, Options{Dir: dir, disk: d})
}

func TestNewLimitsHoldAtOnce(t *testing.T) {
	t.Parallel()
	d := &fakeDisk{space: 1 << 30}
	q := openTest(t, Options{disk: d})
	give(t, q, "here", 1)
	q.SetLimits(100, 0)
	refused(t, q, "a message that is larger than the queue")
	q.SetLimits(0, 2<<30)
	refused(t, q, "a message for which the disk is too full")
	q.SetLimits(0, 0)
	give(t, q, "here", 1)
	if s := q.Disk(); s.MaxSize != defaultMaxSize || s.MinFree != defaultMinFreeSpace {
		t.Errorf("the limits are %+v", s)
	}
}

func TestTheBallastTakesRealSpace(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := localDisk{dir}
	must(t, d.reserve(4<<20))
	info, err := os.Stat(filepath.Join(dir, ballastName))
	must(t, err)
	if got := blocksOf(info); got < 4<<20 {
		t.Errorf("it takes %d bytes", got)
	}
	must(t, d.reserve(0))
	must(t, d.reserve(0))
	if _, err := os.Stat(filepath.Join(dir, ballastName)); !os.IsNotExist(err) {
		t.Errorf("it is still there: %v", err)
	}
}

func refused(t *testing.T, q *Queue, what string) {
	t.Helper()
	_, err := q.Publish(t.Context(), queue.Publication{Message: sender.Message("here")})
	if !errors.Is(err, queue.ErrFull) {
		t.Errorf("%s: %v", what, err)
	}
}

// publishSoon publishes once the queue has noticed that the disk has space.
func publishSoon(t *testing.T, q *Queue) {
	t.Helper()
	for range 50 {
		_, err := q.Publish(t.Context(), queue.Publication{Message: sender.Message("here")})
		if err == nil {
			return
		}
		if !errors.Is(err, queue.ErrFull) {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Error("messages are still refused")
}
