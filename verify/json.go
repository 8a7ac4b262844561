// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxPathLength is the number of names in the longest [JSONPath].
const maxPathLength = 32

// A JSONPath leads to a single value in a JSON document, such as data.invoices.0.id.
type JSONPath struct {
	names []string
}

// ParseJSONPath reads names separated by dots. In an array, the name of an
// element is its number, counted from 0.
func ParseJSONPath(path string) (JSONPath, error) {
	names := strings.Split(path, ".")
	switch {
	case slices.Contains(names, ""):
		return JSONPath{}, fmt.Errorf("JSON path %q: expected names separated by dots", path)
	case len(names) > maxPathLength:
		return JSONPath{}, fmt.Errorf("JSON path of %d names: expected at most %d", len(names), maxPathLength)
	case !isText(path):
		return JSONPath{}, errors.New("JSON path is not UTF-8")
	}
	return JSONPath{names}, nil
}

// String returns the path as it was written.
func (p JSONPath) String() string { return strings.Join(p.names, ".") }

// Lookup returns the value at the path: a string as it is, a number as it is
// written, true or false. Anything else, and an empty string, is [ErrMissing].
//
// Where JSON parsers would not agree on the value, it is [ErrMalformed]: in a
// document that is not JSON or nested beyond 10,000 levels, if a name on the
// path is given twice in one object, and in a string that is not Unicode. The
// application is then sure to see the same value.
func (p JSONPath) Lookup(document []byte) (string, error) {
	// It also bounds the nesting.
	if !json.Valid(document) {
		return "", fmt.Errorf("JSON body: %w", ErrMalformed)
	}
	value := document
	for _, name := range p.names {
		found, n := lookupName(value, name)
		switch {
		case n == 0:
			return "", fmt.Errorf("JSON value %s: %w", p, ErrMissing)
		case n > 1:
			return "", fmt.Errorf("JSON value %s has a name given twice: %w", p, ErrMalformed)
		}
		value = found
	}
	value = trimJSON(value)
	switch value[0] {
	case '{', '[', 'n':
		return "", fmt.Errorf("JSON value %s is no string, number or boolean: %w", p, ErrMissing)
	case '"':
		text := unquoteJSON(value)
		if !isText(text) {
			return "", fmt.Errorf("JSON value %s is not Unicode: %w", p, ErrMalformed)
		}
		if text == "" {
			return "", fmt.Errorf("JSON value %s is empty: %w", p, ErrMissing)
		}
		return text, nil
	default:
		return string(value), nil
	}
}

// lookupName returns the member or element of that name and how many there are.
// Here and below, the text is known to be valid JSON.
func lookupName(value []byte, name string) (found []byte, n int) {
	value = trimJSON(value)
	switch value[0] {
	case '{':
		rest := trimJSON(value[1:])
		for rest[0] != '}' {
			end := skipJSON(rest)
			key := rest[:end]
			rest = trimJSON(rest[end:])[1:] // the colon
			rest = trimJSON(rest)
			end = skipJSON(rest)
			if string(plainJSON(key)) == name {
				found = rest[:end]
				n++
			}
			rest = nextJSON(rest[end:])
		}
	case '[':
		index, ok := parseDecimal(name, 1<<31)
		if !ok {
			return nil, 0
		}
		rest := trimJSON(value[1:])
		for i := int64(0); rest[0] != ']'; i++ {
			end := skipJSON(rest)
			if i == index {
				return rest[:end], 1
			}
			rest = nextJSON(rest[end:])
		}
	}
	return found, n
}

// skipJSON returns the length of the value that text begins with.
func skipJSON(text []byte) int {
	depth := 0
	for i := 0; ; {
		switch text[i] {
		case '"':
			for i++; text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		i++
		// A number ends where something else begins, or the document ends.
		if depth == 0 && (i == len(text) || text[i-1] == '"' || strings.IndexByte(",:]} \t\r\n", text[i]) >= 0) {
			return i
		}
	}
}

// nextJSON steps over the comma after a member or an element, if there is one.
func nextJSON(text []byte) []byte {
	text = trimJSON(text)
	if text[0] == ',' {
		text = trimJSON(text[1:])
	}
	return text
}

func trimJSON(text []byte) []byte {
	for len(text) > 0 && strings.IndexByte(" \t\r\n", text[0]) >= 0 {
		text = text[1:]
	}
	return text
}

func unquoteJSON(quoted []byte) string {
	if !slices.Contains(quoted, '\\') && utf8.Valid(quoted) {
		return string(quoted[1 : len(quoted)-1])
	}
	var text string
	if err := json.Unmarshal(quoted, &text); err != nil {
		return string(utf8.RuneError) // not reached in valid JSON
	}
	return text
}

// plainJSON is unquoteJSON without a copy where there are no escapes: a piece of
// the document then.
func plainJSON(quoted []byte) []byte {
	if bytes.IndexByte(quoted, '\\') < 0 && utf8.Valid(quoted) {
		return quoted[1 : len(quoted)-1]
	}
	return []byte(unquoteJSON(quoted))
}

// isText reports whether s is Unicode: in place of what is not, the decoder
// puts the replacement character, and two different strings become one.
func isText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsRune(s, utf8.RuneError)
}
