// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// The Caddyfile of each sender takes what its documentation shows, once, and
// nothing else.

func TestAnesya(t *testing.T) {
	t.Setenv("ANESYA_TOKEN", "61a95ee0c2f14b7d")
	x := newExchange(t, "anesya")
	send := func(token, id, body string) request {
		return request{"POST", "/anesya", header(
			"Content-Type", "application/json",
			"User-Agent", "Anesya-WebhookBot/1.0",
			"X-Webhook-Id", id,
			"X-Webhook-Token", token,
		), body}
	}
	const token, id = "61a95ee0c2f14b7d", "b1eaea1a-ee96-4f7d-a2cb-dbadff2da584"
	const body = `{
  "id": "b1eaea1a-ee96-4f7d-a2cb-dbadff2da584",
  "event": "extract.completed",
  "timestamp": "2025-06-25T14:45:26Z",
  "data": {
    "id": "dac926a0-d0f9-47f0-9678-bb9a562475af",
    "document_name": "facture n° 7.pdf",
    "extracted_data": {"Invoice number": {"content": "SFO0602", "position": [[175.0, 406.0, 265.0, 418.0, 0]]}},
    "workflow": null,
    "status": "FINISHED"
  }
}
`
	first := x.accepted(send(token, id, body))
	x.duplicate(first, send(token, id, body))

	// The id is that of the webhook: the next message has it too.
	const next = `{"id": "b1eaea1a-ee96-4f7d-a2cb-dbadff2da584", "event": "extract.failed", "timestamp": "2025-06-25T14:46:01Z"}`
	x.accepted(send(token, id, next))

	x.refused(send("61a95ee0c2f14b7e", id, `{"event": "forged"}`))
	x.refused(send("", id, `{"event": "forged"}`))
	x.refused(request{"POST", "/anesya", header("X-Webhook-Id", id), `{"event": "forged"}`})
	x.end(send(token, id, `{"event": "workflow.completed"}`))
}

func TestAnon(t *testing.T) {
	t.Setenv("ANON_SECRET", "whsec_YW5vbidzIHNlY3JldCBrZXkgb2YgMzIgYnl0ZXM=")
	testSvix(t, newExchange(t, "anon"), "/anon", "whsec_YW5vbidzIHNlY3JldCBrZXkgb2YgMzIgYnl0ZXM=",
		`{"id":"evt_01HX4J1SQ93Y9F6VBQ4JPZW66S","object":"event","created":"2025-06-18T00:50:40.301173Z","type":"workflow_run.failed",`+
			`"data":{"object":{"id":"550e8400-e29b-41d4-a716-446655440005","status":"FAILED","completedAt":null},`+
			`"error_message":"Workflow execution failed: Timeout waiting for element"}}`)
}

func TestScanDocuments(t *testing.T) {
	t.Setenv("SCAN_DOCUMENTS_SECRET", "whsec_c2NhbiBkb2N1bWVudHMgc2VjcmV0")
	testSvix(t, newExchange(t, "scan-documents"), "/scan-documents", "whsec_c2NhbiBkb2N1bWVudHMgc2VjcmV0",
		`{"data":{"id":"file_y9f6oitmeoncvcou","name":"file-example","type":"image/png"},`+
			`"id":"event_wal69rzpapqrm7yj","timestamp":"2025-04-12T15:55:19.000Z","type":"file.deleted"}`)
}

// testSvix is for senders that send through Svix, which signs a retry anew.
func testSvix(t *testing.T, x *exchange, uri, secret, body string) {
	t.Helper()
	send := func(secret, id string, at time.Time, body string) request {
		return request{"POST", uri, headerFromSvix(t, secret, id, at, body), body}
	}
	const id = "msg_2ycTlwDkllobhXwGILmiziO9xnz"
	now := time.Now()

	original := send(secret, id, now.Add(-time.Minute), body)
	first := x.accepted(original)
	x.duplicate(first, original)
	x.duplicate(first, send(secret, id, now, body))

	x.refused(send("whsec_c29tZWJvZHkgZWxzZSdzIHNlY3JldA==", "msg_forged", now, body))
	x.refused(send(secret, "msg_old", now.Add(-6*time.Minute), body))
	x.refused(send(secret, "msg_ahead", now.Add(6*time.Minute), body))
	tampered := send(secret, "msg_tampered", now, body)
	tampered.body += " "
	x.refused(tampered)
	renamed := send(secret, id, now, body)
	renamed.header.Set("Svix-Id", "msg_renamed")
	x.refused(renamed)
	x.refused(request{"POST", uri, header("Content-Type", "application/json"), body})

	// The id decides: genuine messages may have equal bodies.
	x.end(send(secret, "msg_2ycTlwDkllobhXwGILmiziO9xn0", now, body))
}

