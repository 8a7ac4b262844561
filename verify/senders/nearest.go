// SPDX-License-Identifier: Apache-2.0

package senders

import (
	"cmp"
	"slices"
	"strings"
	"unicode"
)

// maxNearest is how many names a person is offered.
const maxNearest = 5

// Nearest returns up to five of names that name, misspelt, may stand for, best
// first. It returns none if nothing resembles it.
func Nearest(name string, names []string) []string {
	type match struct {
		name     string
		distance int
	}
	var matches []match
	wanted := plainName(name)
	for _, candidate := range names {
		if d, ok := distance(wanted, plainName(candidate)); ok {
			matches = append(matches, match{candidate, d})
		}
	}
	if len(matches) == 0 {
		for _, candidate := range names {
			if titled(name, candidate) {
				matches = append(matches, match{candidate, 0})
			}
		}
	}
	slices.SortFunc(matches, func(a, b match) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), cmp.Compare(a.name, b.name))
	})
	var nearest []string
	for _, m := range slices.CompactFunc(matches, func(a, b match) bool { return a.name == b.name }) {
		if len(nearest) < maxNearest {
			nearest = append(nearest, m.name)
		}
	}
	return nearest
}

// titled reports whether a word of name is one of the title of the sender that is
// called candidate, or of its name: Facebook is Meta.
func titled(name, candidate string) bool {
	sender, ok := Find(candidate)
	if !ok {
		return false
	}
	words := strings.FieldsFunc(strings.ToLower(sender.Title+" "+candidate), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	for word := range strings.FieldsFuncSeq(strings.ToLower(name), func(r rune) bool { return strings.ContainsRune("_-. ", r) }) {
		if len(word) > 3 && slices.Contains(words, word) {
			return true
		}
	}
	return false
}

// plainName is a name without what people write one way or the other, and never
// longer than there are names.
func plainName(name string) string {
	name = strings.NewReplacer("-", "", "_", "", ".", "", " ", "").Replace(strings.ToLower(name))
	return name[:min(len(name), 64)]
}

// distance says how far two names are apart, and whether one may be meant by
// the other: a third of its letters may be wrong, or one of them begins with the
// other or contains it.
func distance(wanted, name string) (int, bool) {
	if wanted == "" || name == "" {
		return 0, false
	}
	edits := editDistance(wanted, name)
	short, long := wanted, name
	if len(short) > len(long) {
		short, long = long, short
	}
	switch {
	case edits == 0:
		return 0, true
	case edits <= max(1, len(wanted)/3):
		return edits, true
	case len(short) >= 2 && strings.HasPrefix(long, short):
		return 2 + edits, true
	case len(short) >= 3 && strings.Contains(long, short):
		return 4 + edits, true
	default:
		return 0, false
	}
}

// editDistance counts the letters to insert, delete, replace or swap with the
// next to turn one name into the other.
func editDistance(a, b string) int {
	rows := [3][]int{} // of the letters before the last, the last and this one
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
	}
	for j := range rows[1] {
		rows[1][j] = j
	}
	for i := 1; i <= len(a); i++ {
		rows[2][0] = i
		for j := 1; j <= len(b); j++ {
			replaced := rows[1][j-1]
			if a[i-1] != b[j-1] {
				replaced++
			}
			rows[2][j] = min(rows[1][j]+1, rows[2][j-1]+1, replaced)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[2][j] = min(rows[2][j], rows[0][j-2]+1)
			}
		}
		rows[0], rows[1], rows[2] = rows[1], rows[2], rows[0]
	}
	return rows[1][len(b)]
}
