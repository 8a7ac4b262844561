// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"bytes"
	"errors"
	"os"
	"sync"
	"testing"
)

func TestWhatIsDroppedCanBeReadByWhoEnteredBefore(t *testing.T) {
	t.Parallel()
	b := begin(t, t.TempDir(), little())
	b.fill(100, 1000)
	dropped := b.frames[0]
	early, second := b.Enter(), b.Enter()
	must(t, b.Drop([]uint32{1}))
	between := b.Enter()
	must(t, b.Drop([]uint32{2}))
	late := b.Enter()

	for _, c := range []struct {
		who  string
		e    Epoch
		has1 bool
		has2 bool
	}{
		{"early", early, true, true},
		{"second", second, true, true},
		{"between", between, false, true},
		{"late", late, false, false},
	} {
		if c.e.Has(1) != c.has1 || c.e.Has(2) != c.has2 {
			t.Errorf("%s: 1 is there: %v, 2 is there: %v", c.who, c.e.Has(1), c.e.Has(2))
		}
		for p, want := range dropped.blobs {
			data, err := c.e.Read(p)
			if c.has1 && !bytes.Equal(data, want) || !c.has1 && !errors.Is(err, ErrMissing) {
				t.Errorf("%s: %d bytes, %v", c.who, len(data), err)
			}
		}
	}
	if b.Has(1) || b.Has(2) {
		t.Error("the journal still has them")
	}

	// The file is neither gone nor another segment until the last of them leaves.
	is := func(segment uint32) os.FileInfo {
		info, _ := os.Stat(segmentName(b.dir, segment))
		return info
	}
	first, other := is(1), is(2)
	early.Leave()
	late.Leave()
	b.fill(100, 1000)
	if !os.SameFile(first, is(1)) || !os.SameFile(other, is(2)) {
		t.Fatal("a file is not what it was, though somebody reads it")
	}
	for p, want := range dropped.blobs {
		if data, err := second.Read(p); err != nil || !bytes.Equal(data, want) {
			t.Errorf("%d bytes, %v", len(data), err)
		}
	}
	second.Leave()
	if !os.SameFile(other, is(2)) {
		t.Error("the second file went with the first")
	}
	between.Leave()
	b.fill(200, 1000)
	if os.SameFile(first, is(1)) || os.SameFile(other, is(2)) {
		t.Error("the files are still there")
	}
}

func TestTheActiveSegmentIsNotDropped(t *testing.T) {
	t.Parallel()
	b := begin(t, t.TempDir(), little())
	b.fill(1, 10)
	must(t, b.Drop([]uint32{1, 7}))
	b.fill(1, 10)
	holds(t, copied(t, b.dir), b.opts, b.frames)
}

func TestOneWritesWhileOthersRead(t *testing.T) {
	t.Parallel()
	b := begin(t, t.TempDir(), little())
	var mu sync.Mutex
	known := make(map[Place][]byte) // that were not dropped
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				// In this order: what is known now can be read until Leave.
				mu.Lock()
				e := b.Enter()
				places := make(map[Place][]byte, 10)
				for p, data := range known {
					if places[p] = data; len(places) == 10 {
						break
					}
				}
				mu.Unlock()
				for p, want := range places {
					if !e.Has(p.Segment) {
						t.Errorf("segment %d is gone", p.Segment)
					}
					if data, err := e.Read(p); err != nil || !bytes.Equal(data, want) {
						t.Errorf("at %v there are %d bytes, not what was written: %v", p, len(data), err)
					}
				}
				e.Leave()
			}
		})
	}
	for i := range 1000 {
		f := b.commit(bytes.Repeat([]byte{byte(i)}, 500+i), []byte{byte(i)})
		mu.Lock()
		for p, data := range f.blobs {
			known[p] = data
		}
		mu.Unlock()
		if i%50 != 49 {
			continue
		}
		var old []uint32
		mu.Lock()
		for _, n := range b.Segments() {
			if n < b.active.number {
				old = append(old, n)
			}
		}
		for p := range known {
			if p.Segment < b.active.number {
				delete(known, p)
			}
		}
		mu.Unlock()
		b.begin = b.Tail()
		must(t, b.Drop(old))
	}
	close(stop)
	readers.Wait()
	if n := b.active.number; n < 10 {
		t.Errorf("there were only %d segments", n)
	}
}
