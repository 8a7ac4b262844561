// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
)

// asCaddy, in the environment of the test binary, makes it a Caddy, and asCommand
// one that is called with the arguments that it holds, each on a line.
const (
	asCaddy   = "WEBHOOK_INBOX_TEST_CADDY"
	asCommand = "WEBHOOK_INBOX_TEST_COMMAND"
)

func TestMain(m *testing.M) {
	if config := os.Getenv(asCaddy); config != "" {
		registerBrokenEngine()
		os.Args = []string{"caddy", "run", "--config", config, "--adapter", "caddyfile"}
		caddycmd.Main()
		return
	}
	if args := os.Getenv(asCommand); args != "" {
		os.Args = append([]string{"caddy"}, strings.Split(args, "\n")...)
		caddycmd.Main()
		return
	}
	// Most of what runs in parallel waits for processes.
	if err := flag.Set("test.parallel", strconv.Itoa(max(6, runtime.GOMAXPROCS(0)))); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// process is a Caddy in a process of its own, which can be killed.
type process struct {
	*server
	cmd  *exec.Cmd
	log  *bytes.Buffer
	exit chan error
}

// startProcess runs Caddy in a process of its own, with the directory and the
// addresses of s, and returns when it serves.
func startProcess(t *testing.T, s *server, site string) *process {
	t.Helper()
	return startCaddy(t, s, s.caddyfile("", site))
}

// startCaddy is startProcess with a whole Caddyfile.
func startCaddy(t testing.TB, s *server, caddyfile string) *process {
	t.Helper()
	p := launchCaddy(t, s, caddyfile)
	p.serves()
	return p
}

// serves waits until Caddy serves.
func (p *process) serves() {
	p.t.Helper()
	eventually(p.t, "Caddy serves", func() bool {
		conn, err := net.Dial("tcp", p.addr)
		if err != nil {
			return false
		}
		conn.Close()
		return true
	})
}

// launchCaddy is startCaddy that does not wait until it serves.
func launchCaddy(t testing.TB, s *server, caddyfile string) *process {
	t.Helper()
	config := filepath.Join(filepath.Dir(s.dir), "Caddyfile")
	if err := os.WriteFile(config, []byte(caddyfile), 0o600); err != nil {
		t.Fatal(err)
	}
	p := &process{server: s, log: new(bytes.Buffer), exit: make(chan error, 1)}
	p.cmd = exec.Command(os.Args[0])
	p.cmd.Env = append(os.Environ(), asCaddy+"="+config, "HOME="+filepath.Dir(s.dir), "XDG_DATA_HOME=", "XDG_CONFIG_HOME=",
		"GORACE=exitcode=0 "+os.Getenv("GORACE")) // healthy reports races
	p.cmd.Stderr = p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.exit <- p.cmd.Wait() }()
	t.Cleanup(func() {
		p.end(syscall.SIGKILL)
		p.healthy()
		if log := p.log.Bytes(); t.Failed() {
			t.Logf("the end of what Caddy said: %s", log[max(0, len(log)-1000):])
		}
	})
	return p
}

// healthy reports what the runtime of a process that has ended said of its faults:
// its status does not tell after a kill.
func (p *process) healthy() {
	p.t.Helper()
	said := withoutCaddysRaces(p.log.Bytes())
	for _, fault := range []string{"DATA RACE", "panic", "fatal error: "} {
		if _, after, found := bytes.Cut(said, []byte(fault)); found {
			p.t.Errorf("Caddy said %q:%s", fault, after[:min(len(after), 3000)])
		}
	}
}

// end sends a signal, unless the process has ended, and waits for its end.
func (p *process) end(signal syscall.Signal) {
	if p.exit == nil {
		return
	}
	p.signal(signal)
	if err := p.ended(patience); err != nil && signal == syscall.SIGTERM {
		p.t.Errorf("after SIGTERM Caddy ended with %v:\n%s", err, p.log)
	}
}

// signal sends a signal, unless the process has ended.
func (p *process) signal(signal syscall.Signal) {
	if err := p.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Errorf("sending %v: %v", signal, err)
	}
}

// ended waits for the end of the process, which must come within the time.
func (p *process) ended(within time.Duration) error {
	began := time.Now()
	select {
	case err := <-p.exit:
		if took := time.Since(began); took > within {
			p.t.Errorf("the end took %v, want %v at most", took, within)
		}
		p.exit = nil
		return err
	case <-time.After(within + patience):
		p.t.Errorf("Caddy did not end:\n%s", p.log)
		p.exit = nil
		return nil
	}
}

// post sends one webhook and returns the status, 0 if there was no answer.
func post(ctx context.Context, client *http.Client, addr, id, body string) int {
	r, err := http.NewRequestWithContext(ctx, "POST", "http://"+addr+"/", strings.NewReader(body))
	if err != nil {
		return 0
	}
	for name, values := range tokenHeader(id) {
		r.Header[name] = values
	}
	resp, err := client.Do(r)
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}
