// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

// logged is a Caddy that writes its log to a file.
type logged struct {
	*server
	file string
}

// newLogged returns a Caddy that logs what is at least of the given level.
func newLogged(t *testing.T) *logged {
	t.Helper()
	s := newServer(t)
	return &logged{s, filepath.Join(shortTempDir(t), "log.json")}
}

// loadLogged is load, with a log of the given level and more global options.
func (l *logged) loadLogged(level, options, site string) {
	l.t.Helper()
	options += "\nlog {\n output file " + l.file + "\n format json\n level " + level + "\n }"
	if err := l.tryLoad(l.caddyfile(options, site)); err != nil {
		l.t.Fatal(err)
	}
}

// entry is a line of the log, of which the fields are decoded.
type entry map[string]any

// entries returns what was logged with a message so far.
func (l *logged) entries(message string) (found []entry) {
	l.t.Helper()
	for line := range strings.Lines(l.text()) {
		var e entry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			l.t.Fatalf("a line of the log is no JSON: %s", line)
		}
		if text, _ := e["msg"].(string); strings.HasPrefix(text, message) {
			found = append(found, e)
		}
	}
	return found
}

func (l *logged) text() string {
	l.t.Helper()
	data, err := os.ReadFile(l.file)
	if err != nil {
		l.t.Fatal(err)
	}
	whole := strings.LastIndexByte(string(data), '\n') + 1 // a line may be half written
	return string(data[:whole])
}

// expectEntry waits for a message and checks its level and fields.
func (l *logged) expectEntry(level, message string, fields entry) entry {
	l.t.Helper()
	var all []entry
	eventually(l.t, "the log says: "+message, func() bool {
		all = l.entries(message)
		return len(all) > 0
	})
	e := all[len(all)-1]
	if e["level"] != level {
		l.t.Errorf("%q is logged at %v, want %s", message, e["level"], level)
	}
	for name, want := range fields {
		if got := e[name]; fmt.Sprint(got) != fmt.Sprint(want) {
			l.t.Errorf("%q: %s is %v, want %v", message, name, got, want)
		}
	}
	return e
}

func TestLogFollowsMessage(t *testing.T) {
	app := newApplication(t)
	l := newLogged(t)
	l.loadLogged("DEBUG", "", retrySite(app.addr, "retry {\n backoff 10ms 20ms\n give_up_on 410\n }"))
	l.expect(202, "POST", "/", tokenHeader("1"), "x")
	id := app.next().Header.Get("Webhook-Inbox-Id")
	of := entry{"endpoint": "demo", "message": id}
	l.expectEntry("debug", "webhook accepted", entry{"endpoint": "demo", "message": id, "sender_id": "1", "scheme": "token"})
	delivered := l.expectEntry("debug", "message delivered", of)
	if delivered["attempt"] != 1.0 || delivered["status"] != 204.0 || delivered["took"] == nil {
		t.Errorf("a delivery is logged as %v", delivered)
	}
	l.expect(202, "POST", "/", tokenHeader("1"), "x")
	l.expectEntry("info", "webhook is a duplicate", of)

	app.status.Store(http.StatusInternalServerError)
	l.expect(202, "POST", "/", tokenHeader("2"), "x")
	failed := l.expectEntry("info", "attempt failed", entry{"endpoint": "demo", "status": 500, "outcome": "retried"})
	if failed["next_in"] == nil {
		t.Errorf("a failure is logged as %v", failed)
	}
	app.status.Store(http.StatusGone)
	l.expectEntry("error", "message became a dead letter", entry{"endpoint": "demo", "reason": "status 410"})
	l.expect(202, "POST", "/", tokenHeader("2"), "x")
	l.expectEntry("info", "webhook accepted in place of a dead letter", entry{"endpoint": "demo", "sender_id": "2"})
}

