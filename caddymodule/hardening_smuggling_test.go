// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// An attacker without credentials puts a request with stolen ones, or another one
// without, where Caddy refuses to read a body, and hopes that the rest of the
// connection is taken for it. No byte of a body is ever the begin of a request.
func TestAttackRequestInABodyThatIsNotRead(t *testing.T) {
	app := newApplication(t)
	s := serve(t, retrySite(app.addr, "max_body 1KiB"))
	const inner = "POST /smuggled HTTP/1.1\r\nHost: h\r\nX-Webhook-Token: secret-token\r\nX-Webhook-Id: smuggled\r\nContent-Length: 1\r\n\r\nx"
	const good = "X-Webhook-Token: secret-token\r\nX-Webhook-Id: outer\r\n"
	chunked := fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n", 100_000)
	for name, c := range map[string]struct {
		head   string
		status int
	}{
		"refused for its token":            {fmt.Sprintf("Content-Length: %d\r\n\r\n", len(inner)), 401},
		"refused for its token, in chunks": {chunked, 401},
		"refused, and it waits for 100":    {fmt.Sprintf("Expect: 100-continue\r\nContent-Length: %d\r\n\r\n", len(inner)), 401},
		"refused for its size":             {good + "Content-Length: 100000\r\n\r\n", 413},
		"refused for its size in chunks":   {good + chunked + strings.Repeat("x", 2000), 413},
		"early data":                       {good + fmt.Sprintf("Early-Data: 1\r\nContent-Length: %d\r\n\r\n", len(inner)), 425},
		"an id given twice":                {good + fmt.Sprintf("X-Webhook-Id: other\r\nContent-Length: %d\r\n\r\n", len(inner)), 0},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", s.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(conn, "POST /outer HTTP/1.1\r\nHost: h\r\n"+c.head); err != nil {
				t.Fatal(err)
			}
			answers := bufio.NewReader(conn)
			if c.status != 0 {
				resp, err := http.ReadResponse(answers, nil)
				if err != nil || resp.StatusCode != c.status {
					t.Fatalf("%v, %v, want %d", resp, err, c.status)
				}
			}
			// The answer is there. What comes now is of the body all the same.
			_, _ = io.WriteString(conn, inner)
			for {
				resp, err := http.ReadResponse(answers, nil)
				if err != nil {
					break // closed
				}
				resp.Body.Close()
				if resp.StatusCode == http.StatusAccepted {
					t.Error("what was in the body is accepted")
				}
				if c.status == 0 {
					break
				}
			}
		})
	}
	s.expect(202, "POST", "/sentinel", tokenHeader("sentinel"), "x")
	if d := app.next(); d.URI != "/sentinel" {
		t.Errorf("delivered %s", d.URI)
	}
	s.settled("demo")
	app.none()
}

// An attacker writes hop-by-hop fields, and the fields of the inbox, where proxies
// disagree: in TE, Trailer, Expect and Upgrade, twice, in odd letters, and after the
// body. None of it gets to the application, and the body is the one that was
// sent, if Caddy does not refuse it.
func TestAttackFieldsOfTheConnection(t *testing.T) {
	app := newApplication(t)
	s := serve(t, openSite("reverse_proxy "+app.addr))
	const chunk = "1\r\nx\r\n0\r\n"
	const forged = "01920000-0000-7000-8000-000000000000"
	for name, c := range map[string]struct {
		status int
		rest   string
	}{
		"TE":                           {202, "TE: trailers, deflate;q=0.5, chunked\r\nte: gzip\r\nContent-Length: 1\r\n\r\nx"},
		"TE named in Connection":       {202, "Connection: te, close\r\nTE: trailers\r\nContent-Length: 1\r\n\r\nx"},
		"fields of the inbox at last":  {202, "Trailer: Webhook-Inbox-Id, Webhook-Inbox-Attempt\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk + "Webhook-Inbox-Id: " + forged + "\r\nWebhook-Inbox-Attempt: 99\r\nWebhook_Inbox_Id: " + forged + "\r\n\r\n"},
		"a signature at last":          {202, "Trailer: Webhook-Signature, Authorization\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk + "Authorization: " + forged + "\r\nWebhook-Signature: " + forged + "\r\n\r\n"},
		"fields not announced":         {202, "Transfer-Encoding: chunked\r\n\r\n" + chunk + "X-Late: " + forged + "\r\nContent-Length: 9\r\n\r\n"},
		"another Expect":               {417, "Expect: 200-ok\r\nContent-Length: 1\r\n\r\nx"},
		"Expect twice":                 {202, "Expect: 100-continue\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\nx"},
		"Upgrade without Connection":   {202, "Upgrade: h2c, websocket, TLS/1.0\r\nContent-Length: 1\r\n\r\nx"},
		"Upgrade in odd letters":       {202, "CONNECTION: uPgRaDe\r\nuPGRADE: WEBSOCKET\r\nContent-Length: 1\r\n\r\nx"},
		"Keep-Alive and its relatives": {202, "Keep-Alive: timeout=99999\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic eDp5\r\nContent-Length: 1\r\n\r\nx"},
		"chunked in capitals":          {202, "TRANSFER-ENCODING: CHUNKED\r\n\r\n" + chunk + "\r\n"},
		"a tab before chunked":         {202, "Transfer-Encoding:\tchunked\r\n\r\n" + chunk + "\r\n"},
		"a vertical tab":               {400, "Transfer-Encoding: \vchunked\r\nContent-Length: 1\r\n\r\nx"},
		"chunked twice":                {501, "Transfer-Encoding: chunked, chunked\r\n\r\n" + chunk + "\r\n"},
		"identity before chunked":      {501, "Transfer-Encoding: identity, chunked\r\n\r\n" + chunk + "\r\n"},
		"an alias of the coding":       {202, "Transfer_Encoding: chunked\r\nContent-Length: 1\r\n\r\nx"},
		"an alias of the length":       {202, "Content_Length: 100\r\nContent.Length: 100\r\nContent-Length: 1\r\n\r\nx"},
		"a negative length":            {400, "Content-Length: -1\r\n\r\nx"},
		"a huge chunk":                 {400, "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nx\r\n0\r\n\r\n"},
		"a negative chunk":             {400, "Transfer-Encoding: chunked\r\n\r\n-1\r\nx\r\n0\r\n\r\n"},
		"a chunk in 0x":                {400, "Transfer-Encoding: chunked\r\n\r\n0x1\r\nx\r\n0\r\n\r\n"},
		"a chunk that ends late":       {400, "Transfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			s.raw(t, c.status, "POST /outer HTTP/1.1\r\nHost: h\r\n"+c.rest)
			if c.status != http.StatusAccepted {
				return
			}
			d := app.within(t).next()
			if d.Body != "x" || d.URI != "/outer" {
				t.Errorf("delivered %+v", d)
			}
			for field, values := range d.Header {
				text := strings.Join(values, ",")
				switch {
				case strings.Contains(text, forged), text == "99":
					t.Errorf("%s: %s was delivered", field, text)
				case field == "Te", field == "Trailer", field == "Expect", field == "Upgrade", field == "Connection", field == "Keep-Alive",
					field == "Transfer-Encoding", strings.HasPrefix(field, "Proxy-"), strings.ContainsAny(field, "_."):
					t.Errorf("%s: %q was delivered", field, text)
				}
			}
		})
	}
	s.expect(202, "POST", "/sentinel", nil, "x")
	if d := app.next(); d.URI != "/sentinel" {
		t.Errorf("delivered %+v", d)
	}
	s.settled("demo")
	app.none()
}
