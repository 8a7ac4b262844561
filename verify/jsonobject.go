// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Steps through documents of which every element of an array counts, where a
// [JSONPath] leads to just one. Values are pieces of the document, known to be
// valid JSON.

// parseJSON returns the document as a value.
func parseJSON(document []byte) ([]byte, error) {
	if !json.Valid(document) {
		return nil, fmt.Errorf("JSON body: %w", ErrMalformed)
	}
	return trimJSON(document), nil
}

// member returns the member of that name, nil if there is none. It is malformed
// if the value is not an object, and if parsers would not agree on the member:
// some take the last of several, and some take names in either case.
func member(value []byte, name string) ([]byte, error) {
	if value[0] != '{' {
		return nil, fmt.Errorf("JSON value with the member %s is no object: %w", name, ErrMalformed)
	}
	var found []byte
	for rest := trimJSON(value[1:]); rest[0] != '}'; {
		end := skipJSON(rest)
		key := unquoteJSON(rest[:end])
		rest = trimJSON(trimJSON(rest[end:])[1:]) // after the colon
		end = skipJSON(rest)
		if strings.EqualFold(key, name) {
			if key != name || found != nil {
				return nil, fmt.Errorf("JSON member %s is given twice, or in another case: %w", name, ErrMalformed)
			}
			found = rest[:end]
		}
		rest = nextJSON(rest[end:])
	}
	return found, nil
}

// elements returns the elements of the array that is the member of that name, at
// least one and at most limit.
func elements(value []byte, name string, limit int) ([][]byte, error) {
	array, err := member(value, name)
	switch {
	case err != nil:
		return nil, err
	case array == nil:
		return nil, fmt.Errorf("JSON member %s: %w", name, ErrMissing)
	case array[0] != '[':
		return nil, fmt.Errorf("JSON member %s is no array: %w", name, ErrMalformed)
	}
	var list [][]byte
	for rest := trimJSON(array[1:]); rest[0] != ']'; {
		if len(list) == limit {
			return nil, fmt.Errorf("JSON member %s has too many elements, at most %d: %w", name, limit, ErrMalformed)
		}
		end := skipJSON(rest)
		list = append(list, rest[:end])
		rest = nextJSON(rest[end:])
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("JSON member %s is empty: %w", name, ErrMissing)
	}
	return list, nil
}

// textAt returns the text at the end of a path of members: a string as it is, a
// number as it is written, true or false. It is empty for null and if a member
// on the path is null or not there.
func textAt(value []byte, path ...string) (string, error) {
	last := len(path) - 1
	for _, name := range path[:last] {
		var err error
		if value, err = member(value, name); err != nil || value == nil || value[0] == 'n' {
			return "", err
		}
	}
	return memberText(value, path[last])
}

func memberText(value []byte, name string) (string, error) {
	found, err := member(value, name)
	if err != nil || found == nil {
		return "", err
	}
	switch found[0] {
	case 'n':
		return "", nil
	case '{', '[':
		return "", fmt.Errorf("JSON member %s is no text: %w", name, ErrMalformed)
	case '"':
		s := unquoteJSON(found)
		if !isText(s) {
			return "", fmt.Errorf("JSON member %s is not Unicode: %w", name, ErrMalformed)
		}
		return s, nil
	default:
		return string(found), nil
	}
}
