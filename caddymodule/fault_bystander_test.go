// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"runtime/metrics"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue/queuetest/ledger"
)

// A bystander is an endpoint with an application that is well, while another has
// trouble. It measures how long its webhooks take, from when they are sent until the
// application has them.
type bystander struct {
	t      *testing.T
	ledger *ledger.Ledger
	app    *application
	cancel context.CancelFunc
	sender sync.WaitGroup

	mu   sync.Mutex
	sent map[string]time.Time
	took []time.Duration
}

func newBystander(t *testing.T, l *ledger.Ledger) *bystander {
	t.Helper()
	b := &bystander{t: t, ledger: l, app: newApplication(t), sent: make(map[string]time.Time), cancel: func() {}}
	b.app.handle = func(w http.ResponseWriter, r *http.Request, body []byte) {
		<-b.app.got
		a := attemptOf(r)
		a.Ended, a.Status = a.Began, http.StatusNoContent
		b.ledger.Tried(keyOf(r), body, a)
		b.mu.Lock()
		b.took = append(b.took, a.Began.Sub(b.sent[keyOf(r)]))
		b.mu.Unlock()
		w.WriteHeader(http.StatusNoContent)
	}
	t.Cleanup(b.stop)
	return b
}

// start sends a webhook every 20 ms to the path, where the endpoint is.
func (b *bystander) start(s *server, path string) {
	ctx, cancel := context.WithCancel(b.t.Context())
	b.cancel = cancel
	b.sender.Go(func() {
		client := &http.Client{Transport: &http.Transport{}, Timeout: patience}
		defer client.CloseIdleConnections()
		for n := 0; ctx.Err() == nil; n++ {
			b.send(client, "http://"+s.addr+path, fmt.Sprintf("bystander-%d", n))
			time.Sleep(20 * time.Millisecond)
		}
	})
}

func (b *bystander) send(client *http.Client, url, key string) {
	b.mu.Lock()
	b.sent[key] = time.Now()
	b.mu.Unlock()
	sendTo(b.t, b.ledger, client, url, key, []byte(key))
}

// sendTo sends one webhook to an endpoint that accepts it.
func sendTo(t *testing.T, l *ledger.Ledger, client *http.Client, url, key string, body []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", url, bytes.NewReader(body))
	if err != nil {
		t.Error(err)
		return
	}
	r.Header = tokenHeader(key)
	l.Sent(key, body)
	resp, err := client.Do(r)
	if err != nil {
		t.Errorf("sending %s: %v", key, err)
		return
	}
	resp.Body.Close()
	l.Answered(key, resp.StatusCode)
	if resp.StatusCode != http.StatusAccepted {
		t.Errorf("%s is answered %d", key, resp.StatusCode)
	}
}

func (b *bystander) stop() {
	b.cancel()
	b.sender.Wait()
}

// finish sends no more, waits until all is delivered, and holds nine in ten of the
// times to a bound: the tenth is for a machine that is busy.
func (b *bystander) finish(bound time.Duration) {
	b.t.Helper()
	b.stop()
	eventually(b.t, "the bystander has everything", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return len(b.took) >= len(b.sent)
	})
	b.mu.Lock()
	defer b.mu.Unlock()
	slices.Sort(b.took)
	at := func(percent int) time.Duration { return b.took[len(b.took)*percent/100] }
	b.t.Logf("the bystander's %d webhooks took %v, %v and %v at the 50th, 90th and 99th percentile", len(b.took), at(50), at(90), at(99))
	b.ledger.Measured("seconds of the bystander's webhooks", at(90).Seconds(), slowdown*bound.Seconds())
}

// noteStalls writes into the ledger when this process stood still for so long that
// an answer which the application gave may have come too late: that is a fault, if
// none of the inbox. It returns what returns for how long it stood still at most.
func noteStalls(t *testing.T, l *ledger.Ledger, long time.Duration) (most func() time.Duration) {
	return watchStalls(t, long/20, func(began, ended time.Time) {
		if stood := ended.Sub(began); stood > long {
			t.Logf("everything stood still for %v", stood)
			l.Fault(began, ended)
		}
	})
}

// watchStalls wants to run so often, and calls each with when it ran and when it ran
// next. It returns what returns for how long it had to wait at most, beyond that.
func watchStalls(t *testing.T, often time.Duration, each func(began, ended time.Time)) (most func() time.Duration) {
	var longest atomic.Int64
	done := make(chan struct{})
	var watcher sync.WaitGroup
	watcher.Go(func() {
		ticker := time.NewTicker(often)
		defer ticker.Stop()
		for last := time.Now(); ; last = time.Now() {
			select {
			case <-ticker.C:
			case <-done:
				return
			}
			now := time.Now()
			longest.Store(max(longest.Load(), int64(now.Sub(last)-often)))
			each(last, now)
		}
	})
	t.Cleanup(func() { close(done); watcher.Wait() })
	return func() time.Duration { return time.Duration(longest.Load()) }
}

// resources are what a process must not have ever more of.
type resources struct {
	heap       int64
	goroutines int
	files      int // zero where it cannot be told
}

func takeResources() resources {
	files, _ := os.ReadDir("/proc/self/fd")
	return resources{heapNow(), runtime.NumGoroutine(), len(files)}
}

func heapNow() int64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return int64(sample[0].Value.Uint64())
}

// watchMemory returns what returns the most heap that there was since.
func watchMemory(t *testing.T) (most func() int64) {
	var peak int64
	done := make(chan struct{})
	var watcher sync.WaitGroup
	watcher.Go(func() {
		ticker := time.NewTicker(2 * time.Millisecond)
		defer ticker.Stop()
		for {
			peak = max(peak, heapNow())
			select {
			case <-ticker.C:
			case <-done:
				return
			}
		}
	})
	stop := sync.OnceFunc(func() { close(done); watcher.Wait() })
	t.Cleanup(stop)
	return func() int64 { stop(); return peak }
}