// Refusals are warned of with their reason; of a flood, not every one is.
func TestRefusalsAreLoggedWithReason(t *testing.T) {
	app := newApplication(t)
	l := newLogged(t)
	l.loadLogged("INFO", "", retrySite(app.addr, "max_body 10B"))
	for _, c := range []struct {
		status int
		reason string
		header http.Header
		body   string
	}{
		{401, "missing", nil, "x"},
		{401, "mismatch", header("X-Webhook-Token", "wrong"), "x"},
		{401, "malformed", http.Header{"X-Webhook-Token": {"a", "b"}}, "x"},
		{413, "too_large", tokenHeader("1"), "more than ten bytes"},
		{425, "early_data", header("Early-Data", "1"), "x"},
	} {
		l.expect(c.status, "POST", "/", c.header, c.body)
		l.expectEntry("warn", "webhook refused", entry{
			"endpoint": "demo", "reason": c.reason, "status": c.status, "remote_ip": "127.0.0.1",
		})
	}

	before := len(l.entries("webhook refused"))
	const flood = 200
	for range flood {
		l.expect(401, "POST", "/", nil, "x")
	}
	l.expect(202, "POST", "/", tokenHeader("1"), "x")
	app.next()
	if n := len(l.entries("webhook refused")) - before; n == 0 || n > flood/4 {
		t.Errorf("of %d refusals %d are logged", flood, n)
	}
	if n := l.metric(`caddy_webhook_inbox_received_total{endpoint="demo",outcome="missing"}`); n != flood+1 {
		t.Errorf("%v refusals are counted, want %d", n, flood+1)
	}
}

func TestOutageIsLoggedOnceEachWay(t *testing.T) {
	app := newApplication(t)
	app.status.Store(http.StatusServiceUnavailable)
	l := newLogged(t)
	site := retrySite(app.addr, quickly)
	l.loadLogged("INFO", "", site)
	const messages = 8
	for n := range messages {
		l.expect(202, "POST", "/", tokenHeader(fmt.Sprint(n)), "x")
	}
	began := l.expectEntry("error", "outage: ", entry{"endpoint": "demo", "cause": "status 503", "since_before_start": false})
	if began["next_probe"] == nil {
		t.Errorf("an outage is logged as %v", began)
	}
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	l.loadLogged("INFO", "", site)
	l.expectEntry("info", "messages are waiting", entry{"endpoint": "demo", "waiting": messages})
	eventually(t, "the outage is resumed", func() bool { return len(l.entries("outage: ")) == 2 })
	l.expectEntry("error", "outage: ", entry{"endpoint": "demo", "since_before_start": true})
	if n := l.metric(`caddy_webhook_inbox_outage{endpoint="demo"}`); n != 1 {
		t.Errorf("the metric of the outage is %v", n)
	}
	app.status.Store(http.StatusOK)
	l.expectEntry("info", "the outage is over", entry{"endpoint": "demo"})
	l.settled("demo")
	if began, ended := len(l.entries("outage: ")), len(l.entries("the outage is over")); began != 2 || ended != 1 {
		t.Errorf("the outage began %d times and ended %d times in the log", began, ended)
	}
	if n := l.metric(`caddy_webhook_inbox_outage{endpoint="demo"}`); n != 0 {
		t.Errorf("the metric of the outage is %v after it", n)
	}
}

func TestConfigurationIsWarnedOf(t *testing.T) {
	app := newApplication(t)
	app.status.Store(http.StatusInternalServerError)
	l := newLogged(t)
	l.loadLogged("INFO", "", "log\nwebhook_inbox open {\n verify none\n dedupe off\n deliver "+app.addr+"\n }")
	l.expectEntry("warn", "requests to this endpoint are not verified", entry{"endpoint": "open"})
	l.expect(202, "POST", "/", nil, "x")
	app.next()

	l.loadLogged("INFO", "", "log\n"+strings.ReplaceAll(retrySite(app.addr, ""), "X-Webhook-Token", "X_Webhook_Token"))
	l.expectEntry("warn", "messages are waiting for an endpoint that is not configured", entry{"endpoint": "open", "waiting": 1})
	l.expectEntry("warn", "Caddy drops header fields with _", entry{"endpoint": "demo", "header": "X_webhook_token"})
	l.expectEntry("warn", "the access log shows this header field", entry{"endpoint": "demo"})
}

