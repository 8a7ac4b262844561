// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-webhook-inbox/inbox/verify/senders"
)

var update = flag.Bool("update", false, "write the files that are made from data")

const sendersPage = "../caddyfiles/senders/README.md"

// The page on the senders says what their table says. It is made anew with
// go generate ./caddymodule.
func TestSendersPage(t *testing.T) {
	t.Parallel()
	want, err := run(t, "", "schemes", "--markdown")
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.MkdirAll(filepath.Dir(sendersPage), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(sendersPage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(sendersPage)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the table says, first in line %d: go generate ./caddymodule", sendersPage, firstDifference(string(got), want))
	}
}

// The snippets of the page are formatted, and valid but for what they take from the
// environment.
func TestSnippetsOfTheSendersPage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(sendersPage)
	if err != nil {
		t.Fatal(err)
	}
	pieces := strings.Split(string(page), "```caddyfile\n")
	for _, piece := range pieces[1:] {
		snippet, _, _ := strings.Cut(piece, "```")
		if !strings.HasPrefix(snippet, "verify ") {
			snippet = "hooks.example.com {\n" + indent(snippet, 1) + "}\n"
		} else {
			snippet = "hooks.example.com {\n\twebhook_inbox test {\n" + indent(snippet, 2) + "\t\tdedupe 96h on content\n\t\tdeliver app:8080\n\t}\n}\n"
		}
		_, warnings, err := adapt(snippet)
		if err != nil {
			t.Errorf("%v in\n%s", err, snippet)
		}
		for _, w := range warnings {
			t.Errorf("warning: %s in\n%s", w.Message, snippet)
		}
	}
	if len(pieces) < len(senders.All()) {
		t.Errorf("the page has %d snippets", len(pieces))
	}
}

// indent moves the lines of a Caddyfile to the right, but for those that are within
// quotation marks.
func indent(text string, tabs int) string {
	var b strings.Builder
	quoted := false
	for line := range strings.Lines(text) {
		if !quoted {
			b.WriteString(strings.Repeat("\t", tabs))
		}
		b.WriteString(line)
		quoted = quoted != (strings.Count(line, `"`)%2 == 1)
	}
	return b.String()
}

// The list has a line for each sender, the details of one have all that is known.
func TestSchemes(t *testing.T) {
	t.Parallel()
	out, err := run(t, "", "schemes")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != len(senders.All())+1 {
		t.Errorf("%d lines for %d senders", len(lines), len(senders.All()))
	}
	for i, row := range senders.All() {
		if !strings.HasPrefix(lines[i+1], row.Name+" ") {
			t.Errorf("line %d is not that of %s: %s", i+1, row.Name, lines[i+1])
		}
	}
	for _, row := range senders.All() {
		out, err := run(t, "", "schemes", row.Name)
		if err != nil {
			t.Fatal(err)
		}
		contains(t, out, row.Title, "verify "+row.Name+" ", row.Doc.Secret, row.Doc.Covers, row.Doc.URL, row.Doc.Evidence.String())
	}
}
