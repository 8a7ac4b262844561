// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
)

// adaptCase is a file of testdata/adapt: a Caddyfile, a line of ten hyphens, and
// what comes of it, which is JSON or a part of an error.
type adaptCase struct {
	name, caddyfile, want string
}

func (c adaptCase) refused() bool { return !strings.HasPrefix(c.want, "{") }

func adaptCases(t testing.TB) []adaptCase {
	t.Helper()
	const ext = ".caddyfiletest"
	paths, err := filepath.Glob("../testdata/adapt/*" + ext)
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) == 0 {
		t.Fatal("testdata/adapt is empty")
	}
	var cases []adaptCase
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		caddyfile, want, ok := strings.Cut(string(data), "\n----------\n")
		if !ok {
			t.Fatalf("%s has no line of ten hyphens", path)
		}
		name := strings.TrimSuffix(filepath.Base(path), ext)
		cases = append(cases, adaptCase{name, caddyfile + "\n", strings.TrimSpace(want)})
	}
	return cases
}

func adapt(caddyfile string) ([]byte, []caddyconfig.Warning, error) {
	return caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile), nil)
}

// A Caddyfile adapts to exactly the JSON beside it and without a warning, that it
// is not formatted being one. Or it is refused, with the error beside it.
func TestAdapt(t *testing.T) {
	t.Parallel()
	for _, c := range adaptCases(t) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			config, warnings, err := adapt(c.caddyfile)
			if c.refused() {
				if err == nil {
					t.Fatalf("adapted to %s\nwant the error\n%s", config, c.want)
				}
				if !strings.Contains(err.Error(), c.want) {
					t.Fatalf("error\n%v\nwant\n%s", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range warnings {
				t.Errorf("warning: %s:%d: %s", w.File, w.Line, w.Message)
			}
			var got bytes.Buffer
			if err := json.Indent(&got, config, "", "\t"); err != nil {
				t.Fatal(err)
			}
			if got.String() != c.want {
				t.Errorf("first difference in line %d; adapted to\n%s", firstDifference(got.String(), c.want), got.String())
			}
		})
	}
}

// firstDifference returns the number of the first line that a and b don't share.
func firstDifference(a, b string) int {
	other := strings.Split(b, "\n")
	n := 0
	for line := range strings.SplitSeq(a, "\n") {
		n++
		if n > len(other) || line != other[n-1] {
			return n
		}
	}
	return n + 1
}
