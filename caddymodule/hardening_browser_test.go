// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// An attacker has a browser of an operator act on the admin API, from a page of his
// own or through a name that he has point to it (CVE-2026-27589). Nothing is done,
// and nothing is answered but the refusal.
func TestAttackAdminAPIFromABrowser(t *testing.T) {
	app := newApplication(t)
	app.status.Store(http.StatusGone)
	s := newServer(t)
	admin := freeAddr(t)
	site := retrySite(app.addr, "retry {\n give_up_on 410\n }")
	config := strings.Replace(s.caddyfile("", site), "admin unix/"+s.sock, "admin "+admin, 1)
	if err := s.tryLoad(config); err != nil {
		t.Fatal(err)
	}
	s.expect(202, "POST", "/", tokenHeader("1"), "x")
	app.next()
	ask := func(method, path string, h http.Header) (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), method, "http://"+admin+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for name, values := range h {
			r.Header[name] = values
		}
		if host := h.Get("Host"); host != "" {
			r.Host = host
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body)
	}
	const letters = "/webhook_inbox/endpoints/demo/dead_letters"
	eventually(t, "it is dead", func() bool {
		_, body := ask("GET", letters, nil)
		return strings.Contains(body, `"id"`)
	})
	for what, h := range map[string]http.Header{
		"a page of the attacker":                  header("Origin", "https://attacker.example"),
		"a page without an origin":                header("Origin", "null"),
		"a form":                                  header("Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Site", "cross-site"),
		"a name of the attacker":                  header("Host", "attacker.example"),
		"a name of the attacker, of his own page": header("Host", "attacker.example", "Origin", "http://attacker.example"),
	} {
		for _, request := range []string{"GET " + letters, "DELETE " + letters, "POST " + letters + "/redrive", "POST /webhook_inbox/endpoints/demo/move?to=x", "DELETE /webhook_inbox/endpoints/demo/keys?id=1"} {
			method, path, _ := strings.Cut(request, " ")
			if status, body := ask(method, path, h); status != http.StatusForbidden && status != http.StatusBadRequest || strings.Contains(body, "demo") {
				t.Errorf("%s: %s: status %d: %s", what, request, status, body)
			}
		}
	}
	app.none()
	if _, body := ask("GET", letters, nil); !strings.Contains(body, `"id"`) {
		t.Error("the dead letter is gone")
	}
}

// An attacker sends a page as a webhook, and has an operator look at it in the admin
// API: what is answered is JSON, in which no browser finds a page, and is not stored.
func TestAttackPageInAMessage(t *testing.T) {
	app := newApplication(t)
	app.status.Store(http.StatusGone)
	s := serve(t, retrySite(app.addr, "retry {\n give_up_on 410\n }"))
	const page = "<html><script>alert(document.domain)</script><img src=x onerror=alert(1)>"
	h := tokenHeader(page)
	h.Set("Content-Type", "text/html")
	h.Set("X-Page", page)
	s.expect(202, "POST", "/"+"%3Cscript%3E?"+"q=%3Cscript%3E", h, page)
	id := app.next().Header.Get("Webhook-Inbox-Id")
	eventually(t, "it is dead", func() bool { return s.endpoint("demo").DeadLetters == 1 })
	for _, path := range []string{"/dead_letters", "/dead_letters/" + id, "/dead_letters/" + id + "/request"} {
		resp, data := s.askAdmin("GET", "/webhook_inbox/endpoints/demo"+path)
		kind, storing := resp.Header["Content-Type"], resp.Header["Cache-Control"]
		if resp.StatusCode != http.StatusOK || !slices.Equal(kind, []string{"application/json"}) || !slices.Equal(storing, []string{"no-store"}) {
			t.Errorf("%s: status %d, Content-Type %q, Cache-Control %q", path, resp.StatusCode, kind, storing)
		}
		if !json.Valid(data) {
			t.Errorf("%s is no JSON: %s", path, data)
		}
		if strings.ContainsAny(string(data), "<>") {
			t.Errorf("%s has a page: %s", path, data)
		}
	}
}

// The weaknesses of Caddy itself that an inbox would inherit are mended in the version
// that it is built with: CVE-2026-27586 to 27589 in 2.11.1, CVE-2026-52845, by which
// fields had aliases, in 2.11.4.
func TestAttackOnAnOldCaddy(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Version}}", "github.com/caddyserver/caddy/v2").Output()
	if errors.Is(err, exec.ErrNotFound) {
		t.Skip("needs the go command")
	}
	var major, minor, patch int
	if n, scanErr := fmt.Sscanf(string(out), "v%d.%d.%d", &major, &minor, &patch); n != 3 {
		t.Fatalf("version %s: %v, %v", out, err, scanErr)
	}
	if major != 2 || minor < 11 || minor == 11 && patch < 4 {
		t.Errorf("Caddy is %s, want 2.11.4 or newer", out)
	}
}

// An attacker calls his bytes what others would decode, parse or unpack. They are
// neither: what is delivered are the bytes and what he called them (CVE-2026-21858).
func TestAttackContentTypeConfusion(t *testing.T) {
	app := newApplication(t)
	s := serve(t, retrySite(app.addr, ""))
	bomb := "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff" + strings.Repeat("\x00", 100)
	for n, c := range []struct{ field, value, body string }{
		{"Content-Encoding", "gzip", bomb},
		{"Content-Encoding", "gzip, gzip, br", bomb},
		{"Content-Encoding", "identity", "x"},
		{"Content-Type", "multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"files\"; filename=\"../../etc/passwd\"\r\n\r\nx\r\n--b--\r\n"},
		{"Content-Type", "application/json", `{"files":{"a":{"filepath":"/etc/passwd"}}}`},
		{"Content-Type", "application/x-www-form-urlencoded", "a=%00&a=%ff&=;"},
		{"Content-Type", "application/xml", `<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>`},
		{"Content-Type", "message/http", "POST / HTTP/1.1\r\nHost: other\r\n\r\n"},
		{"Content-Type", "text/html; charset=utf-7", "+ADw-script+AD4-"},
	} {
		h := tokenHeader(strconv.Itoa(n))
		h.Set(c.field, c.value)
		s.expect(202, "POST", "/", h, c.body)
		if d := app.next(); d.Body != c.body || d.Header.Get(c.field) != c.value {
			t.Errorf("%s %s: delivered %q with %q", c.field, c.value, d.Body, d.Header.Get(c.field))
		}
	}
}
