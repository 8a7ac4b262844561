// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What the site found out about a request before the inbox is known to the
// delivery route, as it would be to a reverse_proxy in the same place, also after
// a restart, and with what the route itself sets in front.
func TestDeliveryKnowsWhatTheSiteFoundOut(t *testing.T) {
	app := newApplication(t)
	app.status.Store(http.StatusInternalServerError)
	const route = `
		vars own inner
		vars both inner
		@tenant vars tenant acme
		rewrite @tenant /in/{re.hook.1}
		reverse_proxy %s {
			header_up X-Seen "{vars.tenant}|{mapped}|{re.hook.1}|{vars.own}|{vars.both}|{http.request.uuid}|{http.regexp.hook.2}"
		}
`
	site := fmt.Sprintf(`
	vars {
		tenant acme
		both outer
	}
	map {path} {mapped} {
		/hooks/gh from-map
	}
	@hook path_regexp hook ^/hooks/(.+)$
	webhook_inbox @hook demo {
		verify none
		dedupe off
		retry {
			backoff 100ms
		}
		deliver {`+route+`}
	}
`, app.addr)
	s := serve(t, site)
	s.expect(202, "POST", "/hooks/gh?x=1", nil, "body")
	first := app.next()
	if first.URI != "/in/gh?x=1" {
		t.Errorf("delivered to %s, want /in/gh?x=1", first.URI)
	}
	seen := strings.Split(first.Header.Get("X-Seen"), "|")
	if len(seen) != 7 || strings.Join(seen[:5], "|") != "acme|from-map|gh|inner|inner" || seen[5] == "" {
		t.Errorf("the route saw %q", seen)
	}

	s.stop()
	app.status.Store(http.StatusOK)
	s.load(site)
	eventually(t, "it is delivered", func() bool { return s.endpoint("demo").Waiting == 0 })
	again := app.next()
	for len(app.got) > 0 {
		again = app.next() // the last attempt is the one after the restart
	}
	if again.URI != first.URI || again.Header.Get("X-Seen") != first.Header.Get("X-Seen") {
		t.Errorf("delivered again to %s with %q", again.URI, again.Header.Get("X-Seen"))
	}
}

// reverse_proxy logs the whole request, credentials included, when an answer is
// not read to its end. So a long one is.
func TestLongAnswerLogsNoCredentials(t *testing.T) {
	app := newApplication(t)
	app.handle = func(w http.ResponseWriter, _ *http.Request, _ []byte) {
		_, _ = w.Write(make([]byte, 900<<10)) // nobody to tell
	}
	s := newServer(t)
	log := filepath.Join(t.TempDir(), "log")
	if err := s.tryLoad(s.caddyfile("log {\n\t\toutput file "+log+"\n\t}", fmt.Sprintf(tokenSite, app.addr))); err != nil {
		t.Fatal(err)
	}
	s.expect(202, "POST", "/?token=in-the-query", tokenHeader("1"), "x")
	eventually(t, "it is delivered", func() bool { return s.endpoint("demo").Kept == 1 })
	s.stop()
	data, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"secret-token", "in-the-query"} {
		if strings.Contains(string(data), secret) {
			t.Errorf("the log has %q:\n%s", secret, data)
		}
	}
}
