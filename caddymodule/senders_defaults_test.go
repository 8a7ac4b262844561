// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

const githubSender = `verify github "` + hookSecret + `"
`

// Where the endpoint says nothing of ids and duplicates, what is known of the
// sender holds; what the endpoint says holds instead, and only that.
func TestDuplicatesOfAKnownSender(t *testing.T) {
	now := time.Now()
	github := func(delivery, body string, duplicate bool) sent {
		return sent{uri: "/", header: githubHeader(delivery, body), body: body, duplicate: duplicate}
	}
	dropbox := func(body string, duplicate bool) sent {
		mac := hmac.New(sha256.New, []byte(hookSecret))
		mac.Write([]byte(body))
		return sent{uri: "/", header: header("X-Dropbox-Signature", hex.EncodeToString(mac.Sum(nil))), body: body, duplicate: duplicate}
	}
	gitlab := func(id, body string, duplicate bool) sent {
		return sent{uri: "/", header: header("X-Gitlab-Token", "secret-token", "Idempotency-Key", id), body: body, duplicate: duplicate}
	}
	shopify := func(id, topic, body string, duplicate bool) sent {
		mac := hmac.New(sha256.New, []byte(hookSecret))
		mac.Write([]byte(body))
		return sent{uri: "/", header: header(
			"X-Shopify-Hmac-Sha256", base64.StdEncoding.EncodeToString(mac.Sum(nil)),
			"X-Shopify-Webhook-Id", id, "X-Shopify-Topic", topic,
		), body: body, duplicate: duplicate}
	}
	const shopifySender = `verify shopify "` + hookSecret + `"
`
	// It wants 200, but this test 202.
	const dropboxSender = `verify dropbox "` + hookSecret + `"
respond 202
`
	cases := []struct {
		name, options string
		requests      []sent
	}{
		{"nothing said: by its delivery id and by content", githubSender, []sent{
			github("1", "x", false), github("1", "y", true), github("2", "x", true), github("2", "y", false),
		}},
		{"a window alone leaves the rest as it is", githubSender + "dedupe 24h", []sent{
			github("1", "x", false), github("1", "y", true), github("2", "x", true),
		}},
		{"another kind of duplicate leaves the id as it is", githubSender + "dedupe 24h on id", []sent{
			github("1", "x", false), github("1", "y", true), github("2", "x", false),
		}},
		{"another id leaves the kind of duplicate as it is", githubSender + "message_id json id", []sent{
			github("1", `{"id":1}`, false), github("1", `{"id":2}`, false), github("3", `{"id":2,"n":1}`, true), github("4", `{"id":1}`, true),
		}},
		{"dedupe off", githubSender + "dedupe off", []sent{
			github("1", "x", false), github("1", "x", false),
		}},
		{"what belongs to the content: the topic", shopifySender, []sent{
			shopify("1", "orders/create", "x", false), shopify("2", "orders/paid", "x", false), shopify("3", "orders/paid", "x", true),
		}},
		{"a window and a kind leave what belongs to the content", shopifySender + "dedupe 24h on id content", []sent{
			shopify("1", "orders/create", "x", false), shopify("2", "orders/paid", "x", false), shopify("3", "orders/paid", "x", true),
		}},
		{"the endpoint's own header fields of the content", shopifySender + "dedupe 24h on content with X-Shopify-Shop-Domain", []sent{
			shopify("1", "orders/create", "x", false), shopify("2", "orders/paid", "x", true),
		}},
		{"no header fields without content", shopifySender + "dedupe 24h on id", []sent{
			shopify("1", "orders/create", "x", false), shopify("2", "orders/create", "x", false), shopify("2", "orders/paid", "y", true),
		}},
		{"no duplicates of a sender that has none", dropboxSender, []sent{
			dropbox("x", false), dropbox("x", false),
		}},
		{"but if the endpoint wants them", dropboxSender + "dedupe 1h on content", []sent{
			dropbox("x", false), dropbox("x", true), dropbox("y", false),
		}},
		{"and an id that the endpoint names counts", dropboxSender + "message_id json id", []sent{
			dropbox(`{"id":1}`, false), dropbox(`{"id":1,"n":1}`, true), dropbox(`{"id":2}`, false),
		}},
		{"each of two senders as it needs it", githubSender + dropboxSender, []sent{
			github("1", "x", false), dropbox("x", false), dropbox("x", false), github("2", "x", true),
		}},
		{"an id is the same whichever way it was signed", "verify gitlab secret-token\nverify gitlab_signing " + strings.Fields(standardVerify)[2], []sent{
			gitlab("1", "x", false),
			{uri: "/", header: webhookHeader("1", now, "x"), body: "x", duplicate: true},
			{uri: "/", header: webhookHeader("2", now, "y"), body: "y"},
			gitlab("2", "y", true),
		}},
	}
	app := newApplication(t)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t, dedupeSite(app.addr, c.options))
			expectDeliveries(t, s, app.within(t), c.requests)
		})
	}
}

