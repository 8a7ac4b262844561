// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"bytes"
	"slices"
	"testing"
)

// What was in a scratch is neither kept nor shown to whoever gets it next.
func TestAScratchForgets(t *testing.T) {
	t.Parallel()
	s := new(scratch)
	body := []byte("body")
	text := s.bytes("text")
	s.parts = append(s.parts, body, text)
	s.varying = append(s.varying, body)
	s.signatures = append(s.signatures, text)
	s.macs = append(s.macs, text)
	s.candidates = append(s.candidates, candidate{s.signatures, "1"})
	s.attempts = append(s.attempts, attempt{id: "1", macs: s.macs})
	s.members = append(s.members, jsonMember{text, text})
	s.free()

	if !bytes.Equal(s.text[:4], make([]byte, 4)) || len(s.text) > 0 {
		t.Errorf("there is text left: %q", s.text[:4])
	}
	for name, list := range map[string][][]byte{"parts": s.parts, "varying": s.varying, "signatures": s.signatures, "macs": s.macs} {
		if left := slices.DeleteFunc(list[:1], func(b []byte) bool { return b == nil }); len(list) > 0 || len(left) > 0 {
			t.Errorf("there are %s left: %q", name, left)
		}
	}
	switch {
	case len(s.candidates)+len(s.attempts)+len(s.members) > 0,
		s.candidates[:1][0].signatures != nil, s.attempts[:1][0].id != "", s.members[:1][0].name != nil:
		t.Error("there is something left")
	}
	if string(body) != "body" {
		t.Error("the body is the caller's")
	}
}

// What was added stays what it was, whatever comes after it.
func TestAScratchKeepsItsPiecesApart(t *testing.T) {
	t.Parallel()
	s := new(scratch)
	var pieces [][]byte
	for i := range 1000 {
		pieces = append(pieces, s.bytes(string(rune('a'+i%26))))
		decoded, ok := s.decodeHex("4142")
		if !ok {
			t.Fatal("hex does not decode")
		}
		pieces = append(pieces, decoded)
	}
	_ = append(pieces[0], "!!"...)
	for i, piece := range pieces {
		want := "AB"
		if i%2 == 0 {
			want = string(rune('a' + i/2%26))
		}
		if string(piece) != want {
			t.Fatalf("piece %d is %q, want %q", i, piece, want)
		}
	}
}
