// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// An attacker writes the fields that the application trusts, in every spelling
// that a CGI application would read as the same.
func TestAttackForgedInboxFields(t *testing.T) {
	app := newApplication(t)
	s := newServer(t)
	site := openSite("reverse_proxy " + app.addr)
	for name, c := range map[string]struct {
		options string
		fields  []string
	}{
		"plain":       {"", []string{"Webhook-Inbox-Id", "webhook-inbox-endpoint", "WEBHOOK-INBOX-ATTEMPT", "Webhook-Inbox-Received-At", "Webhook-Inbox-Scheme", "Webhook-Inbox-Anything"}},
		"underscores": {"expected_underscore_headers Webhook_* WEBHOOK-INBOX_ID X_Expected", []string{"webhook_inbox_id", "Webhook_Inbox_Attempt", "WEBHOOK_inbox-scheme"}},
		"dots":        {"expected_dot_headers Webhook.* X.Expected", []string{"webhook.inbox.id", "Webhook.Inbox.Endpoint", "WEBHOOK.inbox-scheme"}},
		"both":        {"expected_underscore_headers Webhook_Inbox.id X_Expected", []string{"webhook_inbox.id"}},
	} {
		t.Run(name, func(t *testing.T) {
			if err := s.tryLoad(s.caddyfile("servers {\n "+c.options+"\n }", site)); err != nil {
				t.Fatal(err)
			}
			const forged = "01920000-0000-7000-8000-000000000000"
			request := "POST / HTTP/1.1\r\nHost: h\r\nWebhook-Inboxes: kept\r\nX_Expected: kept\r\nX.Expected: kept\r\nContent-Length: 1\r\n"
			for _, field := range c.fields {
				request += field + ": " + forged + "\r\n"
			}
			s.raw(t, 202, request+"\r\nx")
			d := app.next()
			for field, values := range d.Header {
				if slices.Contains(values, forged) {
					t.Errorf("%s: %q was delivered", field, values)
				}
			}
			if c.options == "" && d.Header.Get("Webhook-Inboxes") != "kept" {
				t.Error("a field that only looks like ours is gone")
			}
			if c.options != "" && d.Header["X_expected"] == nil && d.Header["X.expected"] == nil {
				t.Error("Caddy removed the field before the inbox, so this shows nothing")
			}
			if d.Header.Get("Webhook-Inbox-Endpoint") != "demo" || d.Header.Get("Webhook-Inbox-Attempt") != "1" {
				t.Errorf("delivered with %q", d.Header)
			}
		})
	}
}

// An attacker names fields in Connection, which a proxy removes.
func TestAttackConnectionNamesFields(t *testing.T) {
	app := newApplication(t)
	s := serve(t, retrySite(app.addr, ""))
	s.raw(t, 401, "POST / HTTP/1.1\r\nHost: h\r\nConnection: X-Webhook-Token\r\nContent-Length: 1\r\n\r\nx")
	s.raw(t, 202, "POST / HTTP/1.1\r\nHost: h\r\nX-Webhook-Token: secret-token\r\nX-Webhook-Id: 1\r\n"+
		"Connection: webhook-inbox-id, Webhook-Inbox-Attempt, idempotency-key,X-Forwarded-For, Content-Length ,Host, X-Webhook-Token,,\r\n"+
		"Content-Length: 4\r\n\r\nbody")
	d := app.next()
	if d.Header.Get("Webhook-Inbox-Id") == "" || d.Header.Get("Webhook-Inbox-Attempt") != "1" || d.Header.Get("Idempotency-Key") == "" || d.Header.Get("X-Forwarded-For") == "" {
		t.Errorf("delivered with %q", d.Header)
	}
	if d.Body != "body" || d.Host != "h" {
		t.Errorf("delivered %q for %q", d.Body, d.Host)
	}
}

