// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"bytes"
	"encoding/json"
)

// A node is a JSON value in the order and the numbers in which it was written.
type node struct {
	kind     byte   // the first byte of the value
	name     string // of a member
	text     string // of a string, decoded; or of a number, true, false or null
	children []node // of an object or an array
}

// maxNesting is the depth of the deepest document that is written anew.
const maxNesting = 100

// parseTree reads a JSON value, unless it is none or nested too deep.
func parseTree(value json.RawMessage, depth int) (n node, ok bool) {
	value = bytes.TrimSpace(value)
	if depth > maxNesting || depth == 0 && !json.Valid(value) {
		return node{}, false
	}
	n.kind = value[0]
	switch n.kind {
	case '{':
		d := json.NewDecoder(bytes.NewReader(value))
		if _, err := d.Token(); err != nil {
			return node{}, false
		}
		for d.More() {
			name, err := d.Token()
			var inner json.RawMessage
			if err != nil || d.Decode(&inner) != nil {
				return node{}, false
			}
			child, ok := parseTree(inner, depth+1)
			if !ok {
				return node{}, false
			}
			child.name, _ = name.(string)
			n.children = append(n.children, child)
		}
	case '[':
		for _, inner := range asList(value) {
			child, ok := parseTree(inner, depth+1)
			if !ok {
				return node{}, false
			}
			n.children = append(n.children, child)
		}
	default:
		if n.text, ok = asText(value); !ok {
			n.text = string(value) // null
		}
	}
	return n, true
}
