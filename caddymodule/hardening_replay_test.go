// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-webhook-inbox/inbox/verify"
	"github.com/caddy-webhook-inbox/inbox/verify/senders"
)

// An attacker replays a captured request of any sender that signs the body, with all
// changed that the signature does not cover: another id, none, another method, other
// fields beside it. It is answered like the first, and delivered no second time.
func TestAttackReplayOfWhatIsNotSigned(t *testing.T) {
	var rows []senders.Sender
	for _, row := range senders.All() {
		if !row.Dedupe.Off && newKnownSender(t, row).covers("body") {
			rows = append(rows, row)
		}
	}
	if len(rows) < 30 {
		t.Fatalf("only %d senders sign the body", len(rows))
	}
	app := newApplication(t)
	s := newServer(t)
	var known []*knownSender
	var site strings.Builder
	for _, row := range rows {
		from := newKnownSender(t, row)
		known = append(known, from)
		fmt.Fprintf(&site, "handle /%s/* {\n%s}\n", row.Name, from.site(app.addr))
	}
	s.load(site.String())
	for _, from := range known {
		t.Run(from.row.Name, func(t *testing.T) {
			s, app := s.within(t), app.within(t)
			r := from.sign(t, s.addr, "1")
			status := s.send(r.Method, r.URI, r.Header, string(r.Body)).StatusCode
			if status/100 != 2 {
				t.Fatalf("status %d", status)
			}
			app.next()
			for what, replay := range from.replays(r) {
				resp := s.send(replay.Method, replay.URI, replay.Header, string(replay.Body))
				if resp.StatusCode != status {
					t.Errorf("%s: status %d, want %d as for the first", what, resp.StatusCode, status)
				}
			}
			s.settled(from.row.Name)
			select {
			case d := <-app.got:
				t.Errorf("delivered again: %s %s %v", d.Method, d.URI, d.Header)
			default:
			}
		})
	}
}

// replayable are the senders whose genuine bodies may be equal, so that what tells
// two messages apart is a field that nobody signs. Their replays under another value
// of it cannot be told from new messages: the page of the senders says so.
var replayable = map[string][]string{
	"sentry":         {"Request-Id"},
	"shopify":        {"X-Shopify-Topic", "X-Shopify-Triggered-At"},
	"shopify_events": {"Shopify-Topic", "Shopify-Triggered-At"},
	"woocommerce":    {"X-Wc-Webhook-Delivery-Id", "X-Wc-Webhook-Topic"},
}

// replays are requests that say the same as r under its signature.
func (s *knownSender) replays(r *verify.Request) map[string]*verify.Request {
	all := make(map[string]*verify.Request)
	add := func(what string, change func(*verify.Request)) {
		replay := *r
		replay.Header = r.Header.Clone()
		change(&replay)
		all[what] = &replay
	}
	for _, part := range s.row.MessageID {
		if part.Header == "" || s.covers("http.request.header."+part.Header) || slices.Contains(replayable[s.row.Name], http.CanonicalHeaderKey(part.Header)) {
			continue
		}
		add("another "+part.Header, func(r *verify.Request) { r.Header.Set(part.Header, "replayed") })
		add("no "+part.Header, func(r *verify.Request) { r.Header.Del(part.Header) })
		add("an empty "+part.Header, func(r *verify.Request) { r.Header.Set(part.Header, "") })
	}
	if !s.covers("http.request.method") {
		add("another method", func(r *verify.Request) { r.Method = "PUT" })
	}
	if !s.covers("http.request.uri") {
		add("another query", func(r *verify.Request) { r.URI += "?replay=1" })
		add("another path", func(r *verify.Request) { r.URI += "/replay" })
	}
	for _, name := range []string{"Webhook-Id", "Svix-Id", "Idempotency-Key", "X-Request-Id", "X-GitHub-Delivery", "X-Webhook-Id"} {
		if r.Header.Get(name) == "" {
			add("with "+name, func(r *verify.Request) { r.Header.Set(name, "replayed") })
		}
	}
	return all
}

