// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// renameGroups numbers the groups of a delivery route from 0. Caddy numbers them
// through the whole Caddyfile, which would make the same route a different one
// on another site, or after a change somewhere else in the file.
func renameGroups(routes caddyhttp.RouteList) (caddyhttp.RouteList, error) {
	data, err := json.Marshal(routes)
	if err != nil {
		return nil, fmt.Errorf("writing routes: %w", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber() // a duration may not fit into a float
	var tree any
	if err := decoder.Decode(&tree); err != nil {
		return nil, fmt.Errorf("reading routes: %w", err)
	}
	make(groupNames).rename(tree)
	if data, err = json.Marshal(tree); err != nil {
		return nil, fmt.Errorf("writing routes: %w", err)
	}
	var renamed caddyhttp.RouteList
	if err := json.Unmarshal(data, &renamed); err != nil {
		return nil, fmt.Errorf("reading routes: %w", err)
	}
	return renamed, nil
}

// groupNames maps the old names to the new ones, in the order of appearance.
type groupNames map[string]string

func (g groupNames) rename(node any) {
	switch node := node.(type) {
	case []any:
		for _, element := range node {
			g.rename(element)
		}
	case map[string]any:
		_, isRoute := node["handle"].([]any)
		if name, ok := node["group"].(string); ok && isRoute {
			if _, known := g[name]; !known {
				g[name] = "group" + strconv.Itoa(len(g))
			}
			node["group"] = g[name]
		}
		for _, key := range slices.Sorted(maps.Keys(node)) {
			g.rename(node[key])
		}
	}
}
