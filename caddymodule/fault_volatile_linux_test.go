// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A volatileDisk is a file system that forgets, when its power is cut, what was not
// synced: what the kernel has not written yet, and what a real disk has in its own
// cache. It is in a file on a file system that is in a file:
//
//	dir ── pages not written ──▶ inner image ── pages not flushed ──▶ outer image
//
// Only what is in the outer image is there after a cut. A sync of a file in dir
// reaches it, because a flush of the inner disk is a sync of its image.
type volatileDisk struct {
	t     *testing.T
	dir   string
	outer string // where the outer image is mounted
	image string // the outer one

	mounted []string // the last one first
}

func newVolatileDisk(t *testing.T) *volatileDisk {
	t.Helper()
	for _, tool := range []string{"mkfs.ext4", "mount", "umount"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s", tool)
		}
	}
	if os.Getuid() != 0 {
		t.Skip("needs root and a loop device")
	}
	at := t.TempDir()
	d := &volatileDisk{t: t, dir: filepath.Join(at, "dir"), outer: filepath.Join(at, "outer"), image: filepath.Join(at, "image")}
	for _, dir := range []string{d.dir, d.outer} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	d.makeImage(d.image, 900<<20)
	if out, err := mountImage(d.image, d.outer); err != nil {
		t.Skipf("needs a loop device: %v: %s", err, out)
	}
	d.mounted = []string{d.outer}
	t.Cleanup(d.release)
	d.makeImage(d.inner(), 600<<20)
	if out, err := mountImage(d.inner(), d.dir); err != nil {
		t.Fatalf("mounting: %v: %s", err, out)
	}
	d.mounted = []string{d.dir, d.outer}
	d.run("sync", "--file-system", d.dir)
	d.run("sync", "--file-system", d.outer)
	return d
}

func (d *volatileDisk) inner() string { return filepath.Join(d.outer, "image") }

func (d *volatileDisk) makeImage(name string, size int64) {
	d.t.Helper()
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		d.t.Fatal(err)
	}
	if err := os.Truncate(name, size); err != nil {
		d.t.Fatal(err)
	}
	d.run("mkfs.ext4", "-q", "-E", "nodiscard", name)
}

// mountImage mounts an image, whose file system writes nothing of its own accord for
// as long as a test takes.
func mountImage(image, dir string) (string, error) {
	out, err := exec.Command("mount", "-o", "loop,commit=600", image, dir).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// cut cuts the power, and switches it on again. Nobody may use the disk.
func (d *volatileDisk) cut() {
	d.t.Helper()
	left := d.image + ".left"
	d.run("cp", "--sparse=always", d.image, left)
	d.run("umount", d.dir)
	d.run("umount", d.outer)
	if err := os.Rename(left, d.image); err != nil {
		d.t.Fatal(err)
	}
	for _, m := range [][2]string{{d.image, d.outer}, {d.inner(), d.dir}} {
		if out, err := mountImage(m[0], m[1]); err != nil { // the kernel replays its journal
			d.t.Fatalf("mounting what is left: %v: %s", err, out)
		}
	}
}

// release unmounts the disk. Whoever uses it is gone, or about to.
func (d *volatileDisk) release() {
	d.t.Helper()
	for _, dir := range d.mounted {
		d.run("umount", "--lazy", dir)
	}
	d.mounted = nil
}

func (d *volatileDisk) run(name string, args ...string) {
	d.t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		d.t.Errorf("%s %v: %v: %s", name, args, err, out)
	}
}
