// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"strings"
	"testing"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

func TestJSONPathFindsOneValueOrSaysWhyNot(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ document, path, want, outcome string }{
		{`{"id":"evt_1"}`, "id", "evt_1", "ok"},
		{` { "a" : { "b" : [ 1 , { "c" : "x" } , 3 ] } } `, "a.b.1.c", "x", "ok"},
		{`[["a","b"],["c"]]`, "1.0", "c", "ok"},
		{`{"a":{"x":"}"},"b":["]",{}],"id":"1"}`, "id", "1", "ok"},
		{`{"a\"}":"\\","id":"1"}`, "id", "1", "ok"},
		{`{"0":"a"}`, "0", "a", "ok"},
		{`{"id":"caf\u00e9 \"x\"\n"}`, "id", "café \"x\"\n", "ok"},
		{`{"\u0069d":"x"}`, "id", "x", "ok"},
		{`{"n":12345678901234567890}`, "n", "12345678901234567890", "ok"},
		{`{"n":1.50e+3}`, "n", "1.50e+3", "ok"},
		{`{"n":-0}`, "n", "-0", "ok"},
		{`{"b":true,"c":false }`, "c", "false", "ok"},
		{`{"b":true}`, "b", "true", "ok"},
		{`{"ID":"x"}`, "id", "", "missing"},
		{`{"id":""}`, "id", "", "missing"},
		{`{"id":null}`, "id", "", "missing"},
		{`{"id":{}}`, "id", "", "missing"},
		{`{"id":[]}`, "id", "", "missing"},
		{`{"id":"x"}`, "id.x", "", "missing"},
		{`{"id":1}`, "id.0", "", "missing"},
		{`{}`, "id", "", "missing"},
		{`[]`, "0", "", "missing"},
		{`["a"]`, "1", "", "missing"},
		{`["a"]`, "00", "", "missing"},
		{`["a"]`, "-1", "", "missing"},
		{`["a"]`, "+0", "", "missing"},
		{`["a"]`, "x", "", "missing"},
		{`"x"`, "id", "", "missing"},
		{`1`, "id", "", "missing"},
		{`{"id":"a","id":"b"}`, "id", "", "malformed"},
		{`{"id":"a","\u0069d":"b"}`, "id", "", "malformed"},
		{`{"a":{"id":"x"},"b":1,"a":{"id":"y"}}`, "a.id", "", "malformed"},
		{`{"id":"a","x":{"y":1,"y":2}}`, "id", "a", "ok"},
		{``, "id", "", "malformed"},
		{`{"id":"x"`, "id", "", "malformed"},
		{`{"id":"x"} {}`, "id", "", "malformed"},
		{`{"id":"x",}`, "id", "", "malformed"},
		{"\xef\xbb\xbf{}", "id", "", "malformed"},
		{`{"id":"\ud800"}`, "id", "", "malformed"},
		{"{\"id\":\"\xff\"}", "id", "", "malformed"},
		{`{"id":01}`, "id", "", "malformed"},
		{strings.Repeat("[", 10001) + strings.Repeat("]", 10001), "0", "", "malformed"},
		{strings.Repeat("[", 10000) + strings.Repeat("]", 10000), "0", "", "missing"},
	} {
		path, err := verify.ParseJSONPath(c.path)
		if err != nil {
			t.Fatal(err)
		}
		if path.String() != c.path {
			t.Errorf("%q is printed as %q", c.path, path)
		}
		got, err := path.Lookup([]byte(c.document))
		if got != c.want || outcome(err) != c.outcome {
			t.Errorf("%s in %.60s: got %q, %v; want %q, %s", c.path, c.document, got, err, c.want, c.outcome)
		}
	}
}

func TestJSONPathsThatLeadNowhereAreRefused(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"", ".", "a.", ".a", "a..b", "\xff", "a.\uFFFD", strings.Repeat("a.", 32) + "a"} {
		if _, err := verify.ParseJSONPath(path); err == nil {
			t.Errorf("%q is taken", path)
		}
	}
	if _, err := verify.ParseJSONPath(strings.Repeat("a.", 31) + "a"); err != nil {
		t.Error(err)
	}
}
