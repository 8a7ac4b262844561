// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// A power cut takes what the kernel has not written to the disk yet. Here the
// disk is a file: what of a mounted file system is in the file when the process
// is killed is what would be left of it.
func TestNothingAcknowledgedIsLostInAPowerCut(t *testing.T) {
	random := seeded(t)
	for range 3 {
		acknowledged, lost := powerCut(t, random)
		t.Logf("%d acknowledged, %d lost", acknowledged, lost)
		if acknowledged < 100 {
			t.Errorf("only %d publishes were acknowledged: that is no load", acknowledged)
		}
		if lost > 0 {
			t.Errorf("%d acknowledged messages are lost", lost)
		}
	}
}

// The test before would notice: without syncs the same power cut loses messages.
func TestAPowerCutTakesWhatIsNotSynced(t *testing.T) {
	acknowledged, lost := powerCut(t, seeded(t), crashUnsynced+"=1")
	t.Logf("%d acknowledged, %d lost", acknowledged, lost)
	if lost == 0 {
		t.Error("nothing is lost: the power cut takes nothing")
	}
}

// powerCut runs a process that uses a queue, cuts the power, and returns how
// many publishes were acknowledged, and of how many, up to 100, the queue knows
// nothing. A key outlives its message, so it tells of those delivered too.
func powerCut(t *testing.T, random *rand.Rand, environment ...string) (acknowledged, lost int) {
	t.Helper()
	dir := t.TempDir()
	disk, copied := filepath.Join(dir, "disk.img"), filepath.Join(dir, "copy.img")
	mounted := filepath.Join(dir, "mounted")
	must(t, os.Mkdir(mounted, 0o700))
	must(t, os.WriteFile(disk, nil, 0o600))
	must(t, os.Truncate(disk, 1200<<20))
	run := func(name string, args ...string) {
		t.Helper()
		if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", name, err, out)
		}
	}
	for _, name := range []string{"mkfs.ext4", "mount"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("needs %s: %v", name, err)
		}
	}
	run("mkfs.ext4", "-q", disk)
	if out, err := exec.CommandContext(t.Context(), "mount", "-o", "loop", disk, mounted).CombinedOutput(); err != nil {
		t.Skipf("needs root and a loop device: %v: %s", err, out)
	}
	s := newStory()
	func() {
		defer run("umount", mounted)
		s.read(t, killed(t, random, filepath.Join(mounted, "queue"), environment...))
		run("cp", "--sparse=always", disk, copied)
	}()

	run("mount", "-o", "loop", copied, mounted) // replays the journal, as after a reboot
	defer run("umount", mounted)
	q := openTest(t, Options{Dir: filepath.Join(mounted, "queue"), tune: asShipped})
	defer func() { must(t, q.Close()) }()
	for _, id := range s.acknowledged {
		r, err := q.Publish(t.Context(), queue.Publication{Message: sender.Message("here"), Keys: crashKey(id)})
		must(t, err)
		if r.Outcome != queue.Duplicate {
			if lost++; lost == 100 {
				break // it is clear by now
			}
		}
	}
	return len(s.acknowledged), lost
}