// webhookHeader is standardHeader under the names of the specification.
func webhookHeader(id string, at time.Time, body string) http.Header {
	h := make(http.Header)
	for name, values := range standardHeader(id, at, body) {
		h["Webhook-"+strings.TrimPrefix(name, "Svix-")] = values
	}
	return h
}

// A body is not waited for if the header says enough, but it is if one of the
// schemes has all it needs in there.
func TestKnownSenderIsRefusedOnItsHeader(t *testing.T) {
	app := newApplication(t)
	s := serve(t, dedupeSite(app.addr, githubSender))
	s.raw(t, 401, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n")
	s.load(dedupeSite(app.addr, githubSender+"verify microsoft_graph secret-state"))
	body := `{"value":[{"clientState":"secret-state"}]}`
	s.expect(202, "POST", "/", header("Content-Type", "application/json"), body)
}

func TestSizeOfBodyOfAKnownSender(t *testing.T) {
	app := newApplication(t)
	status := func(options string, size int) int {
		s := serve(t, dedupeSite(app.addr, options))
		body := strings.Repeat("x", size)
		return s.send("POST", "/", githubHeader("1", body), body).StatusCode
	}
	for _, c := range []struct {
		name, options string
		size          int
		status        int
	}{
		{"github sends 25 MiB", githubSender, 25 << 20, 202},
		{"and not more", githubSender, 25<<20 + 1, 413},
		{"the largest of several counts", "verify bearer {$TOKEN:x}\nmessage_id header X-GitHub-Delivery\n" + githubSender, 25 << 20, 202},
		{"what the endpoint says counts", githubSender + "max_body 8MiB", 9 << 20, 413},
	} {
		if got := status(c.options, c.size); got != c.status {
			t.Errorf("%s: status %d, want %d", c.name, got, c.status)
		}
	}
}

func TestStatusThatAKnownSenderWants(t *testing.T) {
	app := newApplication(t)
	const meta = `verify meta "` + hookSecret + `"
`
	for _, c := range []struct {
		name, options string
		status        int
	}{
		{"meta wants 200", meta, 200},
		{"github does not mind", githubSender, 202},
		{"the first that minds counts", githubSender + meta + "verify discord d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", 200},
		{"what the endpoint says counts", meta + "respond 204", 204},
	} {
		s := serve(t, dedupeSite(app.addr, c.options))
		if got := s.send("POST", "/", githubHeader("1", c.name), c.name).StatusCode; got != c.status {
			t.Errorf("%s: status %d, want %d", c.name, got, c.status)
		}
	}
}

// Whoever gives a password or a token in Authorization is told what is missing,
// also under its own name.
func TestChallengeOfAKnownSender(t *testing.T) {
	app := newApplication(t)
	s := serve(t, dedupeSite(app.addr, "verify postmark hooks secret-password\nverify idexa secret-token\n"+githubSender))
	resp := s.expect(401, "POST", "/", nil, "x")
	want := []string{`Basic realm="webhooks", charset="UTF-8"`, "Bearer"}
	if got := resp.Header["Www-Authenticate"]; strings.Join(got, "; ") != strings.Join(want, "; ") {
		t.Errorf("the challenges are %q, want %q", got, want)
	}
}

// A URL is what the sender was given: what it sees there is not what a server
// behind a proxy sees.
func TestPublicURLOfAKnownSender(t *testing.T) {
	t.Setenv("INBOX_TEST_HOST", "hooks.example.com")
	app := newApplication(t)
	sign := func(url, body string) http.Header {
		mac := hmac.New(sha256.New, []byte(hookSecret))
		mac.Write([]byte("POST" + url + body))
		return header("X-Signature", hex.EncodeToString(mac.Sum(nil)))
	}
	const verify = "verify hmac {\nsecret \"" + hookSecret + "\"\nsignature header X-Signature\nsigned POST{url}{body}\n"
	s := serve(t, dedupeSite(app.addr, verify+"public_url https://{env.INBOX_TEST_HOST}\n}\ndedupe 1h on content"))
	s.expect(202, "POST", "/a?b=%63", sign("https://hooks.example.com/a?b=%63", "x"), "x")
	s.expect(401, "POST", "/a?b=%63", sign("http://"+s.addr+"/a?b=%63", "x"), "x")
	s.expect(401, "POST", "/a", sign("https://hooks.example.com/b", "x"), "x")
	s.load(dedupeSite(app.addr, verify+"}\ndedupe 1h on content"))
	s.expect(202, "POST", "/a?b=%63", sign("http://"+s.addr+"/a?b=%63", "y"), "y")
	s.expect(401, "POST", "/a?b=%63", sign("https://hooks.example.com/a?b=%63", "y"), "y")
}

func TestKnownSendersAreWarnedOf(t *testing.T) {
	app := newApplication(t)
	l := newLogged(t)
	handle := func(name, options string) string {
		return "handle /" + name + " {\nwebhook_inbox " + name + " {\n" + options + "\ndeliver " + app.addr + "\n}\n}\n"
	}
	l.loadLogged("INFO", "", "log\n"+
		handle("url", "verify square secret-key")+
		handle("url-of-hmac", "verify hmac {\nsecret secret-key\nsignature header X-Signature\nsigned {url}{body}\n}\nmessage_id json id")+
		handle("public", "verify square secret-key {\npublic_url https://hooks.example.com\n}")+
		handle("public-of-hmac", "verify hmac {\nsecret secret-key\nsignature header X-Signature\nsigned {url}{body}\npublic_url https://hooks.example.com\n}\nmessage_id json id")+
		handle("token", "verify gitlab secret-token")+
		handle("redacted", "verify okta secret-token")+
		handle("waiting", "verify supabase v1,whsec_c2VjcmV0LWtleQ==")+
		handle("passing", "verify supabase v1,whsec_c2VjcmV0LWtleQ==\npassthrough *")+
		handle("silent", githubSender))
	l.expectEntry("warn", "the sender signs the URL", entry{"endpoint": "url", "scheme": "square"})
	warned := func(message string) (endpoints []string) {
		for _, e := range l.entries(message) {
			endpoints = append(endpoints, e["endpoint"].(string))
		}
		slices.Sort(endpoints)
		return endpoints
	}
	if got := strings.Join(warned("the sender signs the URL"), " "); got != "url url-of-hmac" {
		t.Errorf("warned of the URL: %s", got)
	}
	if got := strings.Join(warned("this sender uses what its requests are answered"), " "); got != "waiting" {
		t.Errorf("warned of answers: %s", got)
	}
	if got := strings.Join(warned("the access log shows this header field"), " "); got != "token" {
		t.Errorf("warned of the access log: %s", got)
	}
}