// An attacker hides a second request in the first, for an application that finds
// its end elsewhere than Caddy does. What Caddy accepts is delivered as the one request
// that it is, and the rest is refused.
func TestAttackRequestSmuggling(t *testing.T) {
	app := newApplication(t)
	s := serve(t, openSite("reverse_proxy "+app.addr))
	const inner = "POST /smuggled HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx"
	chunk := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(inner), inner)
	for name, c := range map[string]struct {
		status  int
		request string
	}{
		"content length and chunks": {202, "POST /outer HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk},
		"two content lengths":       {400, "POST /outer HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nContent-Length: " + strconv.Itoa(len(inner)) + "\r\n\r\n" + inner},
		"listed content lengths":    {400, "POST /outer HTTP/1.1\r\nHost: h\r\nContent-Length: 0, 5\r\n\r\n" + inner},
		"signed content length":     {400, "POST /outer HTTP/1.1\r\nHost: h\r\nContent-Length: +5\r\n\r\n" + inner},
		"unknown coding":            {501, "POST /outer HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n" + chunk},
		"two codings":               {501, "POST /outer HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n" + chunk},
		"folded field":              {202, "POST /outer HTTP/1.1\r\nHost: h\r\nX-A: b\r\n Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\nx"},
		"space before the colon":    {400, "POST /outer HTTP/1.1\r\nHost: h\r\nContent-Length : 5\r\n\r\n" + inner},
		"bare line feeds":           {202, "POST /outer HTTP/1.1\nHost: h\nContent-Length: 1\n\nx"},
		"chunk extension":           {400, "POST /outer HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1;a=\"\nb\"\r\nx\r\n0\r\n\r\n"},
		"trailer of a length":       {400, "POST /outer HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTrailer: Content-Length\r\n\r\n1\r\nx\r\n0\r\nContent-Length: 100\r\n\r\n"},
		"chunked is hop-by-hop":     {202, "POST /outer HTTP/1.1\r\nHost: h\r\nConnection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk},
		"a whole request as a body": {202, "POST /outer HTTP/1.1\r\nHost: h\r\nContent-Length: " + strconv.Itoa(len(inner)) + "\r\n\r\n" + inner},
		"upgrade to h2c":            {202, "POST /outer HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\nContent-Length: " + strconv.Itoa(len(inner)) + "\r\n\r\n" + inner},
		"WebSocket and more":        {202, "GET /outer HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nContent-Length: " + strconv.Itoa(len(inner)) + "\r\n\r\n" + inner},
		"line ends in a value":      {400, "POST /outer HTTP/1.1\r\nHost: h\r\nX-A: b\rTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\nx"},
		"no host":                   {400, "POST /outer HTTP/1.1\r\nContent-Length: 1\r\n\r\nx"},
		"target with a line end":    {202, "POST /outer%0d%0aX-Injected:%20y HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx"},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", s.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := io.WriteString(conn, c.request); err != nil {
				t.Fatal(err)
			}
			r := bufio.NewReader(conn)
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			// What Caddy has not read yet would be a request of its own.
			if err := errors.Join(conn.(*net.TCPConn).CloseWrite(), conn.SetDeadline(time.Now().Add(patience))); err != nil {
				t.Fatal(err)
			}
			if more, _ := io.ReadAll(r); bytes.Contains(more, []byte("HTTP/")) {
				t.Errorf("there was another answer: %q", more)
			}
			if resp.StatusCode != c.status {
				t.Errorf("status %d, want %d", resp.StatusCode, c.status)
			}
			app := app.within(t)
			if resp.StatusCode == http.StatusAccepted {
				d := app.next()
				if !strings.HasPrefix(d.URI, "/outer") || d.Header.Get("X-Injected") != "" {
					t.Errorf("delivered %+v", d)
				}
			}
			s.expect(202, "POST", "/sentinel", nil, "x")
			if d := app.next(); d.URI != "/sentinel" {
				t.Errorf("delivered %+v", d)
			}
		})
	}
	s.settled("demo")
	app.none()
}

