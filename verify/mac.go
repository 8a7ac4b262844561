// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"crypto/hmac"
	"crypto/sha512"
	"hash"
	"slices"
	"sync"
)

// A macKey computes MACs under one secret. It keeps hashes that have been keyed
// already, because keying costs more than hashing a short message.
type macKey struct {
	hashes sync.Pool
}

// A keyedHash is a hash with room for its sum, which saves an allocation a sum.
type keyedHash struct {
	hash.Hash
	room [sha512.Size]byte
}

func newMACKey(newHash func() hash.Hash, secret []byte) *macKey {
	return &macKey{hashes: sync.Pool{New: func() any { return &keyedHash{Hash: hmac.New(newHash, secret)} }}}
}

// sum returns the MAC of the concatenation of parts.
func (k *macKey) sum(parts [][]byte) []byte {
	h := k.hashes.Get().(*keyedHash)
	defer k.hashes.Put(h)
	return slices.Clone(h.sum(parts))
}

// matches reports whether any of the signatures is the MAC of parts. All are
// compared.
func (k *macKey) matches(signatures, parts [][]byte) bool {
	h := k.hashes.Get().(*keyedHash)
	defer k.hashes.Put(h)
	mac, ok := h.sum(parts), false
	for _, signature := range signatures {
		// Unequal lengths never match: a prefix of a MAC is no MAC.
		ok = hmac.Equal(signature, mac) || ok
	}
	return ok
}

// sum returns the MAC of parts, until it is called again.
func (h *keyedHash) sum(parts [][]byte) []byte {
	h.Reset()
	for _, part := range parts {
		h.Write(part)
	}
	return h.Sum(h.room[:0])
}

// macKeys are keys of which any may have signed.
type macKeys []*macKey

func (k macKeys) match(signatures, parts [][]byte) bool { return matches(k, signatures, parts) }

// matches reports whether any of the signatures is the MAC of parts under any
// of the keys. All pairs are compared, and in constant time, so that how long
// it takes does not tell which came close.
func matches(keys []*macKey, signatures [][]byte, parts [][]byte) bool {
	ok := false
	for _, key := range keys {
		ok = key.matches(signatures, parts) || ok
	}
	return ok
}
