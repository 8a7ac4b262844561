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
// read survives being JSON: no field is unknown, and none is lost. And it is
// provisioned and cleaned up, or refused then, with nothing opened.
func FuzzCaddyfile(f *testing.F) {
	data := f.TempDir()
	f.Setenv("XDG_DATA_HOME", data)
	f.Setenv("HOME", data)
	for _, name := range []string{"TOKEN", "SVIX_SECRET", "STANDARD_SECRET", "NEW_SECRET", "OLD_SECRET"} {
		f.Setenv(name, "whsec_c2VjcmV0LWtleS1vZi0yMC1ieXRlcw==")
	}
	const directive = "webhook_inbox demo {\n"
	for _, c := range adaptCases(f) {
		if _, block, ok := strings.Cut(c.caddyfile, directive); ok {
			end := strings.LastIndex(block, "\n\t}\n")
			f.Add(block[:max(end, 0)])
		}
	}
	f.Fuzz(func(t *testing.T, block string) {
		if strings.Contains(block, "import") || strings.Contains(block, "{$") || strings.Contains(block, "{file.") {
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
		if staysInside(tree) {
			if err := validate(config); err == nil {
				nothingOpened(t, data)
			}
		}
	})
}

// staysInside reports whether a configuration has only handlers that touch nothing
// when they are provisioned, such as files, or an upstream whose health they check.
func staysInside(node any) bool {
	switch node := node.(type) {
	case []any:
		for _, element := range node {
			if !staysInside(element) {
				return false
			}
		}
	case map[string]any:
		switch node["handler"] {
		case nil, "webhook_inbox", "subroute", "headers", "rewrite", "vars", "request_body", "static_response", "error":
		case "reverse_proxy":
			for _, option := range []string{"health_checks", "dynamic_upstreams", "transport"} {
				if node[option] != nil {
					return false
				}
			}
		default:
			return false
		}
		for _, value := range node {
			if !staysInside(value) {
				return false
			}
		}
	}
	return true
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
