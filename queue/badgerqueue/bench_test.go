// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/caddy-webhook-inbox/inbox/queue"
	"github.com/caddy-webhook-inbox/inbox/queue/queuetest"
)

// asShipped opens databases with the options that users get.
func asShipped(*badger.Options) {}

func BenchmarkPublish(b *testing.B) {
	for _, writers := range []int{1, 32, 128} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			var commits atomic.Int64
			q := openTest(b, Options{tune: asShipped, OnCommit: func(CommitStats) { commits.Add(1) }})
			var sender queuetest.Sender
			body := bytes.Repeat([]byte(`{"event":"paid"}`), 64)
			var next atomic.Int64
			b.ReportAllocs()
			b.ResetTimer()
			var all sync.WaitGroup
			for range writers {
				all.Go(func() {
					for {
						n := next.Add(1)
						if n > int64(b.N) {
							return
						}
						m := sender.Message("here")
						m.Request.Body = body
						if _, err := q.Publish(b.Context(), queue.Publication{Message: m, Keys: keysOf(n)}); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			all.Wait()
			b.ReportMetric(float64(commits.Load())/float64(b.N), "commits/op")
		})
	}
}

// BenchmarkDeliver receives and acks what waits, most of it on disk only.
func BenchmarkDeliver(b *testing.B) {
	q := openTest(b, Options{tune: asShipped})
	fill(b, q, b.N)
	b.ReportAllocs()
	b.ResetTimer()
	var all sync.WaitGroup
	var left atomic.Int64
	left.Store(int64(b.N))
	for range 32 {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				d, err := q.Receive(b.Context(), "here", time.Minute)
				if err != nil {
					b.Error(err)
					return
				}
				if err := d.Lease.Ack(0); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

// fill publishes n messages of 1 KB.
func fill(t testing.TB, q *Queue, n int) {
	t.Helper()
	var sender queuetest.Sender
	body := bytes.Repeat([]byte(`{"event":"paid"}`), 64)
	var next atomic.Int64
	var all sync.WaitGroup
	for range 256 {
		all.Go(func() {
			for {
				i := next.Add(1)
				if i > int64(n) {
					return
				}
				m := sender.Message("here")
				m.Request.Body = body
				if _, err := q.Publish(t.Context(), queue.Publication{Message: m, Keys: keysOf(i)}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

func keysOf(n int64) []queue.Key {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(n))
	return []queue.Key{{Kind: queue.KeyID, Hash: sha256.Sum256(b[:]), Window: 96 * time.Hour}}
}
