// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const thisModule = "github.com/caddy-webhook-inbox/inbox/"

// arrows says which packages each one may be built from, beside the standard
// library: with all that these need, or only with what is named.
var arrows = []struct {
	name    string
	pkg     string
	only    []string // packages that may be linked, all of them
	imports []string // packages that may be imported, with whatever they need
}{
	{name: "verify knows only the standard library", pkg: "verify"},
	{name: "senders knows only verify", pkg: "verify/senders", only: []string{thisModule + "verify"}},
	{name: "doctor knows only verify and senders", pkg: "verify/doctor", only: []string{thisModule + "verify", thisModule + "verify/senders"}},
	{name: "queue knows only the standard library", pkg: "queue"},
	{name: "queuetest knows only queue", pkg: "queue/queuetest", only: []string{thisModule + "queue"}},
	{
		name:    "the journal knows only the system",
		pkg:     "queue/badgerqueue/journal",
		imports: []string{"golang.org/x/sys"},
	},
	{
		name: "badgerqueue knows only queue, its journal, Badger, zap and the system",
		pkg:  "queue/badgerqueue",
		imports: []string{
			thisModule + "queue",
			thisModule + "queue/badgerqueue/journal",
			"github.com/dgraph-io/badger/v4",
			"go.uber.org/zap",
			"golang.org/x/sys",
		},
	},
}

func TestPackagesImportOnlyWhatTheyMay(t *testing.T) {
	t.Parallel()
	for _, a := range arrows {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			packages := goList(t, "-deps", thisModule+a.pkg)
			self := packages[len(packages)-1] // -deps lists it after all it needs
			for _, p := range packages {
				switch {
				case p.Standard, p.ImportPath == self.ImportPath:
				case a.imports == nil && !within(p.ImportPath, a.only):
					t.Errorf("%s is built from %s", self.ImportPath, p.ImportPath)
				case strings.HasPrefix(p.ImportPath, "github.com/caddyserver/"):
					t.Errorf("%s is built from %s, which is Caddy's", self.ImportPath, p.ImportPath)
				}
			}
			if a.imports == nil {
				return
			}
			standard := make(map[string]bool)
			for _, p := range packages {
				standard[p.ImportPath] = p.Standard
			}
			for _, path := range self.Imports {
				if !standard[path] && !within(path, a.imports) {
					t.Errorf("%s imports %s", self.ImportPath, path)
				}
			}
		})
	}
}

func TestOnlyCaddymoduleKnowsCaddy(t *testing.T) {
	t.Parallel()
	const home = thisModule + "caddymodule"
	for _, p := range goList(t, thisModule+"...") {
		if p.ImportPath == home || strings.HasPrefix(p.ImportPath, home+"/") {
			continue
		}
		for _, path := range p.Imports {
			if strings.HasPrefix(path, "github.com/caddyserver/") || path == home {
				t.Errorf("%s imports %s", p.ImportPath, path)
			}
		}
	}
}

type listedPackage struct {
	ImportPath string
	Standard   bool
	Imports    []string // not those of tests
}

func goList(t *testing.T, args ...string) (packages []listedPackage) {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", append([]string{"list", "-json=ImportPath,Standard,Imports"}, args...)...)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if errors.Is(err, exec.ErrNotFound) {
		t.Skip("there is no go command to ask for the imports")
	}
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listedPackage
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			return packages
		}
		if err != nil {
			t.Fatalf("reading the output of go list: %v", err)
		}
		packages = append(packages, p)
	}
}

// within reports whether path is one of the roots or, for those of other
// modules, below one.
func within(path string, roots []string) bool {
	for _, root := range roots {
		if path == root || !strings.HasPrefix(root, thisModule) && strings.HasPrefix(path, root+"/") {
			return true
		}
	}
	return false
}