// A queue that no configuration names any more is closed. What waits in it is said,
// once for each time, and nothing if it is empty.
func TestAQueueThatIsLeftIsWarnedOf(t *testing.T) {
	app := newApplication(t)
	l := newLogged(t)
	const left = "messages stay in a queue that is not configured any more"
	l.loadLogged("INFO", "", retrySite(app.addr, ""))
	l.expect(202, "POST", "/", tokenHeader("1"), "x")
	app.next()
	l.settled("demo")
	l.loadLogged("INFO", "# no webhook_inbox", "respond 404")
	if said := l.entries(left); len(said) > 0 {
		t.Errorf("of an empty queue it was said: %v", said)
	}

	app.status.Store(http.StatusInternalServerError)
	l.loadLogged("INFO", "", retrySite(app.addr, ""))
	l.expect(202, "POST", "/", tokenHeader("2"), "x")
	app.next()
	l.loadLogged("INFO", "# no webhook_inbox", "respond 404")
	l.expectEntry("warn", left, entry{"queue": l.dir, "waiting": 1, "dead_letters": 0})
	if said := l.entries(left); len(said) != 1 {
		t.Errorf("it was said %d times", len(said))
	}
}

func TestAccessLogHasTheMessage(t *testing.T) {
	app := newApplication(t)
	l := newLogged(t)
	l.loadLogged("INFO", "", "log {\n output file "+l.file+"\n format json\n }\n"+retrySite(app.addr, ""))
	l.expect(202, "POST", "/", tokenHeader("1"), "x")
	id := app.next().Header.Get("Webhook-Inbox-Id")
	l.expectEntry("info", "handled request", entry{"status": 202, "webhook_inbox_id": id})
	l.expect(401, "POST", "/", nil, "x")
	eventually(t, "the refusal is in the access log", func() bool { return len(l.entries("handled request")) == 2 })
	if id, ok := l.entries("handled request")[1]["webhook_inbox_id"]; ok {
		t.Errorf("a refused request has the id %v", id)
	}
}