// An attacker opens many connections, announces the largest body on each, and
// sends nothing, or a byte.
func TestAttackSlowBodies(t *testing.T) {
	app := newApplication(t)
	s := serve(t, dedupeSite(app.addr, "verify none\n dedupe off\n read_timeout 3s"))
	const attackers = 100
	var conns []net.Conn
	var readers []*bufio.Reader
	for range attackers {
		conn, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 8388608\r\nExpect: 100-continue\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		conns, readers = append(conns, conn), append(readers, bufio.NewReader(conn))
	}
	for n, r := range readers {
		resp, err := http.ReadResponse(r, nil)
		if err != nil || resp.StatusCode != http.StatusContinue {
			t.Fatalf("connection %d: %v, %v", n, resp, err)
		}
		if _, err := io.WriteString(conns[n], "x"); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.metric("caddy_webhook_inbox_receiving_bytes"); n > attackers*(64<<10) {
		t.Errorf("%v bytes are taken by bodies of which a byte came", n)
	}
	// Others are served meanwhile, and the attackers in the end sent away.
	s.expect(202, "POST", "/", nil, "others")
	if d := app.next(); d.Body != "others" {
		t.Errorf("delivered %q", d.Body)
	}
	for n, r := range readers {
		resp, err := http.ReadResponse(r, nil)
		if err != nil || resp.StatusCode != http.StatusRequestTimeout {
			t.Fatalf("connection %d: %v, %v, want 408", n, resp, err)
		}
	}
	eventually(t, "the memory is given back", func() bool { return s.metric("caddy_webhook_inbox_receiving_bytes") == 0 })
	s.settled("demo")
	app.none()
}

// An attacker knows one endpoint, which is in two servers, and has its bodies stall in
// both, before and after a reload. It takes half of the memory for bodies and no more,
// and the other endpoint has room.
func TestAttackBodiesOfOneEndpoint(t *testing.T) {
	app := newApplication(t)
	s := newServer(t)
	second := freeAddr(t)
	load := func(generation int) {
		t.Helper()
		site := ""
		for _, name := range []string{"one", "two"} {
			site += fmt.Sprintf("webhook_inbox /%s %[1]s {\nverify none\ndedupe off\nread_timeout 1m\ndeliver {\nheader X-Generation %d\nreverse_proxy %s\n}\n}\n", name, generation, app.addr)
		}
		config := s.caddyfile("webhook_inbox {\n queue badger "+s.dir+" {\n min_free_space 64MiB\n }\n max_in_flight 600KiB\n}", site)
		_, port, _ := strings.Cut(second, ":")
		both := strings.Replace(config, "http://"+s.port()+" {", "http://"+s.port()+", http://:"+port+" {", 1)
		if err := s.tryLoad(both); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(status int, url string) {
		t.Helper()
		var resp *http.Response
		eventually(t, "there is an answer", func() bool { // a reload closes connections that just came
			r, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+url, strings.NewReader(strings.Repeat("x", 100<<10)))
			if err != nil {
				t.Fatal(err)
			}
			r.Close = true
			r.Header.Set("Expect", "100-continue") // else a refusal may be lost while the body is still sent
			resp, err = http.DefaultClient.Do(r)
			return err == nil
		})
		resp.Body.Close()
		if resp.StatusCode != status {
			t.Errorf("POST %s is answered %d, want %d", url, resp.StatusCode, status)
		}
	}
	load(1)
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "POST /one HTTP/1.1\r\nHost: h\r\nContent-Length: 8388608\r\n\r\n"+strings.Repeat("x", 200<<10)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "most of the half is taken", func() bool { return s.metric("caddy_webhook_inbox_receiving_bytes") == 256<<10 })
	for generation := 1; generation <= 2; generation++ {
		load(generation)
		for _, addr := range []string{s.addr, second} {
			expect(http.StatusServiceUnavailable, addr+"/one")
			expect(http.StatusAccepted, addr+"/two")
		}
	}
	conn.Close()
	eventually(t, "the memory is given back", func() bool { return s.metric("caddy_webhook_inbox_receiving_bytes") == 0 })
	expect(http.StatusAccepted, second+"/one")
	s.settled("two")
	s.settled("one")
}

// An attacker without credentials cannot make Caddy read what he sends.
func TestAttackUnverifiedBodies(t *testing.T) {
	app := newApplication(t)
	s := serve(t, retrySite(app.addr, ""))
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: h\r\nX-Webhook-Token: wrong\r\nContent-Length: 8388608\r\nExpect: 100-continue\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		t.Fatalf("%v, %v, want 401 before the body", resp, err)
	}
}