// headerFromSvix is the header of a webhook that Svix sends, signed by the library
// of the specification.
func headerFromSvix(t *testing.T, secret, id string, at time.Time, body string) http.Header {
	t.Helper()
	webhook, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	signature, err := webhook.Sign(id, at, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return header(
		"Accept", "*/*",
		"Content-Type", "application/json",
		"User-Agent", "Svix-Webhooks/1.66.0 (sender-9YMgn; +https://www.svix.com/http-sender/)",
		"Svix-Id", id,
		"Svix-Timestamp", strconv.FormatInt(at.Unix(), 10),
		"Svix-Signature", signature,
	)
}

func TestIDEXA(t *testing.T) {
	t.Setenv("IDEXA_TOKEN", "eyJ0eXAiOiJKV1QiLCJhbGciOiJI.e30.c2ln")
	x := newExchange(t, "idexa")
	send := func(method, id, token, body string) request {
		h := header("Authorization", "Bearer "+token)
		if body != "" {
			h.Set("Content-Type", "application/json")
		}
		return request{method, "/ocr_feedback/" + id, h, body}
	}
	const token = "eyJ0eXAiOiJKV1QiLCJhbGciOiJI.e30.c2ln"
	for method, body := range map[string]string{"POST": `{"status": 0}`, "PUT": "", "GET": "", "DELETE": ""} {
		first := x.accepted(send(method, "a7046a49-1fe0-483d-b220-cd93fe50a3a9", token, body))
		x.duplicate(first, send(method, "a7046a49-1fe0-483d-b220-cd93fe50a3a9", token, body))
		x.accepted(send(method, "113d37ed-6b47-46b6-bc50-bf5d64ad3a94", token, body))

		refused := x.refused(send(method, "c0ffee00-6b47-46b6-bc50-bf5d64ad3a94", "eyJ0", body))
		if got := refused.Header.Get("WWW-Authenticate"); got != "Bearer" {
			t.Errorf("%s: WWW-Authenticate is %q", method, got)
		}
		x.refused(request{method, "/ocr_feedback/1", nil, body})
	}

	// With another result, the same document is another message.
	x.accepted(send("POST", "a7046a49-1fe0-483d-b220-cd93fe50a3a9", token, `{"status": 1}`))
	x.end(send("POST", "last", token, ""))
}

func TestAnyformat(t *testing.T) {
	const secret = "whsec_abc123def456"
	t.Setenv("ANYFORMAT_SECRET", secret)
	x := newExchange(t, "anyformat")
	send := func(secret, body string) request {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(body))
		return request{"POST", "/anyformat", header(
			"Content-Type", "application/json",
			"X-Webhook-Signature", hex.EncodeToString(mac.Sum(nil)),
		), body}
	}
	body := func(kind, extraction, at string) string {
		return `{"event":"` + kind + `","timestamp":"` + at + `","data":{"extraction_id":"` + extraction + `","status":"done","workflow_id":"wf_1","processed_at":"` + at + `"}}`
	}
	first := x.accepted(send(secret, body("extraction.completed", "ext_1", "2025-03-24T12:00:00Z")))
	x.duplicate(first, send(secret, body("extraction.completed", "ext_1", "2025-03-24T12:00:00Z")))
	x.duplicate(first, send(secret, body("extraction.completed", "ext_1", "2025-03-24T12:05:00Z")))
	x.accepted(send(secret, body("extraction.failed", "ext_1", "2025-03-24T12:00:00Z")))
	x.accepted(send(secret, body("extraction.completed", "ext_2", "2025-03-24T12:00:00Z")))

	// Without one of its parts there is no id, and only equal bodies are duplicates.
	first = x.accepted(send(secret, `{"event":"ping","data":{"n":1}}`))
	x.duplicate(first, send(secret, `{"event":"ping","data":{"n":1}}`))
	x.accepted(send(secret, `{"event":"ping","data":{"n":2}}`))

	x.refused(send("whsec_abc123def457", body("extraction.completed", "ext_3", "2025-03-24T12:00:00Z")))
	x.refused(send(base64.StdEncoding.EncodeToString([]byte(secret)), "{}"))
	tampered := send(secret, body("extraction.completed", "ext_3", "2025-03-24T12:00:00Z"))
	tampered.body = body("extraction.completed", "ext_4", "2025-03-24T12:00:00Z")
	x.refused(tampered)
	x.refused(request{"POST", "/anyformat", nil, "{}"})
	x.end(send(secret, body("extraction.completed", "ext_9", "2025-03-24T12:00:00Z")))
}

