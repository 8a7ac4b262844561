// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"crypto/sha256"
	"slices"
	"testing"
)

// Signatures of another length are refused where they are decoded. This is the
// second line of defence.
func TestOnlyAWholeMACMatches(t *testing.T) {
	t.Parallel()
	keys := []*macKey{newMACKey(sha256.New, []byte("another")), newMACKey(sha256.New, []byte("key"))}
	parts := [][]byte{[]byte("a "), []byte("message")}
	right := keys[1].sum(parts)
	if !matches(keys, [][]byte{right}, parts) {
		t.Fatal("the MAC itself does not match")
	}
	for n := range right {
		if matches(keys, [][]byte{right[:n]}, parts) {
			t.Errorf("its first %d bytes match", n)
		}
		wrong := slices.Clone(right)
		wrong[n]++
		if matches(keys, [][]byte{wrong}, parts) {
			t.Errorf("it matches with byte %d changed", n)
		}
	}
	if matches(keys, [][]byte{append(right, 0), nil}, parts) {
		t.Error("more than it matches")
	}
	if matches(keys, nil, parts) || matches(nil, [][]byte{right, {}}, parts) {
		t.Error("nothing matches")
	}
	// The hash of a key is used again, and for what comes later.
	for position := range 3 {
		list := [][]byte{{}, {}, {}}
		list[position] = keys[1].sum(parts)
		if !matches(keys, list, parts) || matches(keys, list, parts[1:]) {
			t.Errorf("wrong at position %d", position)
		}
	}
}
