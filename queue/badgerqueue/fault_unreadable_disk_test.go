// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// A weakDisk cannot read some pages of the journal, or nothing for some time.
type weakDisk struct {
	mu    sync.Mutex
	bad   map[badPage]bool
	cause error // what reads fail with
	all   bool  // every read does
}

type badPage struct {
	file string // its name
	page int64
}

const pageSize = 4096

func newWeakDisk() *weakDisk {
	return &weakDisk{bad: make(map[badPage]bool), cause: syscall.EIO}
}

// ReadAt reads up to the first page that cannot be read, as the kernel does.
func (d *weakDisk) ReadAt(f *os.File, b []byte, at int64) (n int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	failed := &os.PathError{Op: "read", Path: f.Name(), Err: d.cause}
	if d.all {
		return 0, failed
	}
	for page := at / pageSize; page*pageSize < at+int64(len(b)); page++ {
		if d.bad[badPage{filepath.Base(f.Name()), page}] {
			if before := page*pageSize - at; before > 0 {
				n, _ = f.ReadAt(b[:before], at)
			}
			return n, failed
		}
	}
	return f.ReadAt(b, at)
}

func (d *weakDisk) spoil(file string, at int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.bad[badPage{filepath.Base(file), at / pageSize}] = true
}

// spoilMessage spoils a page that a message has in the middle of its body.
func (d *weakDisk) spoilMessage(t testing.TB, dir string, m *queue.Message) {
	t.Helper()
	d.spoilText(t, dir, m.Request.Body[len(m.Request.Body)/2:][:64])
}

// spoilText spoils the page in which a text begins that is somewhere in a segment.
func (d *weakDisk) spoilText(t testing.TB, dir string, text []byte) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.segment"))
	must(t, err)
	found := false
	for _, name := range names {
		data, err := os.ReadFile(name)
		if errors.Is(err, os.ErrNotExist) {
			continue // it was being prepared
		}
		must(t, err)
		if at := bytes.Index(data, text); at >= 0 {
			d.spoil(name, int64(at))
			found = true
		}
	}
	if !found {
		t.Fatal("it is in no segment")
	}
}

// heal lets everything be read again.
func (d *weakDisk) heal() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.bad)
	d.all = false
}

// failAll lets every read fail, for a reason.
func (d *weakDisk) failAll(cause error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all, d.cause = true, cause
}

// long is a message of several pages, whose content is nowhere else.
func long(endpoint string, size int) *queue.Message {
	m := sender.Message(endpoint)
	m.Request.Body = nil
	for n := 0; len(m.Request.Body) < size; n++ {
		m.Request.Body = fmt.Appendf(m.Request.Body, "%s %d\n", m.ID, n)
	}
	return m
}

// giveLong publishes n long messages, each with its key.
func giveLong(t testing.TB, q *Queue, endpoint string, n, size int) (given []*queue.Message) {
	t.Helper()
	for range n {
		m := long(endpoint, size)
		publish(t, q, queue.Accepted, queue.Publication{Message: m, Keys: keyOf(m.ID)})
		given = append(given, m)
	}
	return given
}

// delivers receives and acks the next messages of an endpoint, which are to be the given
// ones in any order, as they were sent.
func delivers(t testing.TB, q *Queue, endpoint string, want ...*queue.Message) {
	t.Helper()
	for range want {
		d := receive(t, q, endpoint)
		i := slices.IndexFunc(want, func(m *queue.Message) bool { return m.ID == d.Message.ID })
		if i < 0 || !bytes.Equal(d.Message.Request.Body, want[i].Request.Body) {
			t.Errorf("received %s, which is not as it was sent", d.Message.ID)
		}
		must(t, d.Lease.Ack(0))
	}
	must(t, q.flush(t.Context()))
}