// An attacker repeats a field that is signed, or identifies, so that Caddy and
// the application may take different ones.
func TestAttackRepeatedFields(t *testing.T) {
	app := newApplication(t)
	s := serve(t, dedupeSite(app.addr, standardVerify+githubVerify))
	now := time.Now()
	for _, genuine := range []http.Header{standardHeader("1", now, "x"), githubHeader("1", "x")} {
		for name, values := range genuine {
			for _, repeated := range [][]string{{values[0], "other"}, {"other", values[0]}, {values[0], values[0]}} {
				forged := genuine.Clone()
				forged[name] = repeated
				want := http.StatusUnauthorized
				if name == "X-Github-Delivery" {
					want = http.StatusBadRequest
				}
				if resp := s.send("POST", "/", forged, "x"); resp.StatusCode != want {
					t.Errorf("%s: %q is answered %d, want %d", name, repeated, resp.StatusCode, want)
				}
			}
		}
	}
	s.expect(202, "POST", "/", standardHeader("genuine", now, "x"), "x")
	if id := app.next().Header.Get("Svix-Id"); id != "genuine" {
		t.Errorf("the webhook with id %q was delivered", id)
	}
	s.settled("demo")
	app.none()
}

// All refusals of credentials look the same to who is refused.
func TestAttackRefusalsAsOracle(t *testing.T) {
	app := newApplication(t)
	s := serve(t, dedupeSite(app.addr, standardVerify))
	now := time.Now()
	wrong := standardHeader("1", now, "x")
	wrong.Set("svix-signature", "v1,"+strings.Repeat("A", 43)+"=")
	short := standardHeader("1", now, "x")
	short.Set("svix-signature", "v1,AAAA")
	var answers []string
	for name, h := range map[string]http.Header{
		"missing": nil,
		"wrong":   wrong,
		"short":   short,
		"expired": standardHeader("1", now.Add(-time.Hour), "x"),
		"future":  standardHeader("1", now.Add(time.Hour), "x"),
	} {
		resp := s.expect(401, "POST", "/", h, "x")
		resp.Header.Del("Date")
		answers = append(answers, fmt.Sprint(resp.Header))
		if answers[0] != answers[len(answers)-1] {
			t.Errorf("%s is answered with %s, another refusal with %s", name, answers[len(answers)-1], answers[0])
		}
	}
}

// An attacker writes lines of the log by an id that holds line ends.
func TestAttackLogInjection(t *testing.T) {
	app := newApplication(t)
	for _, format := range []string{"json", "console"} {
		t.Run(format, func(t *testing.T) {
			l := newLogged(t)
			options := "log {\n output file " + l.file + "\n format " + format + "\n level DEBUG\n }"
			if err := l.tryLoad(l.caddyfile(options, dedupeSite(app.addr, "verify none\n message_id json id"))); err != nil {
				t.Fatal(err)
			}
			const forged = "{\"level\":\"error\",\"msg\":\"forged\"}"
			for n, id := range []string{"a\n" + forged + "\n", "b\r\n" + forged, "c\x1b[2J\x00\b" + forged, "d\u2028" + forged, "e\xff" + forged, strings.Repeat("f", 127) + "é"} {
				body, err := json.Marshal(map[string]string{"id": id})
				if err != nil {
					t.Fatal(err)
				}
				l.expect(202, "POST", "/", nil, string(body))
				app.next()
				l.expect(202, "POST", "/", nil, string(body)) // logged once more, as a duplicate
				eventually(t, "it is logged", func() bool { return strings.Count(l.text(), "webhook is a duplicate") == n+1 })
			}
			text := l.text()
			if strings.ContainsAny(text, "\x00\b\r") || strings.Contains(text, "\x1b[2J") {
				t.Errorf("the log has control characters of an id: %q", text)
			}
			for line := range strings.Lines(text) {
				if strings.HasPrefix(line, "{\"level\":\"error\",\"msg\":\"forged\"") {
					t.Error("the log has a forged line")
				}
				if format == "json" && !json.Valid([]byte(line)) {
					t.Errorf("a line of the log is no JSON: %s", line)
				}
			}
		})
	}
}

