// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
)

// A proxy in the route for errors gets the whole message if the one before it found nobody,
// as it does where there is no inbox. Matchers there see it, too.
func TestBodyIsWholeInRouteForErrors(t *testing.T) {
	app, down := newApplication(t), freeAddr(t)
	s := newServer(t)
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(s.caddyfile("", openSite("reverse_proxy "+app.addr))), nil)
	if err != nil {
		t.Fatal(err)
	}
	proxy := func(addr string) string {
		return fmt.Sprintf(`{"handler":"reverse_proxy","upstreams":[{"dial":%q}]}`, addr)
	}
	first, second := `{"handle":[`+proxy(down)+`]}`, `{"match":[{"expression":"{http.request.uri.path} == '/any'"},`+
		`{"webhook_inbox_json":{"a":["1"]}}],"handle":[`+proxy(app.addr)+`]}`
	withErrors := `{"handler":"subroute","routes":[` + first + `],"errors":{"routes":[` + second + `]}}`
	if !strings.Contains(string(config), proxy(app.addr)) {
		t.Fatalf("there is no proxy in %s", config)
	}
	if err := caddy.Load([]byte(strings.Replace(string(config), proxy(app.addr), withErrors, 1)), true); err != nil {
		t.Fatal(err)
	}
	expect := func(uri, body string) {
		t.Helper()
		s.expect(202, "POST", uri, nil, body)
		if d := app.next(); d.Body != body || d.Header.Get("Webhook-Inbox-Attempt") != "1" {
			t.Errorf("%d of %d bytes were delivered, in attempt %s", len(d.Body), len(body), d.Header.Get("Webhook-Inbox-Attempt"))
		}
	}
	for _, length := range []int{0, 10, 4096, 4097, 100_000} {
		expect("/any", strings.Repeat("x", length))
	}
	expect("/", `{"a":1}`)
	s.settled("demo")
}
