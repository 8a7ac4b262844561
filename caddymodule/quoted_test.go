// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
)

// repeater is an application that answers in no way that can be read, with what it got.
func repeater(t *testing.T, answer func(request string) string) (addr string) {
	t.Helper()
	return accept(t, func(conn net.Conn) {
		defer conn.Close()
		got := make([]byte, 0, 64<<10)
		for !bytes.HasSuffix(got, []byte("s3cret-body")) {
			n, err := conn.Read(got[len(got):cap(got)])
			if err != nil {
				return
			}
			got = got[:len(got)+n]
		}
		io.WriteString(conn, answer(string(got)))
	})
}

// An application sends back what it got, where the answer should be or in it, and Go says in
// its errors what it could not read. The log and the dead letter say what is wrong with the
// answer, and nothing of the message.
func TestAnswerThatRepeatsTheRequestIsNotShown(t *testing.T) {
	for name, answer := range map[string]func(string) string{
		"malformed HTTP": func(request string) string { return request },
		"malformed MIME": func(request string) string { return "HTTP/1.1 200 OK\r\n" + request },
		"Content-Length": func(request string) string {
			return "HTTP/1.1 200 OK\r\nContent-Length: " + strings.ReplaceAll(request, "\r\n", " ") + "\r\n\r\n"
		},
	} {
		t.Run(name, func(t *testing.T) {
			addr := repeater(t, answer)
			l := newLogged(t)
			l.loadLogged("INFO", "", "webhook_inbox demo {\nverify token X-Webhook-Token s3same-t0ken\ndedupe off\n"+
				"passthrough /now\nretry {\nmax_attempts 1\n}\ndeliver "+addr+"\n}\n")
			token := header("X-Webhook-Token", "s3same-t0ken")
			l.expect(502, "POST", "/now?q=s3cret-query", token, "s3cret-body")
			l.expect(202, "POST", "/?q=s3cret-query", token, "s3cret-body")
			said := []any{l.expectEntry("error", "webhook not passed through", nil)["cause"]}
			said = append(said, l.expectEntry("error", "message became a dead letter", nil)["cause"])
			for _, cause := range said {
				if cause, _ := cause.(string); !strings.Contains(cause, name) {
					t.Errorf("the log says %q, want what was wrong: %s", cause, name)
				}
			}
			_, letters := l.admin("GET", "/webhook_inbox/endpoints/demo/dead_letters")
			if !strings.Contains(string(letters), name) {
				t.Errorf("the dead letter does not say what was wrong: %s", letters)
			}
			for _, secret := range []string{"s3same-t0ken", "s3cret-query", "s3cret-body"} {
				if strings.Contains(l.text(), secret) || strings.Contains(string(letters), secret) {
					t.Errorf("%s is in the log\n%s\nor the dead letter %s", secret, l.text(), letters)
				}
			}
		})
	}
}
