// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A tracer makes system calls of a process fail, or wait, or not happen at all.
type tracer struct {
	t      testing.TB
	cmd    *exec.Cmd
	calls  string // the file that has a line for each
	failed string // the file that has what strace says of itself
}

// inject has strace tamper with system calls of the process until stop. A fault is
// what strace calls an injection, such as "fdatasync:error=EIO". If there are paths,
// only calls that concern them are meant.
func (p *process) inject(faults []string, paths ...string) *tracer {
	p.t.Helper()
	needStrace(p.t)
	dir, err := os.MkdirTemp(filepath.Dir(p.sock), "strace")
	if err != nil {
		p.t.Fatal(err)
	}
	tr := &tracer{t: p.t, calls: filepath.Join(dir, "calls"), failed: filepath.Join(dir, "failed")}
	args := append(straceArgs(faults, paths), "-f", "-o", tr.calls, "-p", strconv.Itoa(p.cmd.Process.Pid))
	tr.cmd = exec.Command("strace", args...)
	messages, err := os.Create(tr.failed)
	if err != nil {
		p.t.Fatal(err)
	}
	tr.cmd.Stderr = messages
	err = tr.cmd.Start()
	messages.Close()
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(tr.stop)
	eventually(p.t, "strace is attached", func() bool {
		said := tr.read(tr.failed)
		if strings.Contains(said, "Operation not permitted") {
			tr.stop()
			p.t.Skipf("needs strace that may attach to a process: %s", said)
		}
		return strings.Contains(said, " attached")
	})
	return tr
}

func straceArgs(faults, paths []string) (args []string) {
	var traced []string
	for _, f := range faults {
		calls, _, _ := strings.Cut(f, ":")
		traced = append(traced, calls)
		args = append(args, "-e", "inject="+f)
	}
	args = append(args, "-e", "trace="+strings.Join(traced, ","))
	for _, path := range paths {
		args = append(args, "-P", path)
	}
	return args
}

func needStrace(t testing.TB) {
	t.Helper()
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("needs strace")
	}
}

// injected is how many calls were tampered with.
func (tr *tracer) injected() int {
	tr.t.Helper()
	calls := tr.read(tr.calls)
	return strings.Count(calls, "(INJECTED)") + strings.Count(calls, "(DELAYED)")
}

func (tr *tracer) read(name string) string {
	tr.t.Helper()
	data, err := os.ReadFile(name)
	if err != nil && !os.IsNotExist(err) {
		tr.t.Fatal(err)
	}
	return string(bytes.TrimSpace(data))
}

// stop lets go of the process, which goes on as if nothing had been.
func (tr *tracer) stop() {
	if tr.cmd == nil {
		return
	}
	_ = tr.cmd.Process.Signal(syscall.SIGINT) // it may have ended with the process
	_ = tr.cmd.Wait()
	tr.cmd = nil
}

// startFails runs Caddy with faults from its start on, which must end it, and returns
// what it says.
func (s *server) startFails(caddyfile string, faults ...string) string {
	s.t.Helper()
	needStrace(s.t)
	config := filepath.Join(filepath.Dir(s.dir), "Caddyfile")
	if err := os.WriteFile(config, []byte(caddyfile), 0o600); err != nil {
		s.t.Fatal(err)
	}
	var said bytes.Buffer
	cmd := exec.Command("strace", append(straceArgs(faults, nil), "-f", "-o", os.DevNull, os.Args[0])...)
	cmd.Env = append(os.Environ(), asCaddy+"="+config, "HOME="+filepath.Dir(s.dir), "XDG_DATA_HOME=", "XDG_CONFIG_HOME=")
	cmd.Stderr = &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // to be killed with Caddy
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	late := time.AfterFunc(patience, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	if err := cmd.Wait(); err == nil || !late.Stop() {
		s.t.Errorf("Caddy runs on a disk that fails:\n%s", &said)
	}
	(&process{server: s, log: &said}).healthy()
	return said.String()
}
