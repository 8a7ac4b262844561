// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Senders test an endpoint before they use it, each in a way of its own. The
// Caddyfiles in caddyfiles/ pass these tests, with and without the application,
// and take what the sender sends afterwards.

func TestSlackTestsTheURL(t *testing.T) {
	t.Setenv("SLACK_SECRET", "8f742231b10e8888abcd99yyyzzz85a5")
	x := newExchange(t, "slack")
	send := func(uri, secret, contentType, body string) request {
		ts := strconv.FormatInt(time.Now().Unix(), 10)
		return request{"POST", uri, header(
			"Content-Type", contentType,
			"X-Slack-Request-Timestamp", ts,
			"X-Slack-Signature", "v0="+hex.EncodeToString(hmacSHA256(secret, "v0:"+ts+":"+body)),
		), body}
	}
	const secret = "8f742231b10e8888abcd99yyyzzz85a5"
	const challenge = `{"token":"Jhj5dZrVaK7ZwHHjRyZWjbDl","challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P","type":"url_verification"}`

	x.answers(http.StatusOK, "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P", send("/slack", secret, "application/json", challenge))
	x.refused(send("/slack", "not the secret", "application/json", challenge))
	x.app.none()

	// A button or a command waits for what the application says.
	x.app.handle = func(w http.ResponseWriter, _ *http.Request, _ []byte) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"text":"done"}`)
	}
	form := "command=%2Fweather&text=94070&trigger_id=13345224609.738474920.8088930838d88f008e0"
	x.answers(http.StatusOK, `{"text":"done"}`, send("/slack/interactive", secret, "application/x-www-form-urlencoded", form))
	if d := x.app.next(); d.Body != form || d.URI != "/slack/interactive" {
		t.Errorf("the application got %s %q", d.URI, d.Body)
	}
	x.refused(send("/slack/interactive", "not the secret", "application/x-www-form-urlencoded", form))

	message := `{"type":"event_callback","event_id":"Ev123ABC456","event":{"type":"message","text":"hi"}}`
	x.status = http.StatusOK
	first := x.accepted(send("/slack", secret, "application/json", message))
	x.duplicate(first, send("/slack", secret, "application/json", message))
	x.end(send("/slack", secret, "application/json", `{"type":"event_callback","event_id":"Ev2"}`))
}

func TestZoomTestsTheURL(t *testing.T) {
	const secret = "cUPa3xVQSZ2xYmZ7sJTcPA"
	t.Setenv("ZOOM_SECRET", secret)
	x := newExchange(t, "zoom")
	x.status = http.StatusOK
	send := func(secret, body string) request {
		ts := strconv.FormatInt(time.Now().Unix(), 10)
		return request{"POST", "/zoom", header(
			"Content-Type", "application/json; charset=utf-8",
			"X-Zm-Request-Timestamp", ts,
			"X-Zm-Signature", "v0="+hex.EncodeToString(hmacSHA256(secret, "v0:"+ts+":"+body)),
		), body}
	}
	validation := func(plain string) string {
		return `{"payload":{"plainToken":"` + plain + `"},"event_ts":1654503849680,"event":"endpoint.url_validation"}`
	}
	// The same again after 72 hours, or a second: it is no duplicate of anything.
	for range 2 {
		status, h, body := x.ask(send(secret, validation("qgg8vlvZRS6UYooatFL8Aw")))
		var answer struct{ PlainToken, EncryptedToken string }
		if err := json.Unmarshal([]byte(body), &answer); err != nil {
			t.Fatal(err)
		}
		if status != 200 || !strings.HasPrefix(h.Get("Content-Type"), "application/json") || answer.PlainToken != "qgg8vlvZRS6UYooatFL8Aw" ||
			answer.EncryptedToken != hex.EncodeToString(hmacSHA256(secret, "qgg8vlvZRS6UYooatFL8Aw")) {
			t.Errorf("answered %d, %q, %s", status, h.Get("Content-Type"), body)
		}
	}
	x.refused(send("not the secret", validation("qgg8vlvZRS6UYooatFL8Aw")))
	x.app.none()
	x.end(send(secret, `{"event":"meeting.started","event_ts":1654503849681,"payload":{}}`))
}

// While one secret takes the place of another, the answer is made with the one that
// Zoom signed with.
func TestZoomGetsItsOwnSecretsAnswer(t *testing.T) {
	s := serve(t, "webhook_inbox zoom {\nverify zoom new-secret old-secret\ndeliver "+freeAddr(t)+"\n}\n")
	const body = `{"payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"},"event_ts":1654503849680,"event":"endpoint.url_validation"}`
	for _, secret := range []string{"new-secret", "old-secret"} {
		ts := strconv.FormatInt(time.Now().Unix(), 10)
		_, answer := s.ask("POST", "/", header(
			"X-Zm-Request-Timestamp", ts,
			"X-Zm-Signature", "v0="+hex.EncodeToString(hmacSHA256(secret, "v0:"+ts+":"+body)),
		), body)
		if want := hex.EncodeToString(hmacSHA256(secret, "qgg8vlvZRS6UYooatFL8Aw")); !strings.Contains(answer, want) {
			t.Errorf("%s: answered %q, want one with %s", secret, answer, want)
		}
	}
}

func TestDiscordTestsTheURLs(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("DISCORD_PUBLIC_KEY", hex.EncodeToString(public))
	x := newExchange(t, "discord")
	send := func(uri, body string) request {
		ts := strconv.FormatInt(time.Now().Unix(), 10)
		return request{"POST", uri, header(
			"Content-Type", "application/json",
			"X-Signature-Ed25519", hex.EncodeToString(ed25519.Sign(private, []byte(ts+body))),
			"X-Signature-Timestamp", ts,
		), body}
	}
	forged := func(r request) request {
		r.header.Set("X-Signature-Ed25519", hex.EncodeToString(ed25519.Sign(private, []byte("something else"))))
		return r
	}

	ping := `{"version":1,"application_id":"1234560123453231555","type":0}`
	x.answers(http.StatusNoContent, "", send("/discord", ping))
	x.refused(forged(send("/discord", ping)))

	ping = `{"application_id":"1234560123453231555","id":"1190000000000000000","token":"aW50","type":1,"version":1}`
	x.answers(http.StatusOK, `{"type":1}`, send("/discord/interactions", ping))
	x.refused(forged(send("/discord/interactions", ping)))
	x.app.none()

	x.app.handle = func(w http.ResponseWriter, _ *http.Request, _ []byte) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"type":4,"data":{"content":"hello"}}`)
	}
	command := `{"id":"1190000000000000001","type":2,"data":{"name":"hello"},"version":1}`
	x.answers(http.StatusOK, `{"type":4,"data":{"content":"hello"}}`, send("/discord/interactions", command))
	x.app.next()
	x.refused(forged(send("/discord/interactions", command)))

	x.status = http.StatusNoContent
	x.end(send("/discord", `{"version":1,"application_id":"1234560123453231555","type":1,"event":{"type":"APPLICATION_AUTHORIZED","timestamp":"2024-10-18T14:42:53.064834","data":{}}}`))
}

