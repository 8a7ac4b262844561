// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"compress/gzip"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// The answer is what a plain reverse_proxy in the same place would have sent. So it is
// packed only for a sender that asked for it.
func TestPassthroughAnswersLikeReverseProxy(t *testing.T) {
	app := newApplication(t)
	app.handle = func(w http.ResponseWriter, r *http.Request, _ []byte) {
		w.Header().Set("Server", "app/1.0")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Add("Set-Cookie", "a=b")
		w.Header().Add("Set-Cookie", "c=d")
		switch r.URL.Path {
		case "/empty":
			w.WriteHeader(http.StatusNoContent)
		case "/trailer":
			w.Header().Set("Trailer", "X-Sum")
			io.WriteString(w, "with a trailer")
			w.Header().Set("X-Sum", "1")
		case "/redirect":
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		case "/packed":
			pack(w, r, "a challenge")
		default:
			io.WriteString(w, "<p>sniffed")
		}
	}
	s := serve(t, fmt.Sprintf(`
	header +X-Site yes
	handle_path /inbox/* {
		webhook_inbox demo {
			verify none
			dedupe off
			passthrough *
			deliver %[1]s
		}
	}
	handle_path /plain/* {
		reverse_proxy %[1]s
	}
`, app.addr))
	client := &http.Client{Transport: &http.Transport{DisableCompression: true}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	get := func(method, uri, accepts string) (status int, h http.Header, body string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.addr+uri, nil)
		if err != nil {
			t.Fatal(err)
		}
		if accepts != "" {
			r.Header.Set("Accept-Encoding", accepts)
		}
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		data, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		h = resp.Header.Clone()
		maps.Copy(h, resp.Trailer)
		h.Del("Date")
		return resp.StatusCode, h, string(data)
	}
	for _, method := range []string{"GET", "HEAD", "POST"} {
		for _, path := range []string{"/page", "/empty", "/trailer", "/redirect", "/packed"} {
			for _, accepts := range []string{"", "identity", "gzip"} {
				wantStatus, want, wantBody := get(method, "/plain"+path, accepts)
				status, got, body := get(method, "/inbox"+path, accepts)
				if status != wantStatus || body != wantBody || !maps.EqualFunc(got, want, slices.Equal) {
					t.Errorf("%s %s: answered %d %v %q, want %d %v %q", method, path, status, got, body, wantStatus, want, wantBody)
				}
			}
		}
	}
	s.nothingQueued()
}

// pack answers in gzip if the request accepts it.
func pack(w http.ResponseWriter, r *http.Request, answer string) {
	w.Header().Set("Content-Type", "text/plain") // else Caddy guesses, if there is a part of the body in time
	if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		io.WriteString(w, answer)
		return
	}
	w.Header().Set("Content-Encoding", "gzip")
	packed := gzip.NewWriter(w)
	io.WriteString(packed, answer)
	packed.Close()
}

// An application is asked for what a plain reverse_proxy would ask it for: for gzip if
// the sender says nothing of it, unless it is configured otherwise.
func TestDeliveryAsksForEncodingsLikeReverseProxy(t *testing.T) {
	app := newApplication(t)
	client := &http.Client{Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true}, Timeout: patience}
	s := newServer(t)
	for _, options := range []string{"", "compression off"} {
		proxy := "reverse_proxy " + app.addr + " {\n transport http {\n " + options + "\n }\n }"
		s.load("handle /plain {\n" + proxy + "\n}\n" + openSite(proxy))
		for _, accepts := range [][]string{nil, {"br"}, {"gzip, br"}} {
			var asked [2][]string
			for i, path := range []string{"/plain", "/inbox"} {
				send := func() (*http.Response, error) {
					r, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+s.addr+path, strings.NewReader("x"))
					if err != nil {
						t.Fatal(err)
					}
					if accepts != nil {
						r.Header["Accept-Encoding"] = accepts
					}
					return client.Do(r)
				}
				resp, err := send()
				for tries := 1; err != nil && tries < 3; tries++ { // as in ask
					resp, err = send()
				}
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				asked[i] = app.next().Header["Accept-Encoding"]
			}
			if !slices.Equal(asked[0], asked[1]) {
				t.Errorf("%q, with %q by the sender: the application is asked for %q, and by a plain proxy for %q", options, accepts, asked[1], asked[0])
			}
		}
		s.settled("demo")
	}
}

func TestPassthroughOfLargeAndChunkedBodies(t *testing.T) {
	app := newApplication(t)
	s := serve(t, challengeSite("reverse_proxy "+app.addr, ""))
	large := strings.Replace(challenge, "{", `{"padding":"`+strings.Repeat("0123456789", 400_000)+`",`, 1)
	s.expect(204, "POST", "/", githubHeader("1", large), large)
	if d := app.next(); d.Body != large {
		t.Errorf("passed %d bytes through, want %d as they were", len(d.Body), len(large))
	}
	s.raw(t, 204, fmt.Sprintf("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nX-Hub-Signature-256: %s\r\n\r\n5\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n",
		githubHeader("1", challenge).Get("X-Hub-Signature-256"), challenge[:5], len(challenge)-5, challenge[5:]))
	if d := app.next(); d.Body != challenge {
		t.Errorf("passed %q through", d.Body)
	}
	s.nothingQueued()
}

// The application sees the URI that earlier directives made of the sender's, and
// the matchers do too.
func TestPassthroughOfRewrittenURI(t *testing.T) {
	app := newApplication(t)
	s := serve(t, `
	handle_path /hooks/* {
		@interactive path /commands/*
		webhook_inbox demo {
			verify hmac {
				secret "`+hookSecret+`"
				signature header X-Signature
				signed {method}{http.request.uri}{body}
			}
			dedupe on content
			passthrough @interactive
			deliver {
				reverse_proxy `+app.addr+` {
					header_up X-Original {orig_uri}
				}
			}
		}
	}
`)
	send := func(uri string) http.Header {
		return header("X-Signature", hex.EncodeToString(hmacSHA256(hookSecret, "POST"+uri+"x")))
	}
	s.expect(204, "POST", "/hooks/commands/a%2Fb?q=1", send("/hooks/commands/a%2Fb?q=1"), "x")
	if d := app.next(); d.URI != "/commands/a%2Fb?q=1" || d.Header.Get("X-Original") != "/hooks/commands/a%2Fb?q=1" {
		t.Errorf("passed %s through, originally %s", d.URI, d.Header.Get("X-Original"))
	}
	s.expect(401, "POST", "/hooks/commands/a", send("/commands/a"), "x")
	s.expect(202, "POST", "/hooks/events", send("/hooks/events"), "x")
	if d := app.next(); d.URI != "/events" {
		t.Errorf("delivered %s", d.URI)
	}
}