// An attacker writes placeholders, hoping that somebody expands them.
func TestAttackPlaceholders(t *testing.T) {
	const secret = "kept-secret"
	t.Setenv("INBOX_TEST_SECRET", secret)
	app := newApplication(t)
	s := serve(t, openSite(`
		rewrite * /api{uri}
		vars copy {http.request.header.X-In}
		request_header X-Vars {vars.copy}
		reverse_proxy `+app.addr+` {
			header_up X-Copy "{http.request.header.X-In}"
			header_up X-Id "{http.webhook_inbox.id}"
			header_up X-Query "{query}"
		}`))
	for _, text := range []string{"{env.INBOX_TEST_SECRET}", "{http.webhook_inbox.id}", "{file./etc/hostname}", "{http.request.header.X-In}", "\\{env.INBOX_TEST_SECRET}", "{{env `INBOX_TEST_SECRET`}}"} {
		for _, target := range []string{"/a", "/%7Benv.INBOX_TEST_SECRET%7D?q=%7Benv.INBOX_TEST_SECRET%7D", "/{env.INBOX_TEST_SECRET}?q={env.INBOX_TEST_SECRET}"} {
			s.raw(t, 202, fmt.Sprintf("POST %s HTTP/1.1\r\nHost: h\r\nX-In: %s\r\nContent-Length: %d\r\n\r\n%s", target, text, len(text), text))
			d := app.next()
			if strings.Contains(fmt.Sprint(d), secret) {
				t.Errorf("%s at %s is expanded: %+v", text, target, d)
			}
			if d.Body != text || d.Header.Get("X-In") != text || d.Header.Get("X-Copy") != text {
				t.Errorf("%s is delivered as %q, in a field as %q and copied as %q", text, d.Body, d.Header.Get("X-In"), d.Header.Get("X-Copy"))
			}
		}
	}
}

// An attacker chooses where a delivery goes, by all that looks like an address.
func TestAttackServerSideRequests(t *testing.T) {
	app, other := newApplication(t), newApplication(t)
	s := serve(t, openSite("reverse_proxy "+app.addr))
	for name, request := range map[string]string{
		"host":              "POST /a HTTP/1.1\r\nHost: " + other.addr + "\r\n",
		"absolute target":   "POST http://" + other.addr + "/a HTTP/1.1\r\nHost: h\r\n",
		"target with user":  "POST http://" + app.addr + "@" + other.addr + "/a HTTP/1.1\r\nHost: h\r\n",
		"double slash":      "POST //" + other.addr + "/a HTTP/1.1\r\nHost: h\r\n",
		"backslashes":       "POST /\\" + other.addr + "/a HTTP/1.1\r\nHost: h\r\n",
		"forwarded host":    "POST /a HTTP/1.1\r\nHost: h\r\nX-Forwarded-Host: " + other.addr + "\r\nForwarded: host=" + other.addr + "\r\nX-Original-URL: http://" + other.addr + "/\r\n",
		"proxy":             "POST /a HTTP/1.1\r\nHost: h\r\nProxy: http://" + other.addr + "\r\nProxy-Connection: close\r\n",
		"scheme of a file":  "POST file:///etc/passwd HTTP/1.1\r\nHost: h\r\n",
		"scheme of nothing": "POST x:y HTTP/1.1\r\nHost: h\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			if name == "scheme of nothing" {
				s.raw(t, 400, request+"Content-Length: 1\r\n\r\nx")
				return
			}
			s.raw(t, 202, request+"Content-Length: 1\r\n\r\nx")
			if d := app.within(t).next(); d.Body != "x" {
				t.Errorf("delivered %+v", d)
			}
			other.within(t).none()
		})
	}
}