// In a run with failures of every kind nothing secret, and nothing of a body, gets
// into the log, the metrics, the admin API or the configuration that Caddy shows.
func TestSecretsAndBodiesAreNowhere(t *testing.T) {
	const (
		token    = "kept-secret-token-1"
		password = "kept-secret-password-2"
		stale    = "kept-secret-wrong-token-3"
		body     = "kept-secret-body-4"
		query    = "kept-secret-query-5"
		custom   = "kept-secret-header-6"
		key      = "kept-secret-key-7"
	)
	t.Setenv("INBOX_TEST_TOKEN", token)
	t.Setenv("INBOX_TEST_PASSWORD", password)
	t.Setenv("INBOX_TEST_KEY", key)
	signature := githubHeader("1", body).Get("X-Hub-Signature-256")

	app := newApplication(t)
	app.handle = func(w http.ResponseWriter, r *http.Request, _ []byte) {
		switch r.URL.Path {
		case "/gone":
			w.WriteHeader(http.StatusGone)
		case "/broken":
			panic(http.ErrAbortHandler)
		case "/status":
			w.WriteHeader(http.StatusTeapot)
		case "/echo":
			w.Header().Set("Location", r.RequestURI)
			w.WriteHeader(http.StatusFound)
		}
	}
	l := newLogged(t)
	site := `
	handle /down* {
		webhook_inbox down {
			verify bearer {env.INBOX_TEST_TOKEN}
			dedupe off
			deliver ` + freeAddr(t) + `
		}
	}
	handle /signed* {
		webhook_inbox signed {
			verify hmac {
				secret {env.INBOX_TEST_KEY}
				signature header X-Hub-Signature-256 prefix sha256=
			}
			verify basic sender {env.INBOX_TEST_PASSWORD}
			dedupe 1h on content
			deliver ` + app.addr + `
		}
	}
	handle /failing* {
		uri strip_prefix /failing
		webhook_inbox failing {
			verify token X-Webhook-Token {env.INBOX_TEST_TOKEN}
			message_id header X-Webhook-Id
			message_id query id
			max_body 1KiB
			attempt_timeout 100ms
			deliver {
				handle /error {
					error {http.request.header.X-Nothing} 500
				}
				handle {
					reverse_proxy ` + app.addr + `
				}
			}
			retry {
				backoff 10ms 20ms
				max_attempts 2
			}
		}
	}
`
	l.loadLogged("INFO", "", site)

	good := header("X-Webhook-Token", token, "X-Secret", custom, "Authorization", "Bearer "+token)
	for n, path := range []string{"/gone", "/broken", "/status", "/echo", "/error"} {
		h := good.Clone()
		h.Set("X-Webhook-Id", fmt.Sprint(n))
		l.expect(202, "POST", "/failing"+path+"?id="+query, h, body)
		l.expect(202, "POST", "/failing"+path+"?id="+query, h, body)
	}
	for range 3 {
		l.expect(202, "POST", "/down?"+query, header("Authorization", "Bearer "+token), body)
	}
	l.expect(401, "POST", "/down?"+query, header("Authorization", "Bearer "+stale), body)
	l.expect(401, "POST", "/failing?"+query, header("X-Webhook-Token", stale), body)
	l.expect(413, "POST", "/failing?"+query, good, strings.Repeat(body, 100))
	l.expect(401, "POST", "/signed?"+query, header("X-Hub-Signature-256", signature), body)
	l.expect(401, "POST", "/signed?"+query, header("Authorization", "Basic "+password), body)
	l.raw(t, 400, "POST /failing HTTP/1.1\r\nHost: h\r\nX-Webhook-Token: "+token+"\r\nTransfer-Encoding: chunked\r\n\r\n"+body+"\r\n")

	eventually(t, "all failures happened", func() bool {
		return l.endpoint("failing").DeadLetters == 5 && l.endpoint("down").Outage != nil
	})
	places := map[string]string{"the log": l.text(), "the metrics": l.metrics()}
	for _, path := range []string{
		"/config/",
		"/webhook_inbox/endpoints",
		"/webhook_inbox/endpoints/down",
		"/webhook_inbox/endpoints/failing",
		"/webhook_inbox/endpoints/failing/dead_letters",
	} {
		status, data := l.admin("GET", path)
		if status != http.StatusOK {
			t.Errorf("GET %s: status %d", path, status)
		}
		places["GET "+path] = string(data)
	}
	if !strings.Contains(places["GET /config/"], "{env.INBOX_TEST_TOKEN}") {
		t.Error("the configuration does not hold the placeholder")
	}
	for place, text := range places {
		for _, secret := range []string{token, password, stale, body, query, custom, key, strings.TrimPrefix(signature, "sha256=")[:16]} {
			// The sender's id is meant to be found in the log, at debug and info.
			if secret == query && place == "the log" {
				text = withoutSenderIDs(text)
			}
			if i := strings.Index(text, secret); i >= 0 {
				t.Errorf("%s shows %q: …%s…", place, secret, text[max(0, i-200):min(len(text), i+100)])
			}
		}
	}
}

