// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/dgraph-io/badger/v4"
)

// A filter knows of most deduplication keys that nobody has them, without a look
// at the database. It is made of blocks of 64 bytes, one cache line, in which a
// key has eight bits. It grows by parts, each twice as large as the one before,
// and is wrong about one key in a hundred or so; then the database is asked.
//
// A key that is dropped stays in it until the queue is opened again. So that
// this costs no more than so much memory, it ends growing at 32 MiB, from where
// on it is asked in vain more often.
type filter struct {
	mu    sync.Mutex
	parts []filterPart
	ready bool // it has the keys that were there at the start
}

type filterPart struct {
	blocks [][8]uint64
	room   int // for so many keys more
}

const (
	firstBlocks = 1 << 10 // 64 KiB, for some 40,000 keys
	lastBlocks  = 1 << 18 // 16 MiB
	keysInBlock = 40
)

func newFilter() *filter { return new(filter) }

// add adds a key of the table of keys.
func (f *filter) add(k key) {
	at, bits := spread(k)
	f.mu.Lock()
	defer f.mu.Unlock()
	last := len(f.parts) - 1
	if last < 0 || f.parts[last].room == 0 && len(f.parts[last].blocks) < lastBlocks {
		blocks := firstBlocks
		if last >= 0 {
			blocks = 2 * len(f.parts[last].blocks)
		}
		f.parts = append(f.parts, filterPart{make([][8]uint64, blocks), blocks * keysInBlock})
		last++
	}
	p := &f.parts[last]
	block := p.block(at)
	for i := range block {
		block[i] |= 1 << (bits >> (6 * i) & 63)
	}
	p.room = max(p.room-1, 0)
}

// mayHave reports whether the key may have been added.
func (f *filter) mayHave(k key) bool {
	at, bits := spread(k)
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.ready {
		return true
	}
	for i := range f.parts {
		if f.parts[i].has(at, bits) {
			return true
		}
	}
	return false
}

func (p *filterPart) block(at uint64) *[8]uint64 { return &p.blocks[at&uint64(len(p.blocks)-1)] }

func (p *filterPart) has(at, bits uint64) bool {
	for i, word := range p.block(at) {
		if word&(1<<(bits>>(6*i)&63)) == 0 {
			return false
		}
	}
	return true
}

// spread takes the numbers that a key is known by from its hash, which is of
// cryptographic quality: no sender can choose many that meet.
func spread(k key) (at, bits uint64) {
	hash := k[len(k)-dedupeHashSize:]
	at = binary.LittleEndian.Uint64(hash) + uint64(endpointOf(k))*0x9e3779b97f4a7c15 + uint64(k[5])
	return at, binary.LittleEndian.Uint64(hash[8:])
}

// loadKeys fills the filter with the keys that are in the database.
func (x *index) loadKeys() {
	err := x.q.glance(func(tx *badger.Txn) error {
		it := tx.NewIterator(badger.IteratorOptions{Prefix: newKey(tableKeys)})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			x.keys.add(it.Item().Key())
			if x.isClosing() {
				return nil
			}
		}
		x.keys.mu.Lock()
		defer x.keys.mu.Unlock()
		x.keys.ready = true
		return nil
	})
	if err != nil {
		_ = x.q.poison(fmt.Errorf("reading the deduplication keys: %w", err))
	}
}

func (x *index) isClosing() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.closing
}
