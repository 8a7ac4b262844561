// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"bytes"
	"fmt"
	"iter"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// A style is one of the ways in which programs write JSON.
type style struct {
	indent  string // of a level; empty for one line
	comma   string
	colon   string
	sorted  bool
	slash   bool // / as \/
	ascii   bool // all else than ASCII as \u…
	html    bool // <, > and & as \u…
	layout  string
	details string
}

// styles are those of the usual libraries: JavaScript, PHP, Python, Go, Ruby.
func styles() (list []style) {
	for _, sorted := range []bool{false, true} {
		for _, layout := range []style{
			{comma: ",", colon: ":", layout: "without spaces between its parts"},
			{comma: ", ", colon: ": ", layout: "with a space after each comma and colon"},
			{comma: ",", colon: ": ", indent: "  ", layout: "indented by two spaces"},
			{comma: ",", colon: ": ", indent: "    ", layout: "indented by four spaces"},
			{comma: ",", colon: ": ", indent: "\t", layout: "indented by tabs"},
		} {
			for escapes := range 8 {
				s := layout
				s.sorted = sorted
				s.slash, s.ascii, s.html = escapes&1 != 0, escapes&2 != 0, escapes&4 != 0
				if sorted {
					s.details += ", with its names sorted"
				}
				if s.slash {
					s.details += `, with / written as \/`
				}
				if s.ascii {
					s.details += `, with what is not ASCII written as \u…`
				}
				if s.html {
					s.details += `, with <, > and & written as \u…`
				}
				list = append(list, s)
			}
		}
	}
	return list
}

// rewrites returns a JSON document in all styles in which it differs, each with what
// it is like. Names keep their order unless they are sorted, and numbers the way they
// are written.
func rewrites(document []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		tree, ok := parseTree(document, 0)
		if !ok {
			return
		}
		var plain bytes.Buffer
		style{comma: ",", colon: ":"}.write(&plain, tree, 0)
		text := plain.String()
		slash := strings.Contains(text, "/")
		ascii := strings.ContainsFunc(text, func(c rune) bool { return c >= utf8.RuneSelf })
		html := strings.ContainsAny(text, "<>&")
		for _, s := range styles() {
			if s.slash && !slash || s.ascii && !ascii || s.html && !html {
				continue
			}
			var b bytes.Buffer
			s.write(&b, tree, 0)
			if !yield(s.layout+s.details, b.Bytes()) {
				return
			}
		}
	}
}

func (s style) write(b *bytes.Buffer, n node, depth int) {
	switch n.kind {
	case '{':
		members := n.children
		if s.sorted {
			members = slices.Clone(members)
			slices.SortStableFunc(members, func(a, b node) int { return strings.Compare(a.name, b.name) })
		}
		s.list(b, '{', '}', members, depth)
	case '[':
		s.list(b, '[', ']', n.children, depth)
	case '"':
		s.quote(b, n.text)
	default:
		b.WriteString(n.text)
	}
}

func (s style) list(b *bytes.Buffer, begin, end byte, children []node, depth int) {
	b.WriteByte(begin)
	for i, child := range children {
		if i > 0 {
			b.WriteString(s.comma)
		}
		s.line(b, depth+1)
		if begin == '{' {
			s.quote(b, child.name)
			b.WriteString(s.colon)
		}
		s.write(b, child, depth+1)
	}
	if len(children) > 0 {
		s.line(b, depth)
	}
	b.WriteByte(end)
}

func (s style) line(b *bytes.Buffer, depth int) {
	if s.indent != "" {
		b.WriteByte('\n')
		b.WriteString(strings.Repeat(s.indent, depth))
	}
}

func (s style) quote(b *bytes.Buffer, text string) {
	short := map[rune]string{'"': `\"`, '\\': `\\`, '\n': `\n`, '\r': `\r`, '\t': `\t`, '\b': `\b`, '\f': `\f`}
	b.WriteByte('"')
	for _, c := range text {
		switch escaped := short[c]; {
		case escaped != "":
			b.WriteString(escaped)
		case c == '/' && s.slash:
			b.WriteString(`\/`)
		case c < ' ' || c >= utf8.RuneSelf && s.ascii || s.html && strings.ContainsRune("<>&", c):
			for _, unit := range utf16.Encode([]rune{c}) {
				fmt.Fprintf(b, `\u%04x`, unit)
			}
		default:
			b.WriteRune(c)
		}
	}
	b.WriteByte('"')
}
