// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// A word is one token of a Caddyfile, and the same, whatever is in it.
func TestQuotedTokensAreReadAsTheyWere(t *testing.T) {
	t.Parallel()
	for _, word := range []string{
		"plain", "", "{", "}", "{timestamp}.{body}", "two words", "a\nb", "\t", "#a", "a#", "<<END",
		`\`, `a\`, `a\\`, `a\b`, `"`, `a"b`, `a b\`, `\"`, "`", "a`b", "`\"", "`\\", "a`\\\"b", "`\\END", "`\\\nb",
	} {
		text := quoteToken(word)
		tokens, err := caddyfile.Tokenize([]byte("first "+text+" last\n"), "test")
		if err != nil || len(tokens) != 3 || tokens[1].Text != word || tokens[2].Text != "last" {
			t.Errorf("%q is written %s, and read %v, error %v", word, text, tokens, err)
		}
	}
}
