// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"flag"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Memory, starts and disk are measured of a Caddy in a process of its own, so that
// what sends and what takes deliveries is not in it, beside a plain Caddy in
// another. -benchtime says how many messages it is about, and by that whether it
// takes seconds or an hour:
//
//	go test -run '^$' -bench Backlog -benchtime 1000000x -timeout 0 ./caddymodule
//
// The queue takes 1.5 KB a message in the directory for temporary files, and for a
// moment twice that. Memory is in MiB, over what the plain Caddy takes unless it
// says otherwise; its bodies are random, so that they don't compress.

// An extent is how much a benchmark is about.
type extent struct {
	n     int  // messages
	quick bool // -benchtime doesn't say how many: what takes minutes is cut short
}

// extentOf returns what -benchtime says, or something small if it is a time. It is
// not ok in the trial with one message that testing makes before the real one.
func extentOf(b *testing.B, small int) (e extent, ok bool) {
	b.ReportMetric(0, "ns/op") // says nothing here
	count, counted := strings.CutSuffix(flag.Lookup("test.benchtime").Value.String(), "x")
	if !counted || count == "1" {
		return extent{small, true}, true
	}
	return extent{b.N, false}, b.N > 1
}

// rest waits, but not long if it must be quick. It returns how long, in seconds.
func (e extent) rest(d time.Duration) float64 {
	if e.quick {
		d = min(d, 2*time.Second)
	}
	time.Sleep(d)
	return d.Seconds()
}

// patience is how long something may take that is done for each message.
func (e extent) patience() time.Duration {
	return 2*time.Minute + time.Duration(e.n)*2*time.Millisecond
}

// waitFor is eventually, with another patience.
func waitFor(b *testing.B, patience time.Duration, what string, ok func() bool) {
	b.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatalf("waited %v in vain until %s", patience, what)
		}
	}
}

const benchOptions = `
	log {
		level ERROR
	}
	webhook_inbox {
		queue badger %s {
			max_size 64GiB
		}
	}`

// startInbox runs Caddy with the directory and the addresses of s. It can be called
// again after that has ended.
func startInbox(b *testing.B, s *server, site string) *process {
	b.Helper()
	return startCaddy(b, s, s.caddyfile(fmt.Sprintf(benchOptions, s.dir), site))
}

// benchSite is the site of one endpoint, which delivers to an address.
func benchSite(upstream, options string) string {
	return "webhook_inbox bench {\nverify svix " + benchSecret + "\nmax_size 100%\n" + options +
		"\ndeliver {\n" + fmt.Sprintf(benchProxy, upstream) + "\n}\n}"
}

// startPlain runs a Caddy that has only respond.
func startPlain(b *testing.B) *process {
	b.Helper()
	s := newServer(b)
	return startCaddy(b, s, fmt.Sprintf("{\nadmin unix/%s\npersist_config off\nauto_https off\nlog {\nlevel ERROR\n}\n}\n", s.sock)+
		site(s.addr, "respond 202"))
}

// finish ends the process as its operator would, and erases its queue.
func (p *process) finish() {
	p.end(syscall.SIGTERM)
	if err := os.RemoveAll(p.dir); err != nil {
		p.t.Error(err)
	}
}

// memory is what a process takes, in MiB.
type memory struct {
	anon float64 // of its own
	file float64 // of files, which the system can take back: mapped tables, the program
}

// memory returns nothing of a process that has ended.
func (p *process) memory() memory {
	var m memory
	for line := range p.proc("status") {
		fmt.Sscanf(line, "RssAnon: %g", &m.anon)
		fmt.Sscanf(line, "RssFile: %g", &m.file)
	}
	return memory{m.anon / 1024, m.file / 1024}
}

// bytesWritten is what the process has written to disks.
func (p *process) bytesWritten() (n float64) {
	for line := range p.proc("io") {
		fmt.Sscanf(line, "write_bytes: %g", &n)
	}
	return n
}

// processor is the time that the process has spent computing. The system counts it
// in hundredths of a second.
func (p *process) processor() time.Duration {
	for line := range p.proc("stat") {
		_, line, _ = strings.Cut(line, ") ") // behind its name
		fields := strings.Fields(line)
		user, _ := strconv.Atoi(fields[11])
		system, _ := strconv.Atoi(fields[12])
		return time.Duration(user+system) * 10 * time.Millisecond
	}
	return 0
}

func (p *process) proc(file string) iter.Seq[string] {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p.cmd.Process.Pid, file))
	if err != nil {
		return func(func(string) bool) {}
	}
	return strings.Lines(string(data))
}

// disk is what the files of the queue take, in bytes, but for the ballast, which is
// held in reserve whatever is in the queue.
func (p *process) disk() (sum float64) {
	p.files(func(path string, info fs.FileInfo) {
		if st, ok := info.Sys().(*syscall.Stat_t); ok && filepath.Base(path) != "BALLAST" {
			sum += float64(st.Blocks) * 512
		}
	})
	return sum
}

// chill makes the system forget what it has in memory of the files of the queue,
// which nobody must have open.
func (p *process) chill() {
	p.files(func(path string, _ fs.FileInfo) {
		f, err := os.Open(path)
		if err != nil {
			p.t.Fatal(err)
		}
		defer f.Close()
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			p.t.Fatal(err)
		}
		if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
			p.t.Fatal(err)
		}
	})
}

// files visits the files of the queue. One that goes away meanwhile is left out.
func (p *process) files(visit func(string, fs.FileInfo)) {
	_ = filepath.WalkDir(p.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil
		}
		if info, err := d.Info(); err == nil {
			visit(path, info)
		}
		return nil
	})
}

// watch looks at something ten times a second, until it is asked for the most that
// it saw.
func watch(look func() float64) (most func() float64) {
	stop, seen := make(chan struct{}), make(chan float64)
	go func() {
		most := look()
		for {
			select {
			case <-stop:
				seen <- max(most, look())
				return
			case <-time.After(100 * time.Millisecond):
				most = max(most, look())
			}
		}
	}()
	return func() float64 {
		close(stop)
		return <-seen
	}
}
