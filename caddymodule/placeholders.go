// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// What handlers and matchers before the inbox found out about a request is in
// its placeholders: variables, captures of regular expressions, the user that
// was authenticated. A delivery is another request, later. So the values that its
// route asks for are stored with the message.

const varsPrefix = "http.vars."

// madeOnDelivery are the placeholders that a delivery has by itself, from what
// is stored, or from the time and place where it is made.
var madeOnDelivery = []string{
	"env.", "file.", "system.", "time.",
	"http.error.", "http.intercept.", "http.request.", "http.response.", "http.reverse_proxy.", "http.webhook_inbox.",
}

// storedThough are those of the above that a delivery does not have.
var storedThough = []string{"http.request.tls.client.", "http.request.uuid", "http.request.local"}

var placeholder = regexp.MustCompile(`\{([a-zA-Z_][^{}"\s]*)\}`)

// placeholdersOf returns the names that a delivery route asks for and that must
// be stored with a message.
func placeholdersOf(route []byte) []string {
	var names []string
	for _, match := range placeholder.FindAllSubmatch(route, -1) {
		name := string(match[1])
		// A default may follow the name.
		name, _, _ = strings.Cut(name, ":")
		if hasPrefix(name, storedThough) || !hasPrefix(name, madeOnDelivery) && !strings.HasPrefix(name, varsPrefix) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func hasPrefix(name string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) })
}

// storePlaceholders returns the values of the names, and of all variables, which
// matchers ask for without being placeholders.
func storePlaceholders(r *http.Request, names []string) (stored map[string]string) {
	// Most requests have none, and then it takes no map.
	store := func(name, text string) {
		if stored == nil {
			stored = make(map[string]string)
		}
		stored[name] = text
	}
	if vars, ok := r.Context().Value(caddyhttp.VarsCtxKey).(map[string]any); ok {
		for name, value := range vars {
			if text, ok := value.(string); ok && name != caddyhttp.ClientIPVarKey {
				store(varsPrefix+name, text)
			}
		}
	}
	if len(names) == 0 {
		return stored
	}
	if repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		for _, name := range names {
			if value, ok := repl.Get(name); ok && value != nil {
				store(name, caddy.ToString(value))
			}
		}
	}
	return stored
}

// restorePlaceholders gives them to a delivery. Handlers of the route that set
// the same ones have the last word.
func restorePlaceholders(r *http.Request, repl *caddy.Replacer, stored map[string]string) {
	for name, value := range stored {
		if variable, ok := strings.CutPrefix(name, varsPrefix); ok {
			caddyhttp.SetVar(r.Context(), variable, value)
		} else {
			repl.Set(name, value)
		}
	}
}
