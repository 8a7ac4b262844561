// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// injected are texts that end a line, a quote or a label, write to the terminal of
// who reads a log, or are long.
var injected = []string{
	"a\nforged 1", "a\r\nforged: 1", "a\"} forged 1", "a\\\"} forged 1", "a\x00b", "a\x1b[2J\x1b]0;forged\a", "\u202eforged",
	"\xff\xfe", "{{forged}}", "%s%n", "$(forged)", "';forged--", strings.Repeat("forged", 2000),
}

// An attacker, who can even sign, writes such texts wherever a sender can write: into
// the id in a body, in the query, in the path and in a field, into the method, the host
// and the target. The log has lines of JSON and none of control characters, and the
// metrics have the series that they had before.
func TestAttackInjectionByASender(t *testing.T) {
	app := newApplication(t)
	l := newLogged(t)
	site := "log {\n output file " + l.file + "\n format json\n }\n"
	for _, where := range []string{"json id", "query id", "path -1", "header X-Webhook-Id"} {
		name := strings.Fields(where)[0]
		site += fmt.Sprintf("handle /%s* {\n%s}\n", name, strings.Replace(dedupeSite(app.addr, "verify none\n message_id "+where), "demo", name, 1))
	}
	l.loadLogged("DEBUG", "metrics", site)
	send := func(n int, text string) {
		body, err := json.Marshal(map[string]string{"id": text})
		if err != nil {
			t.Fatal(err)
		}
		inField := strings.Map(func(r rune) rune { // no field has control characters
			if r < ' ' {
				return -1
			}
			return r
		}, text[:min(len(text), 1000)])
		for _, target := range []string{"/json", "/query?id=" + url.QueryEscape(text), "/path/" + url.PathEscape(text), "/header"} {
			h := header("X-Webhook-Id", inField, "User-Agent", inField, "Referer", inField, "X-Request-Id", inField)
			l.expect(202, fmt.Sprintf("M%d", n), target, h, string(body))
			app.next()
			l.expect(202, fmt.Sprintf("M%d", n), target, h, string(body))
		}
	}
	send(0, "harmless")
	l.settledAll("json", "query", "path", "header")
	before := seriesOf(l.metrics())
	for n, text := range injected {
		send(n+1, text)
	}
	for _, method := range []string{"FORGED", "forged", "a'b", strings.Repeat("M", 1000)} {
		resp, err := l.tryRaw(method + " /path/" + method + " HTTP/1.1\r\nHost: forged\r\nContent-Length: 1\r\n\r\nx")
		if err != nil {
			t.Fatal(err)
		}
		switch resp.StatusCode {
		case http.StatusAccepted:
			app.next()
		case http.StatusBadRequest, http.StatusMethodNotAllowed: // of Caddy
		default:
			t.Errorf("method %.20s: status %d", method, resp.StatusCode)
		}
	}
	l.settledAll("json", "query", "path", "header")

	if after := seriesOf(l.metrics()); !slices.Equal(after, before) {
		t.Errorf("the series were\n%s\nand are\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
	}
	checkLog(t, l)
	for _, text := range []string{"forged", "\x1b"} {
		if strings.Contains(ours(l.metrics()), text) {
			t.Errorf("the metrics have %q", text)
		}
	}
}

// An attacker without credentials does the same. Nothing of it but his address is in
// the log of the inbox.
func TestAttackInjectionByAStranger(t *testing.T) {
	app := newApplication(t)
	l := newLogged(t)
	l.loadLogged("DEBUG", "", dedupeSite(app.addr, standardVerify+"verify token X-Webhook-Token secret-token\n message_id json id"))
	const forged = "forged-by-a-stranger"
	for n, text := range []string{forged, "v1," + forged, "\t" + forged, forged + strings.Repeat("x", 5000), "\xff" + forged, forged + "\x1b"} {
		if strings.Contains(text, "\x1b") {
			l.raw(t, 400, "POST / HTTP/1.1\r\nHost: h\r\nX-Webhook-Token: "+text+"\r\nContent-Length: 1\r\n\r\nx")
			continue
		}
		h := http.Header{"X-Webhook-Token": {text}, "Webhook-Id": {text}, "Webhook-Timestamp": {text}, "Webhook-Signature": {text}}
		l.expect(401, "POST", fmt.Sprintf("/%s?%s=%d", forged, forged, n), h, `{"id":"`+forged+`"}`)
		l.expect(401, "POST", "/"+forged, http.Header{"Webhook-Signature": {text}}, forged)
	}
	l.expect(425, "POST", "/", http.Header{"Early-Data": {forged}}, "x")
	l.expectEntry("warn", "webhook refused", entry{"endpoint": "demo", "status": 425})
	checkLog(t, l)
	for _, e := range l.entries("webhook refused") {
		if text := fmt.Sprint(e); strings.Contains(text, "forged") {
			t.Errorf("logged: %s", text)
		}
	}
}

// checkLog checks that each line of the log is JSON, and has no control characters.
func checkLog(t *testing.T, l *logged) {
	t.Helper()
	for line := range strings.Lines(l.text()) {
		if !json.Valid([]byte(line)) || strings.ContainsFunc(strings.TrimSuffix(line, "\n"), func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Errorf("a line of the log: %q", line)
		}
		if len(line) > 100_000 {
			t.Errorf("a line of the log has %d bytes: %.200s", len(line), line)
		}
	}
}

// seriesOf returns the series of the inbox and of Caddy's own handlers without values,
// but those of which there is one for a status or a bucket.
func seriesOf(metrics string) (all []string) {
	method := regexp.MustCompile(`(code|le|method)="[^"]*"`)
	for line := range strings.Lines(ours(metrics)) {
		name, _, _ := strings.Cut(line, " ")
		all = append(all, method.ReplaceAllString(name, ""))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func (l *logged) settledAll(endpoints ...string) {
	l.t.Helper()
	for _, name := range endpoints {
		l.settled(name)
	}
}
