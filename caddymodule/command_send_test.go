// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddy-webhook-inbox/inbox/verify/senders"
)

// What send sends for a sender of the table, an inbox with its verify accepts.
func TestSendIsAcceptedByTheInbox(t *testing.T) {
	var site strings.Builder
	var sent []senders.Sender
	secretOf := make(map[string]string)
	for _, row := range senders.All() {
		secret := doctorSecret + doctorSecret // hex digits: a form that all can have, but for whsec
		if _, ok := row.Scheme.(senders.Standard); ok {
			secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
		}
		if row.Scheme.Needs().Secret == "public key" {
			continue
		}
		user := ""
		if row.Scheme.Needs().User {
			user = "hooks "
		}
		site.WriteString("webhook_inbox /" + row.Name + " " + strings.ReplaceAll(row.Name, "_", "-") + " {\n\tverify " + row.Name + " " + user + secret + "\n\tdeliver 127.0.0.1:1\n}\n")
		sent = append(sent, row)
		secretOf[row.Name] = secret
	}
	s := serve(t, site.String())
	for _, row := range sent {
		args := []string{"send", "--scheme", row.Name, "--secret-file", "-", "http://" + s.addr + "/" + row.Name}
		if row.Scheme.Needs().User {
			args = append(args, "--user", "hooks")
		}
		out, err := run(t, secretOf[row.Name]+"\n", args...)
		if err != nil {
			t.Errorf("%s: %v\n%s", row.Name, err, out)
			continue
		}
		contains(t, out, "HTTP/1.1 2", "Sent as "+row.Name)
		if strings.Contains(out, doctorSecret) || strings.Contains(out, "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw") {
			t.Errorf("%s: the secret is in the output:\n%s", row.Name, out)
		}
		if tolerance := row.Scheme.Needs().Tolerance; tolerance != 0 {
			out, err := run(t, secretOf[row.Name], append(args, "--stale", (2*tolerance).String())...)
			if err == nil || !strings.Contains(err.Error(), "401") {
				t.Errorf("%s, stale: error %v\n%s", row.Name, err, out)
			}
		}
	}
}

// The flags of send are in the request.
func TestSendSendsWhatItIsTold(t *testing.T) {
	t.Parallel()
	var got *http.Request
	body := make(chan string, 1)
	app := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		text := new(strings.Builder)
		if _, err := io.Copy(text, r.Body); err != nil {
			t.Error(err)
		}
		body <- text.String()
		w.Header().Set("Retry-After", "7")
		w.Header().Set("Location", "/elsewhere\u202e") // turns the direction of writing
		w.WriteHeader(http.StatusTemporaryRedirect)
	}))
	defer app.Close()
	secret := file(t, "secret", doctorSecret)
	if _, err := run(t, "", "send", "--scheme", "github", "-s", secret, app.URL); err == nil {
		t.Fatal("a certificate that nobody trusts was accepted")
	}
	out, err := run(t, "the body", "send", "--scheme", "github", "-s", secret, "--body", "-", "--content-type", "text/plain",
		"--method", "PUT", "--id", "my-id", "-H", "X-Event: test", "--insecure", app.URL+"/hooks?a=1")
	if err == nil || !strings.Contains(err.Error(), "307") {
		t.Errorf("error %v, want one that says 307", err)
	}
	contains(t, out, "HTTP/1.1 307", "Location: /elsewhere?\n", "Retry-After: 7", "8 bytes with the id my-id")
	if text := <-body; text != "the body" {
		t.Errorf("body %q", text)
	}
	if got.Method != "PUT" || got.RequestURI != "/hooks?a=1" || got.Header.Get("Content-Type") != "text/plain" ||
		got.Header.Get("X-Event") != "test" || got.Header.Get("X-GitHub-Delivery") != "my-id" || got.Header.Get("X-Hub-Signature-256") == "" {
		t.Errorf("got %s %s %v", got.Method, got.RequestURI, got.Header)
	}
}

// A sender that is not in the table is sent as its verify hmac says.
func TestSendSignsAsAVerifyHMACSays(t *testing.T) {
	const block = `verify hmac {
		secret     {env.COMMAND_SEND_SECRET} hex
		signature  header X-Acme-Signature prefix v1= encoding base64
		signed     {timestamp}.{method}.{url}.{id}.{body}
		timestamp  header X-Acme-Time
		id         header X-Acme-Id
		public_url https://hooks.example.com
	}`
	t.Setenv("COMMAND_SEND_SECRET", doctorSecret)
	s := serve(t, "webhook_inbox /acme acme {\n"+block+"\n\tdeliver 127.0.0.1:1\n}")
	config := file(t, "verify", block)
	url := "http://" + s.addr + "/acme"
	if out, err := run(t, "", "send", "--scheme", "hmac", "--config", config, url); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := run(t, doctorSecret, "send", "--scheme", "hmac", "--config", config, "--secret-file", "-", url); err != nil {
		t.Errorf("with a secret of its own: %v\n%s", err, out)
	}
	if _, err := run(t, "00"+doctorSecret, "send", "--scheme", "hmac", "--config", config, "--secret-file", "-", url); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("with another secret: error %v", err)
	}
}

// Two messages that nobody gave an id are two, and not a duplicate, also where the
// content decides.
func TestSendIsNoDuplicateOfItself(t *testing.T) {
	s := serve(t, "webhook_inbox /zoom zoom {\n\tverify zoom "+doctorSecret+"\n\tdeliver 127.0.0.1:1\n}\n"+
		"webhook_inbox /token token {\n\tverify token X-Acme-Token "+doctorSecret+"\n\tdedupe 96h on content\n\tdeliver 127.0.0.1:1\n}\n"+
		"webhook_inbox /bearer bearer {\n\tverify bearer "+doctorSecret+"\n\tdedupe 96h on content\n\tdeliver 127.0.0.1:1\n}\n"+
		"webhook_inbox /basic basic {\n\tverify basic hooks "+doctorSecret+"\n\tdedupe 96h on content\n\tdeliver 127.0.0.1:1\n}")
	secret := file(t, "secret", "\ufeff"+doctorSecret+"\r\n")
	for _, args := range [][]string{
		{"--scheme", "zoom"},
		{"--scheme", "token", "--token-header", "X-Acme-Token"},
		{"--scheme", "bearer"},
		{"--scheme", "basic", "--user", "hooks"},
	} {
		for range 2 {
			out, err := run(t, "", append([]string{"send", "-s", secret, "http://" + s.addr + "/" + args[1]}, args...)...)
			if err != nil {
				t.Errorf("%s: %v\n%s", args[1], err, out)
			}
			contains(t, out, "with the id test_")
		}
		if n := s.metric(fmt.Sprintf(`caddy_webhook_inbox_received_total{endpoint=%q,outcome="accepted"}`, args[1])); n != 2 {
			t.Errorf("%s: %v messages, want 2", args[1], n)
		}
	}
}

// An id that is nowhere in the request is not said to be there; Host is that of the
// request.
func TestSendSaysWhatItSent(t *testing.T) {
	t.Parallel()
	var host string
	app := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { host = r.Host }))
	defer app.Close()
	out, err := run(t, "{}", "send", "--scheme", "stripe", "-s", file(t, "secret", doctorSecret), "--body", "-", "-H", "Host: hooks.example.com", app.URL)
	if err != nil || host != "hooks.example.com" {
		t.Errorf("error %v, host %q", err, host)
	}
	contains(t, out, "Sent as stripe: 2 bytes, answered")
}
