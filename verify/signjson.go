// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// set returns the document with the value at the path, and with the objects on
// the way to it that are not there yet. The value is a string, and a whole
// number in place of a number. An empty document is one without members.
func (p JSONPath) set(document []byte, value string) ([]byte, error) {
	if len(bytes.TrimSpace(document)) == 0 {
		document = []byte("{}")
	}
	var tree any
	d := json.NewDecoder(bytes.NewReader(document))
	d.UseNumber()
	if err := d.Decode(&tree); err != nil || !json.Valid(document) {
		return nil, errors.New("setting a JSON value in a body that is not JSON")
	}
	tree, err := setInTree(tree, p.names, value)
	if err != nil {
		return nil, fmt.Errorf("setting the JSON value %s: %w", p, err)
	}
	return encodeJSON(tree)
}

func setInTree(tree any, names []string, value string) (any, error) {
	if len(names) == 0 {
		_, isNumber := tree.(json.Number)
		if _, err := strconv.ParseInt(value, 10, 64); isNumber && err == nil {
			return json.Number(value), nil
		}
		return value, nil
	}
	switch container := tree.(type) {
	case nil:
		return setInTree(map[string]any{}, names, value)
	case map[string]any:
		member, err := setInTree(container[names[0]], names[1:], value)
		container[names[0]] = member
		return container, err
	case []any:
		i, err := strconv.Atoi(names[0])
		if err != nil || i < 0 || i >= len(container) {
			return nil, fmt.Errorf("the array has no element %s", names[0])
		}
		container[i], err = setInTree(container[i], names[1:], value)
		return container, err
	default:
		return nil, errors.New("there is a value on the way that has no members")
	}
}