// An attacker writes the signature of a captured request in another way, each of
// which is the same bytes to somebody who decodes it, as it was once done to get
// around a cache of signatures. Before and after a reload and a restart none of them
// is a new message.
func TestAttackReplayOfTheSignatureWrittenDifferently(t *testing.T) {
	app := newApplication(t)
	s := newServer(t)
	site := `
	handle /standard* {
		webhook_inbox standard {
			` + standardVerify + `
			deliver ` + app.addr + `
		}
	}
	handle /github* {
		webhook_inbox github {
			` + githubSender + `
			deliver ` + app.addr + `
		}
	}
	handle /stripe* {
		webhook_inbox stripe {
			verify stripe "` + hookSecret + `"
			deliver ` + app.addr + `
		}
	}
`
	s.load(site)
	const body = `{"id":"evt_1"}`
	now := time.Now()
	genuine := map[string]http.Header{
		"standard": standardHeader("msg_1", now, body),
		"github":   githubHeader("1", body),
		"stripe":   stripeHeader(now, body),
	}
	for name, h := range genuine {
		s.expect(202, "POST", "/"+name, h, body)
		app.next()
	}
	replay := func() {
		for name, h := range genuine {
			for what, other := range rewritten(h) {
				resp := s.send("POST", "/"+name, other, body)
				if resp.StatusCode != http.StatusAccepted && resp.StatusCode != http.StatusUnauthorized {
					t.Errorf("%s, %s: status %d", name, what, resp.StatusCode)
				}
			}
			s.settled(name)
		}
		select {
		case d := <-app.got:
			t.Errorf("delivered again: %s %v", d.URI, d.Header)
		default:
		}
	}
	replay()
	s.load(site + "respond /else 404\n")
	replay()
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	s.load(site)
	replay()
	if n := s.metric(`caddy_webhook_inbox_received_total{endpoint="github",outcome="duplicate"}`); n < 3 {
		t.Errorf("%v replays were read as the genuine signature: that is no test", n)
	}
}

func stripeHeader(at time.Time, body string) http.Header {
	return header("Stripe-Signature", fmt.Sprintf("t=%d,v1=%x", at.Unix(), macOf(fmt.Sprintf("%d.%s", at.Unix(), body))))
}

func macOf(text string) []byte {
	mac := hmac.New(sha256.New, []byte(hookSecret))
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

// rewritten are other ways to write the signature in a header.
func rewritten(genuine http.Header) map[string]http.Header {
	all := make(map[string]http.Header)
	add := func(what, name string, values ...string) {
		h := genuine.Clone()
		h[http.CanonicalHeaderKey(name)] = values
		all[what] = h
	}
	for _, name := range []string{"Svix-Signature", "X-Hub-Signature-256", "Stripe-Signature"} {
		text := genuine.Get(name)
		if text == "" {
			continue
		}
		add("in capitals", name, strings.ToUpper(text))
		add("in small letters", name, strings.ToLower(text))
		add("spaces around", name, "  "+text+"\t ")
		add("a comma after it", name, text+",")
		add("a comma before it", name, ","+text)
		add("spaces after commas", name, strings.ReplaceAll(text, ",", ", "))
		add("twice", name, text+" "+text)
		add("twice, with a comma", name, text+","+text)
		add("a foreign one before it", name, "v1,"+base64.StdEncoding.EncodeToString(make([]byte, 32))+" "+text)
		add("in two fields", name, text, text)
		add("in a field and an empty one", name, text, "")
		add("without padding", name, strings.TrimRight(text, "="))
		add("in quotes", name, `"`+text+`"`)
		add("escaped", name, strings.ReplaceAll(text, "=", "%3D"))
		add("in the URL alphabet", name, strings.NewReplacer("+", "-", "/", "_").Replace(text))
		if at := strings.LastIndexAny(text, "=,"); name != "Svix-Signature" {
			signature := text[at+1:]
			add("hex in capitals", name, text[:at+1]+strings.ToUpper(signature))
			add("hex in mixed case", name, text[:at+1]+strings.ToUpper(signature[:9])+signature[9:])
			add("as 0x", name, text[:at+1]+"0x"+signature)
			raw, _ := hex.DecodeString(signature)
			add("in base64", name, text[:at+1]+base64.StdEncoding.EncodeToString(raw))
		}
		if timestamp, signature, ok := strings.Cut(text, ",v1"); ok && name == "Stripe-Signature" {
			add("the parts the other way around", name, "v1"+signature+","+timestamp)
			add("with v0 beside it", name, text+",v0"+signature)
			add("with a zero before the time", name, strings.Replace(text, "t=", "t=0", 1))
		}
	}
	if id := genuine.Get("Svix-Id"); id != "" {
		other := make(http.Header)
		for name, values := range genuine {
			other["Webhook-"+strings.TrimPrefix(name, "Svix-")] = values
		}
		all["under the other family"] = other
		both := genuine.Clone()
		for name, values := range other {
			both[name] = values
		}
		all["under both families"] = both
		forged := both.Clone()
		forged.Set("Webhook-Id", "msg_2")
		all["under both, one with another id"] = forged
	}
	return all
}
