// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue/queuetest/ledger"
)

// In the long run many times max_size comes in, is delivered, and would be kept for days; then the
// application is down. The disk never has much more than max_size: kept messages are
// erased for new ones, as are the files that they were in, and once as much waits as
// there may be, the rest is answered 503 and accepted when the application is back. The
// short size is for what waits: it sends less than the disk may have.
func TestFaultMaxSize(t *testing.T) {
	l := new(ledger.Ledger)
	fillBeyondMaxSize(t, l, "16MiB", rounds(64, 20_000))
	if c := report(t, l, ledger.End{}); c.Unavailable == 0 || c.Delivered != c.Sent {
		t.Errorf("that is no load: %+v", c)
	}
}

// The test before would notice an engine that does not keep to max_size: in what
// waits, and, of the long size, in what is on the disk.
func TestFaultMaxSizeIsNoticed(t *testing.T) {
	l := new(ledger.Ledger)
	fillBeyondMaxSize(t, l, "10GiB", rounds(0, 320))
	for _, what := range []string{mibThatWait, mibOnDisk} {
		noticed := slices.ContainsFunc(l.Check(ledger.End{}), func(v ledger.Violation) bool { return strings.HasPrefix(v.What, what) })
		if !noticed && (what == mibThatWait || faultsAreLong) {
			t.Errorf("%s: that is more than max_size, and nobody noticed", what)
		}
	}
}

const (
	mibThatWait = "MiB that wait"
	mibOnDisk   = "MiB on disk"
)

// fillBeyondMaxSize sends so many MiB, of which the disk may hold 16 and what takes
// its time to be erased.
func fillBeyondMaxSize(t *testing.T, l *ledger.Ledger, maxSize string, size int) {
	t.Helper()
	var down sync.Map
	app := witness(t, l, func(string, int) (int, time.Duration) {
		if _, is := down.Load("now"); is {
			return http.StatusServiceUnavailable, 0
		}
		return http.StatusNoContent, 0
	})
	s := newServer(t)
	s.loadQueue("min_free_space 64MiB\n max_size "+maxSize, retrySite(app.addr, "max_size 100%\n"+quickly))
	most, sent := int64(0), 0
	const mebibytes = 4
	send := func() (status int) {
		sent++
		id := fmt.Sprint(sent)
		body := bytes.Repeat([]byte(id+"."), mebibytes<<20/(len(id)+1))
		for tries := 0; tries < 100; tries++ {
			l.Sent(id, body)
			status = s.send("POST", "/", tokenHeader(id), string(body)).StatusCode
			l.Answered(id, status)
			if _, is := down.Load("now"); is || status == http.StatusAccepted {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		most = max(most, s.onDisk())
		return status
	}
	for sent*mebibytes < size {
		send()
	}
	s.settled("demo")
	down.Store("now", true)
	waiting := 0
	for range 6 {
		if send() == http.StatusAccepted {
			waiting += mebibytes
		}
	}
	l.Measured(mibThatWait, float64(waiting), 16)
	down.Delete("now")
	for sent -= 6; sent < size/mebibytes+6; {
		send() // again
	}
	rest(t, s, "demo")
	t.Logf("%d MiB were sent, %d MiB waited, and %d MiB were on the disk at most", sent*mebibytes, waiting, most>>20)
	l.Measured(mibOnDisk, float64(most>>20), 16+3*64)
}

// onDisk is how much of the disk the queue takes.
func (s *server) onDisk() (size int64) {
	s.t.Helper()
	err := filepath.WalkDir(s.dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			size += info.Sys().(*syscall.Stat_t).Blocks * 512
		}
		return err
	})
	if err != nil && !errors.Is(err, os.ErrNotExist) { // which was there a moment ago
		s.t.Fatal(err)
	}
	return size
}