// withoutSenderIDs removes the lines that show what a sender calls a message.
func withoutSenderIDs(log string) string {
	var kept strings.Builder
	for line := range strings.Lines(log) {
		if !strings.Contains(line, `"sender_id"`) {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

func TestMetrics(t *testing.T) {
	app := newApplication(t)
	s := newServer(t)
	site := retrySite(app.addr, "retry {\n backoff 10ms 20ms\n give_up_on 410\n }")
	s.load(site)
	s.expect(202, "POST", "/", tokenHeader("1"), "x")
	s.expect(202, "POST", "/", tokenHeader("1"), "x")
	s.expect(401, "POST", "/", nil, "x")
	app.next()
	s.settled("demo")
	app.status.Store(http.StatusGone)
	s.expect(202, "POST", "/", tokenHeader("2"), "x")
	app.next()
	eventually(t, "it is dead", func() bool { return s.endpoint("demo").DeadLetters == 1 })
	app.status.Store(http.StatusInternalServerError)
	s.expect(202, "POST", "/", tokenHeader("3"), strings.Repeat("x", 1000))
	app.next()
	app.next()

	text := s.metrics()
	problems, err := promlint.New(strings.NewReader(ours(text))).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}

	exactly := map[string]float64{
		`caddy_webhook_inbox_received_total{endpoint="demo",outcome="accepted"}`:  3,
		`caddy_webhook_inbox_received_total{endpoint="demo",outcome="duplicate"}`: 1,
		`caddy_webhook_inbox_received_total{endpoint="demo",outcome="missing"}`:   1,
		`caddy_webhook_inbox_attempts_total{endpoint="demo",outcome="delivered"}`: 1,
		`caddy_webhook_inbox_attempts_total{endpoint="demo",outcome="buried"}`:    1,
		`caddy_webhook_inbox_buried_total{endpoint="demo"}`:                       1,
		`caddy_webhook_inbox_waiting{endpoint="demo"}`:                            1,
		`caddy_webhook_inbox_retrying{endpoint="demo"}`:                           1,
		`caddy_webhook_inbox_dead_letters{endpoint="demo"}`:                       1,
		`caddy_webhook_inbox_kept{endpoint="demo"}`:                               1,
		`caddy_webhook_inbox_outage{endpoint="demo"}`:                             0,
		`caddy_webhook_inbox_receiving_bytes`:                                     0,
		`caddy_webhook_inbox_open`:                                                1,
		`caddy_webhook_inbox_lost_commits`:                                        0,
	}
	for series, want := range exactly {
		if !strings.Contains(text, "\n"+series+" ") {
			t.Errorf("%s is missing", series)
		}
		if got := s.metric(series); got != want {
			t.Errorf("%s is %v, want %v", series, got, want)
		}
	}
	atLeast := map[string]float64{
		`caddy_webhook_inbox_attempts_total{endpoint="demo",outcome="retried"}`: 1,
		`caddy_webhook_inbox_attempt_duration_seconds_count{endpoint="demo"}`:   3,
		`caddy_webhook_inbox_commit_duration_seconds_count`:                     3,
		`caddy_webhook_inbox_commit_messages_sum`:                               3,
		`caddy_webhook_inbox_bytes{endpoint="demo"}`:                            1000,
		`caddy_webhook_inbox_oldest_age_seconds{endpoint="demo"}`:               0.000_001,
		`caddy_webhook_inbox_disk_free_bytes`:                                   1 << 20,
	}
	for series, least := range atLeast {
		if got := s.metric(series); got < least {
			t.Errorf("%s is %v, want at least %v", series, got, least)
		}
	}
	for _, name := range []string{"in_flight", "disk_bytes"} {
		if !strings.Contains(text, "\ncaddy_webhook_inbox_"+name) {
			t.Errorf("caddy_webhook_inbox_%s is missing", name)
		}
	}

	// Counters go on when Caddy is reloaded, also if the endpoint changes.
	s.load(retrySite(app.addr, "concurrency 3"))
	s.expect(202, "POST", "/", tokenHeader("1"), "x")
	if n := s.metric(`caddy_webhook_inbox_received_total{endpoint="demo",outcome="duplicate"}`); n != 2 {
		t.Errorf("after a reload %v duplicates are counted, want 2", n)
	}
}

// What a sender says cannot make series.
func TestSendersMakeNoMetrics(t *testing.T) {
	app := newApplication(t)
	s := serve(t, fmt.Sprintf(tokenSite, app.addr))
	s.expect(202, "POST", "/", tokenHeader("first"), "x")
	s.expect(401, "POST", "/", nil, "x")
	app.next()
	s.settled("demo")
	before := strings.Count(ours(s.metrics()), "\n")
	for n := range 50 {
		h := tokenHeader(fmt.Sprintf("id-%d\"} 1", n))
		h.Set("Host", fmt.Sprintf("host-%d.example.com", n))
		s.expect(202, fmt.Sprintf("METHOD%d", n), fmt.Sprintf("/path-%d?q=%d", n, n), h, fmt.Sprint(n))
		s.expect(401, fmt.Sprintf("METHOD%d", n), fmt.Sprintf("/path-%d", n), nil, "x")
		app.next()
	}
	s.settled("demo")
	if after := strings.Count(ours(s.metrics()), "\n"); after != before {
		t.Errorf("there are %d lines of metrics, and were %d", after, before)
	}
}

// ours returns the lines of the inbox's own metrics.
func ours(metrics string) string {
	var lines strings.Builder
	for line := range strings.Lines(metrics) {
		if strings.Contains(line, "caddy_webhook_inbox_") {
			lines.WriteString(line)
		}
	}
	return lines.String()
}