func TestMetaTestsTheURL(t *testing.T) {
	t.Setenv("META_APP_SECRET", "5a1f3e29c1c4459b9ddc0b8e3f7c9a52")
	t.Setenv("META_VERIFY_TOKEN", "meatyhamhock")
	x := newExchange(t, "meta")
	ask := func(token string) request {
		return request{"GET", "/meta?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=" + token, nil, ""}
	}
	x.answers(http.StatusOK, "1158201444", ask("meatyhamhock"))
	x.refused(ask("another"))
	t.Setenv("META_VERIFY_TOKEN", "")
	x.refused(ask(""))
	x.app.none()

	send := func(secret, body string) request {
		return request{"POST", "/meta", header(
			"Content-Type", "application/json",
			"X-Hub-Signature-256", "sha256="+hex.EncodeToString(hmacSHA256(secret, body)),
		), body}
	}
	x.refused(send("not the secret", `{"object":"page"}`))
	x.status = http.StatusOK
	x.end(send("5a1f3e29c1c4459b9ddc0b8e3f7c9a52", `{"object":"page","entry":[{"id":"0","time":1520383571}]}`))
}

func TestDropboxTestsTheURI(t *testing.T) {
	t.Setenv("DROPBOX_APP_SECRET", "v2h7s0m3s3cr3t1")
	x := newExchange(t, "dropbox")
	x.status = http.StatusOK
	status, h, body := x.ask(request{"GET", "/dropbox?challenge=%3Cb%3EvGQxr", nil, ""})
	if status != 200 || body != "<b>vGQxr" || !strings.HasPrefix(h.Get("Content-Type"), "text/plain") || h.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("answered %d, %v, %q", status, h, body)
	}
	x.refused(request{"GET", "/dropbox", nil, ""})
	x.app.none()

	body = `{"list_folder":{"accounts":["dbid:AAH4f99T0taONIb-OurWxbNQ6ywGRopQngc"]},"delta":{"users":[12345678]}}`
	send := request{"POST", "/dropbox", header("X-Dropbox-Signature", hex.EncodeToString(hmacSHA256("v2h7s0m3s3cr3t1", body))), body}
	x.accepted(send)
	x.end(send) // the next change of the same account
}

func TestOktaTestsTheURL(t *testing.T) {
	t.Setenv("OKTA_TOKEN", "a long random token of the hook")
	x := newExchange(t, "okta")
	ask := func(challenge string) request {
		return request{"GET", "/okta", header("X-Okta-Verification-Challenge", challenge), ""}
	}
	status, h, body := x.ask(ask("h9f-EUWKXTGvWQTNYVJlNRT9E.x~_"))
	if status != 200 || body != `{"verification":"h9f-EUWKXTGvWQTNYVJlNRT9E.x~_"}` || h.Get("Content-Type") != "application/json" {
		t.Errorf("answered %d, %v, %q", status, h, body)
	}
	x.refused(ask(`","admin":"true`))
	x.app.none()

	send := func(token, id string) request {
		return request{"POST", "/okta", header("Authorization", token, "Content-Type", "application/json"),
			`{"eventType":"com.okta.event_hook","eventId":"` + id + `","data":{"events":[{"uuid":"1"}]}}`}
	}
	x.refused(send("another token", "1"))
	x.status = http.StatusOK
	first := x.accepted(send("a long random token of the hook", "b5a188b9-5ece-4636-b041-482ffda96311"))
	x.duplicate(first, send("a long random token of the hook", "b5a188b9-5ece-4636-b041-482ffda96311"))
	x.end(send("a long random token of the hook", "2"))
}