// A request is what a sender sends.
type request struct {
	method, uri string
	header      http.Header
	body        string
}

// exchange is a sender's Caddyfile at work between the sender and the application.
type exchange struct {
	t        *testing.T
	server   *server
	app      *application
	endpoint string
	status   int // with which messages are accepted
}

// newExchange runs a file of caddyfiles/. The endpoint has the name of the file.
func newExchange(t *testing.T, name string) *exchange {
	t.Helper()
	app, s := newApplication(t), newServer(t)
	site := freeAddr(t)
	err := s.tryLoad(s.caddyfile("", "") + replaceAll(t, caddyfileOf(t, name), map[string]string{
		"\nhooks.example.com {": "\nhttp://" + site + " {",
		"deliver app:8080":      "deliver " + app.addr,
	}))
	if err != nil {
		t.Fatalf("loading %s: %v", name, err)
	}
	s.addr = site
	return &exchange{t, s, app, name, http.StatusAccepted}
}

// accepted sends what must be accepted, and delivered as it was sent.
func (x *exchange) accepted(r request) *http.Response {
	x.t.Helper()
	resp := x.server.expect(x.status, r.method, r.uri, r.header, r.body)
	d := x.app.next()
	if d.Method != r.method || d.URI != r.uri || d.Body != r.body {
		x.t.Fatalf("delivered %s %s %q, want %s %s %q", d.Method, d.URI, d.Body, r.method, r.uri, r.body)
	}
	for name, values := range r.header {
		if !slices.Equal(d.Header[name], values) {
			x.t.Errorf("%s: delivered %q, want %q", name, d.Header[name], values)
		}
	}
	if got := d.Header.Get("Webhook-Inbox-Endpoint"); got != x.endpoint {
		x.t.Errorf("delivered by endpoint %q, want %q", got, x.endpoint)
	}
	return resp
}

// duplicate sends what must be answered as the first one was. That it is not
// delivered is seen by the next call of accepted, and at the end.
func (x *exchange) duplicate(first *http.Response, r request) {
	x.t.Helper()
	resp := x.server.expect(first.StatusCode, r.method, r.uri, r.header, r.body)
	want, got := first.Header.Clone(), resp.Header.Clone()
	want.Del("Date")
	got.Del("Date")
	if !maps.EqualFunc(got, want, slices.Equal) {
		x.t.Errorf("a duplicate was answered with the header %v, the first with %v", got, want)
	}
}

// refused sends what nobody vouches for.
func (x *exchange) refused(r request) *http.Response {
	x.t.Helper()
	return x.server.expect(http.StatusUnauthorized, r.method, r.uri, r.header, r.body)
}

// end accepts a last message, and checks that no others were delivered but those
// that had to be. A URL that is none of the sender's is not found.
func (x *exchange) end(last request) {
	x.t.Helper()
	x.server.expect(http.StatusNotFound, last.method, "/another"+last.uri, last.header, last.body)
	x.accepted(last)
	eventually(x.t, "nothing waits", func() bool { return x.server.endpoint(x.endpoint).Waiting == 0 })
	x.app.none()
}
