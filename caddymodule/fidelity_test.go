// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// What the application gets is what a plain reverse_proxy in the same place
// would have sent, but for the fields that a delivery adds.
func TestDeliveryIsLikeReverseProxy(t *testing.T) {
	app := newApplication(t)
	s := serve(t, fmt.Sprintf(`
	handle_path /inbox/* {
		webhook_inbox demo {
			verify none
			dedupe off
			deliver %[1]s
		}
	}
	handle_path /plain/* {
		reverse_proxy %[1]s
	}
`, app.addr))

	chunked := "POST %s HTTP/1.1\r\nHost: hooks.example.com\r\nTransfer-Encoding: chunked\r\nX-A: b\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
	cases := map[string]string{
		"repeated fields":            "POST %s HTTP/1.1\r\nHost: hooks.example.com\r\nX-Many: one\r\nX-Other: x\r\nX-Many: two, three\r\nx-many: \r\nContent-Length: 2\r\n\r\nhi",
		"encoded target":             "PUT %s%%2Fb/c%%20d;e=f/?q=a%%2Fb&q=%%20&empty&=x HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx",
		"empty query":                "POST %s? HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
		"double slash":               "POST %s/a//b/../c HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
		"no body":                    "GET %s HTTP/1.1\r\nHost: h\r\n\r\n",
		"delete":                     "DELETE %s HTTP/1.1\r\nHost: h\r\nUser-Agent: x\r\n\r\n",
		"unusual method":             "PURGE %s HTTP/1.1\r\nHost: h\r\n\r\n",
		"connection fields":          "POST %s HTTP/1.1\r\nHost: h\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nTE: gzip\r\nProxy-Authorization: x\r\nContent-Length: 1\r\n\r\nx",
		"forwarded by a stranger":    "POST %s HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\nForwarded: for=1.2.3.4\r\nContent-Length: 1\r\n\r\nx",
		"content encoding":           "POST %s HTTP/1.1\r\nHost: h\r\nContent-Encoding: gzip\r\nAccept-Encoding: br\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x00",
		"cookies and credentials":    "POST %s HTTP/1.1\r\nHost: h\r\nCookie: a=b\r\nCookie: c=d\r\nAuthorization: Bearer x\r\nContent-Length: 1\r\n\r\nx",
		"not UTF-8":                  "POST %s HTTP/1.1\r\nHost: h\r\nX-Raw: \xff\xfe\r\nContent-Length: 2\r\n\r\n\xff\x00",
		"HTTP/1.0":                   "POST %s HTTP/1.0\r\nHost: h\r\nContent-Length: 1\r\n\r\nx",
		"trace context":              "POST %s HTTP/1.1\r\nHost: h\r\nTraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\nTracestate: a=b\r\nContent-Length: 1\r\n\r\nx",
		"its own idempotency key":    "POST %s HTTP/1.1\r\nHost: h\r\nIdempotency-Key: mine\r\nContent-Length: 1\r\n\r\nx",
		"absolute target":            "POST http://hooks.example.com%s HTTP/1.1\r\nHost: hooks.example.com\r\nContent-Length: 1\r\n\r\nx",
		"long value":                 "POST %s HTTP/1.1\r\nHost: h\r\nX-Long: " + strings.Repeat("v", 8000) + "\r\nContent-Length: 1\r\n\r\nx",
		"large body":                 "POST %s HTTP/1.1\r\nHost: h\r\nContent-Length: 3000000\r\n\r\n" + strings.Repeat("0123456789", 300000),
		"chunked":                    chunked,
		"fields that look like ours": "POST %s HTTP/1.1\r\nHost: h\r\nX-Webhook-Inbox-Id: theirs\r\nContent-Length: 1\r\n\r\nx",
	}
	for name, request := range cases {
		t.Run(name, func(t *testing.T) {
			s.raw(t, http.StatusNoContent, fmt.Sprintf(request, "/plain/x"))
			want := app.next()
			s.raw(t, http.StatusAccepted, fmt.Sprintf(request, "/inbox/x"))
			got := app.next()

			for _, field := range []string{"Webhook-Inbox-Id", "Webhook-Inbox-Endpoint", "Webhook-Inbox-Attempt", "Webhook-Inbox-Received-At", "Webhook-Inbox-Scheme"} {
				if len(got.Header[field]) != 1 {
					t.Errorf("%s is %q, want it once", field, got.Header[field])
				}
				delete(got.Header, field)
			}
			if want.Header["Idempotency-Key"] == nil {
				delete(got.Header, "Idempotency-Key")
			}
			if got.Method != want.Method || got.URI != want.URI || got.Host != want.Host {
				t.Errorf("got %s %s for %s, want %s %s for %s", got.Method, got.URI, got.Host, want.Method, want.URI, want.Host)
			}
			if got.Body != want.Body {
				t.Errorf("the body differs: got %d bytes, want %d", len(got.Body), len(want.Body))
			}
			for field := range want.Header {
				if field == "Content-Length" && request == chunked {
					continue
				}
				if !slices.Equal(got.Header[field], want.Header[field]) {
					t.Errorf("%s: got %q, want %q", field, got.Header[field], want.Header[field])
				}
			}
			for field := range got.Header {
				if _, ok := want.Header[field]; !ok && !(field == "Content-Length" && request == chunked) {
					t.Errorf("%s: got %q, want none", field, got.Header[field])
				}
			}
		})
	}
}

// raw sends bytes as they are and checks the status of the answer. It tries again
// for the reason that send does.
func (s *server) raw(t *testing.T, status int, request string) *http.Response {
	t.Helper()
	resp, err := s.tryRaw(request)
	for tries := 1; err != nil && tries < 3; tries++ {
		resp, err = s.tryRaw(request)
	}
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != status {
		t.Fatalf("status %d, want %d", resp.StatusCode, status)
	}
	return resp
}

func (s *server) tryRaw(request string) (*http.Response, error) {
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(request)); err != nil {
		return nil, err
	}
	answers := bufio.NewReader(conn)
	resp, err := http.ReadResponse(answers, nil)
	for err == nil && resp.StatusCode == http.StatusContinue { // to whom has sent it all already
		resp, err = http.ReadResponse(answers, nil)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	return resp, resp.Body.Close()
}
