// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

func TestADirectoryThatOthersCanReadIsClosedToThem(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o755))
	q := openTest(t, Options{Dir: dir})
	info, err := os.Stat(dir)
	must(t, err)
	if mode := info.Mode().Perm(); mode != 0o700 {
		t.Errorf("its mode is %o", mode)
	}
	reopen(t, q)
}

func TestADirectoryWithOtherFilesIsNotTaken(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "hosts"), nil, 0o600))
	_, err := Open(Options{Dir: dir})
	if err == nil || !strings.Contains(err.Error(), "hosts") {
		t.Errorf("opened with %v", err)
	}
	info, err := os.Stat(dir)
	must(t, err)
	if mode := info.Mode().Perm(); mode != 0o755 {
		t.Errorf("its mode is %o now", mode)
	}
}

// Who issues tokens keeps the key of them beside the messages.
func TestADirectoryWithTheKeyOfTokensIsTaken(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "token.key"), nil, 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "token.key.123"), nil, 0o600)) // left by a crash
	reopen(t, openTest(t, Options{Dir: dir}))
	if _, err := os.Stat(filepath.Join(dir, "token.key")); err != nil {
		t.Error(err)
	}
}

// What is written to files that were removed is lost, so nothing is promised.
func TestAQueueWhoseDirectoryIsGoneAcceptsNothing(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "queue")
	o := Options{Dir: dir, disk: localDisk{dir}}
	o.every = intervals{disk: 5 * time.Millisecond, sweep: time.Hour, refresh: time.Hour, reclaim: time.Hour}
	q := openTest(t, o)
	publish(t, q, queue.Accepted, queue.Publication{Message: sender.Message("here")})
	must(t, os.RemoveAll(dir))
	for range 3 {
		if _, err := q.Publish(t.Context(), queue.Publication{Message: sender.Message("here")}); !errors.Is(err, queue.ErrFull) {
			t.Fatalf("publishing without a directory: %v", err)
		}
		must(t, os.MkdirAll(dir, 0o700)) // another one
	}
	must(t, os.WriteFile(filepath.Join(dir, "LOCK"), nil, 0o600)) // which Close removes
}
