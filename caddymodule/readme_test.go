// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What the pages say is tested, is: each test that they name exists.
func TestPagesNameTestsThatExist(t *testing.T) {
	t.Parallel()
	tests := make(map[string]bool)
	isTest := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`)
	err := filepath.WalkDir("..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, name := range isTest.FindAllStringSubmatch(string(source), -1) {
			tests[name[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	isNamed := regexp.MustCompile("`((?:Test|Fuzz|Benchmark)[A-Za-z0-9]+)(…?)")
	for page, atLeast := range map[string]int{"../README.md": 10, "FAULTS.md": 50} {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		named := isNamed.FindAllStringSubmatch(string(text), -1)
		if len(named) < atLeast {
			t.Errorf("%s names %d tests", page, len(named))
		}
		for _, name := range named {
			some := name[2] != "" && slices.ContainsFunc(slices.Collect(maps.Keys(tests)), func(test string) bool {
				return strings.HasPrefix(test, name[1])
			})
			if !tests[name[1]] && !some {
				t.Errorf("%s names %s, which does not exist", page, name[1])
			}
		}
	}
}
