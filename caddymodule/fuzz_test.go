// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-webhook-inbox/inbox/caddymodule"
)

// Whatever a block of webhook_inbox consists of, it is read or refused. What is
// read survives being JSON: no field is unknown, and none is lost.
func FuzzCaddyfile(f *testing.F) {
	const directive = "webhook_inbox demo {\n"
	for _, c := range adaptCases(f) {
		if _, block, ok := strings.Cut(c.caddyfile, directive); ok {
			end := strings.LastIndex(block, "\n\t}\n")
			f.Add(block[:max(end, 0)])
		}
	}
	f.Fuzz(func(t *testing.T, block string) {
		if strings.Contains(block, "import") || strings.Contains(block, "{$") {
			t.Skip("it would read files or the environment")
		}
		config, _, err := adapt(":8080 {\n" + directive + block + "\n}\n}\n")
		if err != nil {
			return
		}
		var tree any
		if err := json.Unmarshal(config, &tree); err != nil {
			t.Fatalf("adapted to what is not JSON: %v\n%s", err, config)
		}
		for _, fields := range inboxesIn(tree) {
			checkSurvives(t, fields)
		}
	})
}

// inboxesIn returns the webhook_inbox handlers in a configuration.
func inboxesIn(node any) (found []map[string]any) {
	switch node := node.(type) {
	case []any:
		for _, element := range node {
			found = append(found, inboxesIn(element)...)
		}
	case map[string]any:
		if node["handler"] == "webhook_inbox" {
			found = append(found, node)
		}
		for _, value := range node {
			found = append(found, inboxesIn(value)...)
		}
	}
	return found
}

func checkSurvives(t *testing.T, fields map[string]any) {
	t.Helper()
	delete(fields, "handler") // Caddy's own
	data, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	var handler caddymodule.Handler
	if err := caddy.StrictUnmarshalJSON(data, &handler); err != nil {
		t.Fatalf("reading %s: %v", data, err)
	}
	again, err := json.Marshal(handler)
	if err != nil {
		t.Fatalf("writing what was read from %s: %v", data, err)
	}
	var survived map[string]any
	if err := json.Unmarshal(again, &survived); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(survived, fields) {
		t.Errorf("read\n%s\nwritten\n%s", data, again)
	}
}