func TestMicrosoftGraphTestsTheURL(t *testing.T) {
	t.Setenv("GRAPH_CLIENT_STATE", "secretClientValue")
	x := newExchange(t, "microsoft-graph")
	token := "Validation: Testing client application reachability for subscription Request-Id: 22f6a4f3 <script>"
	status, h, body := x.ask(request{"POST", "/graph?validationToken=" + url.QueryEscape(token), nil, ""})
	if status != 200 || body != token || !strings.HasPrefix(h.Get("Content-Type"), "text/plain") || h.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("answered %d, %v, %q", status, h, body)
	}
	x.app.none()

	send := func(states ...string) request {
		var items []string
		for i, state := range states {
			items = append(items, `{"id":"lsgTZMr9KwAAA`+strconv.Itoa(i)+`","subscriptionId":"76619225","clientState":"`+state+`","changeType":"created"}`)
		}
		return request{"POST", "/graph", header("Content-Type", "application/json"), `{"value":[` + strings.Join(items, ",") + `]}`}
	}
	x.refused(send("secretClientValue", "another"))
	x.refused(send())
	x.refused(send("another"))
	x.accepted(send("secretClientValue", "secretClientValue"))
	x.accepted(send("secretClientValue", "secretClientValue")) // the next change of the same items
	x.end(send("secretClientValue"))
}

func TestXeroTestsTheURL(t *testing.T) {
	const key = "4Rf9p2kYwQ+7uJ1zZ0h3Xv5sT8nB6mC=="
	t.Setenv("XERO_WEBHOOKS_KEY", key)
	x := newExchange(t, "xero")
	x.status = http.StatusOK
	send := func(key, body string) request {
		return request{"POST", "/xero", header(
			"Content-Type", "application/json; charset=utf-8",
			"X-Xero-Signature", base64.StdEncoding.EncodeToString(hmacSHA256(key, body)),
		), body}
	}
	intent := func(entropy string) string {
		return `{"events":[],"firstEventSequence":0,"lastEventSequence":0,"entropy":"` + entropy + `"}`
	}
	for _, entropy := range []string{"S0m3r4Nd0mt3xt", "An0therR4nd0mt3xt"} {
		if resp := x.accepted(send(key, intent(entropy))); len(resp.Cookies()) > 0 {
			t.Error("the answer has a cookie")
		}
		x.refused(send("not the key", intent(entropy)))
	}
	x.end(send(key, `{"events":[{"resourceId":"717f2bfc"}],"firstEventSequence":1,"lastEventSequence":1,"entropy":"S0m"}`))
}

func TestAsanaTestsTheURL(t *testing.T) {
	const secret = "b537207f20cbfa02357cf448134da559e8bd39d61597dcd5631b8012eae53e81"
	t.Setenv("ASANA_SECRET", secret)
	x := newExchange(t, "asana")
	x.status = http.StatusOK
	status, h, body := x.ask(request{"POST", "/asana", header("X-Hook-Secret", secret), "{}"})
	if status != 200 || h.Get("X-Hook-Secret") != secret || body != "" {
		t.Errorf("answered %d, %v, %q", status, h, body)
	}
	x.app.none()

	send := func(secret, body string) request {
		return request{"POST", "/asana", header("X-Hook-Signature", hex.EncodeToString(hmacSHA256(secret, body))), body}
	}
	// That somebody sent a secret of his own does not make it one.
	x.answers(http.StatusOK, "", request{"POST", "/asana", header("X-Hook-Secret", "mine"), "{}"})
	x.refused(send("mine", `{"events":[]}`))
	x.end(send(secret, `{"events":[{"action":"changed","resource":{"gid":"1"},"created_at":"2025-08-21T18:20:37.972Z"}]}`))
}

// ask sends a request and returns the whole answer.
func (x *exchange) ask(r request) (status int, h http.Header, body string) {
	x.t.Helper()
	resp, body := x.server.ask(r.method, r.uri, r.header, r.body)
	return resp.StatusCode, resp.Header, body
}

// answers sends what must be answered with a status and a body.
func (x *exchange) answers(status int, body string, r request) {
	x.t.Helper()
	if gotStatus, _, got := x.ask(r); gotStatus != status || got != body {
		x.t.Fatalf("%s %s: answered %d %q, want %d %q", r.method, r.uri, gotStatus, got, status, body)
	}
}

func hmacSHA256(key, text string) []byte {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(text))
	return mac.Sum(nil)
}