// An attacker reaches the admin API with names that are paths.
func TestAttackAdminPaths(t *testing.T) {
	t.Setenv("INBOX_TEST_SECRET", "kept-secret")
	app := newApplication(t)
	s := serve(t, fmt.Sprintf(tokenSite, app.addr))
	s.expect(202, "POST", "/", tokenHeader("1"), "x")
	app.next()
	s.settled("demo")
	for _, name := range []string{"..", "../demo", "..%2fdemo", "%2e%2e", "%2e%2e%2f%2e%2e%2fconfig", "demo%2f..", "demo%00", "DEMO", "demo%20", "%7Benv.INBOX_TEST_SECRET%7D", strings.Repeat("a", 65), "%ff", "d%0aemo"} {
		for method, path := range map[string]string{
			"GET":    "/webhook_inbox/endpoints/" + name,
			"POST":   "/webhook_inbox/endpoints/" + name + "/move?to=renamed",
			"DELETE": "/webhook_inbox/endpoints/" + name + "/dead_letters",
		} {
			status, data := s.admin(method, path)
			if status >= 500 || strings.Contains(string(data), "kept-secret") {
				t.Errorf("%s %s: status %d: %s", method, path, status, data)
			}
			if status == http.StatusOK && method == "POST" {
				t.Errorf("%s %s did something: %s", method, path, data)
			}
		}
	}
	for _, to := range []string{"../x", "X", "a%2fb", strings.Repeat("a", 65), "a%0ab"} {
		if status, data := s.admin("POST", "/webhook_inbox/endpoints/demo/move?to="+to); status != http.StatusBadRequest {
			t.Errorf("moving to %q: status %d: %s", to, status, data)
		}
	}
	if e := s.endpoint("demo"); e.Kept != 1 {
		t.Errorf("the endpoint is %+v", e)
	}
}

// Early data can be replayed by whoever saw it. A field that is there in any form
// means that it may be (RFC 8470, section 5.1).
func TestAttackEarlyData(t *testing.T) {
	app := newApplication(t)
	s := serve(t, fmt.Sprintf(tokenSite, app.addr))
	for _, values := range [][]string{{"1"}, {"0", "1"}, {"1", "1"}, {"01"}, {"?1"}, {" 1 "}} {
		h := tokenHeader("1")
		h["Early-Data"] = values
		if resp := s.send("POST", "/", h, "x"); resp.StatusCode != http.StatusTooEarly {
			t.Errorf("Early-Data: %q is answered %d, want 425", values, resp.StatusCode)
		}
	}
	s.untouched("demo")
	app.none()
	for _, id := range []string{"1", "2"} { // that of what was refused, and another one
		s.expect(202, "POST", "/", tokenHeader(id), "x")
		if got := app.next().Header.Get("X-Webhook-Id"); got != id {
			t.Errorf("the webhook with id %q was delivered, want %q", got, id)
		}
	}
	s.settled("demo")
	app.none()
}

// A configuration whose secret is not there is not loaded, so that the old one
// goes on to refuse what is not signed.
func TestAttackMissingSecretOpensNothing(t *testing.T) {
	app := newApplication(t)
	s := serve(t, fmt.Sprintf(tokenSite, app.addr))
	t.Setenv("INBOX_TEST_EMPTY", "")
	for _, verify := range []string{
		"verify token X-Webhook-Token {env.INBOX_TEST_UNSET}",
		"verify token X-Webhook-Token {env.INBOX_TEST_EMPTY}",
		"verify bearer {env.INBOX_TEST_UNSET}",
		"verify basic user {env.INBOX_TEST_UNSET}",
		"verify svix {env.INBOX_TEST_UNSET}",
		"verify token X-Webhook-Token {file./nonexistent/secret}",
		"verify token X-Webhook-Token {http.request.header.X-Token}",
		"verify hmac {\n secret {env.INBOX_TEST_UNSET}\n signature header X-Signature\n }",
	} {
		if err := s.tryLoad(s.caddyfile("", dedupeSite(app.addr, verify+"\n dedupe off"))); err == nil {
			t.Errorf("loaded: %s", verify)
		}
		s.expect(401, "POST", "/", header("X-Webhook-Token", "", "X-Webhook-Id", "1"), "x")
	}
	s.expect(202, "POST", "/", tokenHeader("1"), "x")
	app.next()
}
