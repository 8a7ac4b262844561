// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The Caddyfiles that are there to be copied are formatted and valid. What they
// take from the environment is all that is missing, and only the quickstart has
// a secret in it.
func TestCaddyfilesAreValid(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_DATA_HOME", dir)
	paths, err := filepath.Glob("../caddyfiles/*")
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) < 6 {
		t.Errorf("there are %d Caddyfiles, want the quickstart and five senders at least", len(paths))
	}
	for _, path := range paths {
		if filepath.Base(path) == "senders" {
			continue // see TestSendersPage
		}
		name, ok := strings.CutSuffix(filepath.Base(path), ".Caddyfile")
		if !ok {
			t.Errorf("%s is no .Caddyfile", path)
			continue
		}
		t.Run(name, func(t *testing.T) {
			caddyfile := caddyfileOf(t, name)
			t.Chdir(dir) // where a queue with a relative path would be
			config, warnings, err := adapt(caddyfile)
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range warnings {
				t.Errorf("warning in line %d: %s", w.Line, w.Message)
			}
			secrets := environmentOf(caddyfile)
			if want := name != "quickstart"; (len(secrets) > 0) != want {
				t.Errorf("it takes %q from the environment", secrets)
			}
			for _, secret := range secrets {
				if !strings.HasSuffix(secret, "_VERIFY_TOKEN") { // of a matcher
					if err := validate(config); err == nil || !strings.Contains(err.Error(), "{env."+secret+"}") {
						t.Errorf("without %s: error %v, want one that names it", secret, err)
					}
				}
				value := "whsec_c2VjcmV0LWtleQ=="
				if strings.HasSuffix(secret, "_PUBLIC_KEY") {
					value = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
				}
				t.Setenv(secret, value)
			}
			if err := validate(config); err != nil {
				t.Error(err)
			}
		})
	}
	nothingOpened(t, dir)
}

// The quickstart delivers what is sent with the token that is written in it.
func TestQuickstart(t *testing.T) {
	s := newServer(t)
	app := freeAddr(t)
	err := s.tryLoad(replaceAll(t, caddyfileOf(t, "quickstart"), map[string]string{
		"auto_https off":    "auto_https off\n\tadmin unix/" + s.sock + "\n\tpersist_config off",
		"./quickstart-data": s.dir,
		"localhost:8080":    s.addr,
		"localhost:9000":    app,
	}))
	if err != nil {
		t.Fatal(err)
	}
	s.expect(http.StatusUnauthorized, "POST", "/", header("X-Webhook-Id", "1"), "hello")
	s.expect(http.StatusAccepted, "POST", "/", header("X-Webhook-Token", "quickstart", "X-Webhook-Id", "1"), "hello")
	eventually(t, "the message is delivered", func() bool {
		e := s.endpoint("demo")
		return e.Waiting == 0 && e.Kept == 1
	})
}

// caddyfileOf returns a file of caddyfiles/.
func caddyfileOf(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile("../caddyfiles/" + name + ".Caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

var envPlaceholder = regexp.MustCompile(`^[^#]*\{env\.(\w+)\}`)

// environmentOf returns the variables that a Caddyfile uses outside of comments.
func environmentOf(caddyfile string) (names []string) {
	for line := range strings.Lines(caddyfile) {
		if m := envPlaceholder.FindStringSubmatch(line); m != nil && !slices.Contains(names, m[1]) {
			names = append(names, m[1])
		}
	}
	return names
}

// replaceAll replaces texts that must be there.
func replaceAll(t *testing.T, text string, replacements map[string]string) string {
	t.Helper()
	for old, replacement := range replacements {
		if !strings.Contains(text, old) {
			t.Fatalf("%q is not in\n%s", old, text)
		}
		text = strings.ReplaceAll(text, old, replacement)
	}
	return text
}
